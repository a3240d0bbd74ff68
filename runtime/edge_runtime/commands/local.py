"""`edge-gateway status`, `rollback`, `flight`, `enrol`: what a person at the gateway can do."""

import argparse
import asyncio
from typing import Any, Final

import msgspec

from edge_core.command import emit, tell
from edge_core.contracts.errors import ConfigurationError
from edge_runtime.commands.names import PROGRAM
from edge_runtime.commands.output import json_line, pictures, say
from edge_runtime.config import Config, load
from edge_runtime.control import Asked, RollbackAsked, StatusAsked, ask
from edge_runtime.errors import DaemonAbsentError, DaemonRefusedError

NOT_REACHABLE: Final = DaemonAbsentError.exit_code
_HEAD: Final = frozenset({"number", "at", "boot", "event"})  # said first, and without a name


def status(arguments: argparse.Namespace) -> int:
    """How the gateway is: from its daemon, or from its record while no daemon runs."""
    config = load(arguments.config)
    try:
        found = _asked(config, StatusAsked())
        code = 0
    except DaemonAbsentError as error:
        tell(PROGRAM, str(error))
        found, code = _from_disk(config), NOT_REACHABLE
    if arguments.json:
        emit(found)
    else:
        for line in _words(found):
            say(line)
    return code


def rollback(arguments: argparse.Namespace) -> int:
    """Order what runs left; without a daemon the order waits for its start."""
    reason = str(arguments.reason)
    if not 3 <= len(reason) <= 500:
        raise ConfigurationError(f"--reason: expected 3 to 500 characters, found {len(reason)}")
    config = load(arguments.config)
    try:
        answer = _asked(config, RollbackAsked(reason=reason))
    except DaemonAbsentError:
        answer = _rollback_on_disk(config, reason)
    if arguments.json:
        emit({"ordered": True, "target": answer["target"]})
    tell(PROGRAM, f"ordered; goes to {answer['target'] or 'no model'}")
    return 0


def flight(arguments: argparse.Namespace) -> int:
    """What the flight recorder holds, oldest first; needs no daemon and no site."""
    from edge_runtime.update.recorder import FLIGHT, read  # noqa: PLC0415 - only when it is needed

    config = load(arguments.config)
    for line in read(config.data / FLIGHT):
        if arguments.json:
            json_line(line)
        else:
            said = {key: value for key, value in line.items() if key not in _HEAD}
            facts = " ".join(f"{key}={value}" for key, value in said.items() if value is not None)
            say(f"{line.get('at')}  boot {line.get('boot')}  {line.get('event')}  {facts}")
    return 0


def enrol(arguments: argparse.Namespace) -> int:
    """Spend the one-time token on a certificate."""
    from edge_runtime.enrolment import enrol_once  # noqa: PLC0415 - likewise
    from edge_runtime.folders import Folders  # noqa: PLC0415 - needs the daemon's libraries
    from edge_runtime.identity import IdentityFolder  # noqa: PLC0415 - likewise

    config = load(arguments.config)
    identity = IdentityFolder(Folders(config.data).identity, config.serial)
    asyncio.run(enrol_once(config.proxy, identity, arguments.token))
    ends = identity.certificate().not_valid_after_utc
    if arguments.json:
        emit({"serial": config.serial, "not_after": ends})
    tell(PROGRAM, f"{config.serial} is enrolled until {ends.isoformat()}")
    return 0


def _asked(config: Config, asked: Asked) -> dict[str, Any]:  # Any: JSON values
    answer = ask(config.socket, asked)
    if answer.error is not None:
        raise DaemonRefusedError(answer.message, answer.exit_code)
    return answer.body


def _from_disk(config: Config) -> dict[str, Any]:  # Any: JSON values
    """What the record says while no daemon runs."""
    from edge_runtime.update.store import RecordStore  # noqa: PLC0415 - only when it is needed
    from edge_runtime.witness import WITNESS  # noqa: PLC0415 - likewise
    from edge_runtime.witness import load as load_seen  # noqa: PLC0415 - likewise

    record = RecordStore(config.data / "record").record
    seen = load_seen(config.data / WITNESS)
    found: dict[str, Any] = {  # Any: JSON values
        "daemon": False,
        "serial": config.serial,
        "references": msgspec.to_builtins(record.slots.shown),
        "effective": record.slots.effective,
        "running": None,
        "boot_epoch": record.boot_epoch,
        **msgspec.to_builtins(seen),
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
    witnessed = status.get("checkpoint")
    if witnessed:
        lines.append(f"witnessed   {witnessed.get('size')} entries of the site's audit log")
    if status.get("contradiction"):
        lines.append("witnessed   two audit logs that contradict each other: see --json")
    lines += [f"pictures    {pictures(each)}" for each in status.get("pictures") or []]
    lines += [f"fault       {fault}" for fault in status.get("faults") or []]
    lines += [f"bad input   {each['words']}" for each in status.get("bad_inputs") or []]
    return lines
