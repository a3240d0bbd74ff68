"""`edge-gateway`: run the daemon, check its configuration, ask it, order a rollback, enrol."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_core.command import Parser, emit, end, one_line, tell
from edge_core.contracts.errors import ConfigurationError, TryAgainError
from edge_core.trust.policy import Trust
from edge_runtime.config import Config, load
from edge_runtime.control import Asked, RollbackAsked, StatusAsked, ask
from edge_runtime.errors import DaemonAbsentError, ExtraMissingError
from edge_runtime.sources.factory import SourceMeans, make

PROGRAM: Final = "edge-gateway"
CONFIG: Final = Path("/etc/edge-gateway/gateway.toml")
NOT_REACHABLE: Final = DaemonAbsentError.exit_code

EXIT_CODES: Final = """exit codes:
  0 done   1 our own failure   2 usage   3 refused   4 no such thing   5 not reachable
  6 conflict   75 try again   77 not permitted   78 configuration"""


def parser() -> Parser:
    """The command line."""
    top = Parser(prog=PROGRAM, description=__doc__, epilog=EXIT_CODES)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the gateway until it is told to stop")
    check = commands.add_parser("check-config", help="say what is wrong with a configuration")
    check.add_argument("config", type=Path, metavar="FILE", help="the configuration to check")
    status = commands.add_parser("status", help="how the gateway is, from its daemon")
    status.add_argument("--json", action="store_true", help="one JSON document on stdout")
    rollback = commands.add_parser(
        "rollback", help="leave what runs for the version before it; needs no network"
    )
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why; goes to the audit")
    enrol = commands.add_parser("enrol", help="spend the one-time token on a certificate")
    enrol.add_argument("--token", type=Path, metavar="FILE", help="instead of proxy.token")
    for command in (run, status, rollback, enrol):
        command.add_argument(
            "--config", type=Path, default=CONFIG, metavar="FILE", help=f"default {CONFIG}"
        )
    for command, body in (
        (run, _run),
        (check, _check),
        (status, _status),
        (rollback, _rollback),
        (enrol, _enrol),
    ):
        command.epilog = EXIT_CODES
        command.set_defaults(body=body)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""

    def chosen(found: argparse.Namespace) -> int:
        code: int = found.body(found)
        return code

    return end(PROGRAM, chosen, parser(), arguments)


def _run(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    try:
        from edge_runtime.daemon import serve  # noqa: PLC0415 - other commands need none of it
        from edge_runtime.logs import configure  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ExtraMissingError(
            f"library {error.name}: expected it to be installed; install edge-mlops[gateway]"
        ) from None
    logs = configure(config.log_level)
    asyncio.run(serve(config, logs))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    Trust.load(config.trust_policy)
    # Making the sources checks every tag's address; nothing is dialled.
    make(config, SourceMeans(lambda _: None, time.monotonic, time.time_ns))
    if not config.proxy.ca.is_file():
        raise ConfigurationError(f"`$.proxy.ca`: expected a PEM file at {config.proxy.ca}")
    tell(PROGRAM, f"{arguments.config}: {config.serial}, {len(config.tags)} tags, in order")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    try:
        status = _asked(config, StatusAsked())
        code = 0
    except DaemonAbsentError as error:
        tell(PROGRAM, str(error))
        status, code = _from_disk(config), NOT_REACHABLE
    if arguments.json:
        emit(status)
    else:
        for line in _words(status):
            print(one_line(line))  # reasons and names come from outside
    return code


def _rollback(arguments: argparse.Namespace) -> int:
    reason = str(arguments.reason)
    if not 3 <= len(reason) <= 500:
        raise ConfigurationError(f"--reason: expected 3 to 500 characters, found {len(reason)}")
    config = load(arguments.config)
    try:
        answer = _asked(config, RollbackAsked(reason=reason))
    except DaemonAbsentError:
        answer = _rollback_on_disk(config, reason)
    tell(PROGRAM, f"ordered; goes to {answer['target'] or 'no model'}")
    return 0


def _enrol(arguments: argparse.Namespace) -> int:
    from edge_runtime.assembly import Folders  # noqa: PLC0415 - needs the daemon's libraries
    from edge_runtime.enrolment import enrol_once  # noqa: PLC0415 - likewise
    from edge_runtime.identity import IdentityFolder  # noqa: PLC0415 - likewise

    config = load(arguments.config)
    identity = IdentityFolder(Folders(config.data).identity, config.serial)
    asyncio.run(enrol_once(config.proxy, identity, arguments.token))
    ends = identity.certificate().not_valid_after_utc
    tell(PROGRAM, f"{config.serial} is enrolled until {ends.isoformat()}")
    return 0


def _asked(config: Config, asked: Asked) -> dict[str, Any]:  # Any: JSON values
    answer = ask(config.socket, asked)
    if answer.error is not None:
        raise _RefusedError(answer.message, answer.exit_code)
    return answer.body


def _from_disk(config: Config) -> dict[str, Any]:  # Any: JSON values
    """What the record says while no daemon runs."""
    from edge_runtime.update.store import RecordStore  # noqa: PLC0415 - only when it is needed

    record = RecordStore(config.data / "record").record
    found: dict[str, Any] = {  # Any: JSON values
        "daemon": False,
        "serial": config.serial,
        "references": msgspec.to_builtins(record.slots.shown),
        "effective": record.slots.effective,
        "running": None,
        "boot_epoch": record.boot_epoch,
    }
    return found


def _rollback_on_disk(config: Config, reason: str) -> dict[str, Any]:  # Any: JSON values
    """Write the order into the record; the daemon obeys when it starts."""
    from edge_runtime.startup import sole_use  # noqa: PLC0415 - only when it is needed
    from edge_runtime.update.agent import order_from  # noqa: PLC0415 - likewise
    from edge_runtime.update.events import OrderedBack  # noqa: PLC0415 - likewise
    from edge_runtime.update.machine import advance  # noqa: PLC0415 - likewise
    from edge_runtime.update.store import RecordStore  # noqa: PLC0415 - likewise

    with sole_use(config.data):
        store = RecordStore(config.data / "record")
        order, target = order_from(store.record, reason)
        store.save(advance(store.record, OrderedBack(order, local=True)))
    tell(PROGRAM, "the daemon does not run; it obeys when it starts")
    return {"target": target}


def _words(status: dict[str, Any]) -> list[str]:  # Any: JSON values
    """The status for people, one fact a line."""
    references = status.get("references") or {}
    update = status.get("update") or {}
    lines = [
        f"gateway     {status.get('serial')}",
        f"running     {status.get('running') or 'no model'}",
        *(f"{name:<11} {references.get(name) or '-'}" for name in references),
    ]
    if update:
        lines.append(
            f"update      {update.get('state')} {update.get('digest')} {update.get('reason')}"
        )
    windows = status.get("windows")
    if windows:
        lines.append("windows     " + " ".join(f"{key} {value}" for key, value in windows.items()))
    lines += [f"fault       {fault}" for fault in status.get("faults") or []]
    return lines


class _RefusedError(TryAgainError):
    """What the daemon refused, with the exit code it named."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # the daemon's error decides, not our class


if __name__ == "__main__":
    sys.exit(main())
