"""`site-proxy`: the grammar of its subcommands."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from edge_core.command import Parser, end

try:
    from edge_site_proxy import logs
    from edge_site_proxy.commands import (
        audit,
        bundle,
        check,
        init,
        page_test,
        report,
        run,
        token,
        wal,
    )
except ModuleNotFoundError as missing:
    sys.exit(f"site-proxy needs {missing.name}: pip install 'edge-mlops[site]'")

PROGRAM = "site-proxy"
CONFIG = Path("/etc/edge-site/site.toml")

Body = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - argparse names it no other way


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    logs.configure()
    return end(PROGRAM, lambda chosen: chosen.body(chosen), parser(), arguments)


def parser() -> Parser:
    """The whole grammar."""
    root = Parser(
        prog=PROGRAM,
        description="Mirrors artefacts, runs rollouts, buffers telemetry: one daemon a plant.",
        epilog="Exit codes: 0 done, 1 our own failure, 2 usage, 3 refused, 4 no such thing, "
        "5 not reachable, 6 conflict, 75 try again, 77 not permitted, 78 configuration.",
    )
    made = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    running = _configured(_command(made, "run", run.body, "run the daemon"))
    running.set_defaults(notify_socket=os.environ.get("NOTIFY_SOCKET"))
    making = _command(made, "init", init.body, "make a CA, keys and an example configuration")
    making.add_argument("directory", type=Path, metavar="DIR")
    making.add_argument("--site", default="site", metavar="NAME")
    making.add_argument(
        "--name", action="append", metavar="HOST", help="of the server certificate; repeatable"
    )
    checking = _command(made, "check-config", check.body, "read a configuration and all it names")
    checking.add_argument("file", type=Path, metavar="FILE")
    tokens = _configured(_command(made, "token", token.body, "let one gateway enrol, once"))
    tokens.add_argument("--serial", required=True, metavar="SERIAL")
    tokens.add_argument(
        "--hours", type=float, default=24.0, metavar="N", help="how long it is good"
    )
    tokens.add_argument("--revoke", action="store_true", help="end its certificates instead")
    tokens.add_argument("--reason", metavar="TEXT")
    paging = _configured(
        _command(made, "page-test", page_test.body, "page every receiver with a test")
    )
    paging.add_argument("--receiver", metavar="NAME", help="this one alone")
    _wal(made)
    _audit(made)
    _bundle(made)
    return root


def _wal(made: Commands) -> None:
    commands = made.add_parser("wal", help="look into the telemetry buffer").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    for name, body, words in (
        ("stat", wal.stat, "what it holds"),
        ("cat", wal.cat, "one JSON line a record"),
        ("verify", wal.verify, "check every record"),
    ):
        added = _configured(_command(commands, name, body, words))
        added.add_argument("--directory", type=Path, metavar="DIR", help="of the buffer itself")
        added.add_argument("--bodies", action="store_true", help="base64, with cat")


def _audit(made: Commands) -> None:
    commands = made.add_parser("audit", help="ask and check the audit log").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    verifying = _configured(_command(commands, "verify", audit.verify, "check the log"))
    verifying.add_argument("export", type=Path, nargs="?", metavar="EXPORT", help="of the log")
    verifying.add_argument("--key", type=Path, metavar="FILE", help="verifier key you trust")
    verifying.add_argument(
        "--witness",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="checkpoints that gateways kept (`edge-gateway status --json`), or others",
    )
    exporting = _configured(_command(commands, "export", audit.export, "write the log to files"))
    exporting.add_argument("to", type=Path, metavar="DIR")
    proving = _configured(_command(commands, "prove", audit.prove, "prove one event"))
    proving.add_argument("--event", type=int, required=True, metavar="N", help="its number")
    proving.add_argument("--to", type=Path, metavar="DIR", help="event, proof, key and verifier")
    growing = _configured(
        _command(commands, "consistency", audit.consistency, "prove that nothing was rewritten")
    )
    growing.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="an older one")
    renewing = _configured(_command(commands, "rotate-key", audit.rotate_key, "make a new key"))
    renewing.add_argument("--reason", required=True, metavar="TEXT", help="goes into the log")
    reporting = _configured(
        _command(commands, "report", report.body, "write what auditors ask for, with its proof")
    )
    reporting.add_argument("report", choices=report.REPORTS, metavar="|".join(report.REPORTS))
    reporting.add_argument("to", type=Path, metavar="DIR")
    reporting.add_argument("--since", metavar="INSTANT", help="the period begins with it")
    reporting.add_argument("--until", metavar="INSTANT", help="the period ends before it")
    reporting.add_argument("--at", metavar="INSTANT", help="of an inventory; the newest event's")
    reporting.add_argument("--change", metavar="ID", help="a rollout, for the report `change`")
    reporting.add_argument(
        "--log", type=Path, metavar="EXPORT", help="ask an exported log instead"
    )
    reporting.add_argument("--key", type=Path, metavar="FILE", help="verifier key of that export")
    asking = _configured(_command(commands, "what-ran", audit.what_ran, "what ran, and why"))
    asking.add_argument("--asset", required=True, metavar="ASSET")
    asking.add_argument("--at", required=True, metavar="INSTANT", help="2026-03-02T14:05:00Z")


def _bundle(made: Commands) -> None:
    commands = made.add_parser("bundle", help="carry releases on a disk").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    exporting = _configured(_command(commands, "export", bundle.export, "write one release"))
    exporting.add_argument("tag", metavar="TAG", help="for example pump-condition-1.0.0")
    exporting.add_argument("to", type=Path, metavar="LAYOUT")
    importing = _configured(_command(commands, "import", bundle.import_, "take one release in"))
    importing.add_argument("tag", metavar="TAG")
    importing.add_argument("source", type=Path, metavar="LAYOUT")


def _command(made: Commands, name: str, body: Body, words: str) -> Parser:
    added = made.add_parser(name, help=words, description=words)
    added.add_argument("--json", action="store_true", help="one JSON document on stdout")
    added.set_defaults(body=body)
    return added


def _configured(added: Parser) -> Parser:
    added.add_argument("--config", type=Path, default=CONFIG, metavar="FILE")
    return added


if __name__ == "__main__":
    sys.exit(main())
