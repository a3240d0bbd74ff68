"""The grammar of `edge-gateway`: names, arguments, help with an example, and which body runs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from edge_core.command import Parser
from edge_runtime.commands import browse, daemon, doctor, local, mapping, server, watch
from edge_runtime.commands.names import CONFIG, EXIT_CODES, PROGRAM

DOCTOR_CODES = """0 means that nothing fails; there may be warnings. Of several that fail the
first in this order is the exit code, since it must be put right first: 78 a setting or a file,
77 not permitted, 3 a policy or contract, 4, 5 who does not answer, 75 clock, disk or memory."""

Body = Callable[[argparse.Namespace], int]
Arguments = TypeVar("Arguments", bound=argparse._ActionsContainer)  # noqa: SLF001 - argparse names it no other way
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - argparse names it no other way


def parser() -> Parser:
    """The whole grammar."""
    top = Parser(
        prog=PROGRAM,
        description="Plant signals in, verdicts out: the daemon of one gateway and its tools.",
        epilog=EXIT_CODES,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _configured(
        _command(
            commands,
            "run",
            daemon.run,
            "run the gateway until it is told to stop",
            "edge-gateway run --config /etc/edge-gateway/gateway.toml",
        )
    )
    check = _command(
        commands,
        "check-config",
        daemon.check,
        "say what is wrong with a configuration; nothing is dialled",
        "edge-gateway check-config /etc/edge-gateway/gateway.toml",
    )
    check.add_argument("config", type=Path, metavar="FILE", help="the configuration to check")
    _commissioning(commands)
    _examining(commands)
    _person(commands)
    return top


def _commissioning(commands: Commands) -> None:
    """What puts a gateway into service."""
    browsing = _command(
        commands,
        "browse",
        browse.browse,
        "what an OPC UA server has: ids, types, units, access, present values",
        "edge-gateway browse opc.tcp://192.0.2.7:4840 --filter pump-7 --toml > plc.toml",
    )
    browsing.add_argument("url", nargs="?", metavar="URL", help="opc.tcp://HOST:PORT")
    forms = browsing.add_mutually_exclusive_group()
    _json(forms)
    forms.add_argument("--csv", action="store_true", help="a line a node, for a spreadsheet")
    forms.add_argument("--toml", action="store_true", help="`[[nodes]]`, for `map` and for people")
    browsing.add_argument(
        "--filter", metavar="TEXT", help="only nodes with TEXT in path, id, type or unit"
    )
    browsing.add_argument(
        "--depth", type=_count, default=20, metavar="N", help="levels below the root; default 20"
    )
    browsing.add_argument("--root", metavar="NODEID", help="instead of the Objects folder")
    browsing.add_argument(
        "--nodes-max", type=_count, default=100_000, metavar="N", help="default 100000"
    )
    browsing.add_argument(
        "--with-server", action="store_true", help="the server's own diagnostics too"
    )
    server.add_arguments(browsing)
    proposing = _command(
        commands,
        "map",
        mapping.map_tags,
        "propose a tag map for a model's contract by name and unit; 3 if a role finds none",
        "edge-gateway map --contract signature.json --browse plc.toml --filter pump-7",
    )
    proposing.add_argument(
        "--contract",
        type=Path,
        required=True,
        metavar="PATH",
        help="a signature.json, an image layout, or a gateway's data folder",
    )
    proposing.add_argument("--release", metavar="TEXT", help="version or digest, of several")
    proposing.add_argument(
        "--browse", metavar="FILE|URL", help="an export of `browse`, or the server itself"
    )
    proposing.add_argument(
        "--filter", metavar="TEXT", help="only nodes with TEXT in path, id, type or unit"
    )
    proposing.add_argument("--out", type=Path, metavar="FILE", help="write the tags there")
    server.add_arguments(_json(proposing))


def _examining(commands: Commands) -> None:
    examining = _command(
        commands,
        "doctor",
        doctor.doctor,
        "examine clock, disk, certificates, servers, brokers, site, memory, and say what to do",
        "edge-gateway doctor --config /etc/edge-gateway/gateway.toml",
    )
    examining.epilog = f"{examining.epilog}\n\n{DOCTOR_CODES}"
    examining.add_argument(
        "--local", action="store_true", help="this machine alone; nothing is dialled"
    )
    _configured(_json(examining))


def _person(commands: Commands) -> None:
    """What a person at the gateway asks and orders."""
    status = _command(
        commands,
        "status",
        local.status,
        "how the gateway is, from its daemon",
        "edge-gateway status --json | jq .windows",
    )
    watching = _command(
        commands,
        "watch",
        watch.watched,
        "values, windows and verdicts as they come, from the daemon; ends with Ctrl-C",
        "edge-gateway watch --role flow --every 0.5",
    )
    watching.add_argument("--socket", type=Path, metavar="PATH", help="instead of --config's")
    watching.add_argument(
        "--role", action="append", metavar="ROLE", help="values of this role only; repeatable"
    )
    watching.add_argument(
        "--every", type=_pace, default=1.0, metavar="S", help="between two looks at the values"
    )
    watching.add_argument(
        "--lines", type=_count, metavar="N", help="end after so many lines, for scripts"
    )
    _configured(_json(watching, "JSON lines on stdout"))
    rollback = _command(
        commands,
        "rollback",
        local.rollback,
        "leave what runs for the version before it; needs no network",
        'edge-gateway rollback --reason "false alarms since the morning"',
    )
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why; goes to the audit")
    flight = _command(
        commands,
        "flight",
        local.flight,
        "the flight recorder: each step of the last updates, and why; needs no daemon",
        "edge-gateway flight | tail -20",
    )
    enrol = _command(
        commands,
        "enrol",
        local.enrol,
        "spend the one-time token on a certificate",
        "edge-gateway enrol --token /etc/edge-gateway/token",
    )
    enrol.add_argument("--token", type=Path, metavar="FILE", help="instead of proxy.token")
    for each in (status, rollback, flight, enrol):
        _configured(_json(each))


def _command(commands: Commands, name: str, body: Body, words: str, example: str) -> Parser:
    made = commands.add_parser(name, help=words, description=words)
    made.epilog = f"example:\n  {example}\n\n{EXIT_CODES}"
    made.set_defaults(body=body)
    return made


def _configured(command: Parser) -> Parser:
    command.add_argument(
        "--config", type=Path, default=CONFIG, metavar="FILE", help=f"default {CONFIG}"
    )
    return command


def _pace(text: str) -> float:
    """Seconds between 0.05 and an hour."""
    seconds = float(text)
    if not 0.05 <= seconds <= 3600:
        raise ValueError(text)
    return seconds


def _count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _json(command: Arguments, words: str = "one JSON document on stdout") -> Arguments:
    command.add_argument("--json", action="store_true", help=words)
    return command
