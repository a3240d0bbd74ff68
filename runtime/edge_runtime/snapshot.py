"""A snapshot for whoever looks into a gateway: state, flight recorder, verdicts and log lines.

It appears by rename, whole: a power cut leaves none of it, and the next start sweeps the rest.
"""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import StatusReport
from edge_core.oci.disk import replace_bytes, sync_folder, writing
from edge_runtime.faults import Faults
from edge_runtime.update.record import Record
from edge_runtime.update.recorder import read
from edge_runtime.verdict import Verdict

log = structlog.get_logger(__name__)

KEPT_MAX: Final = 8  # snapshots on disk; the oldest goes first
LOOK_S: Final = 1.0
TRIES: Final = 5  # of one that the disk refuses; then somebody has to order another
RETRY_S: Final = 30.0
FAULT: Final = "snapshot"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")


async def take_wanted(
    wanted: Callable[[], str | None],
    take_one: Callable[[str], Awaitable[Path | None]],
    faults: Faults,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Take each snapshot that is wanted, once, for ever.

    Args:
        wanted: its name, None while none is.
        take_one: takes it.
        faults: hears of one that the disk refuses.
        pause: between two looks, seconds.
    """
    taken: str | None = None
    failures = 0
    while True:
        await pause(RETRY_S if failures else LOOK_S)
        name = wanted()
        if name is None or name == taken:
            continue
        try:
            place = await take_one(name)
        except EdgeError as error:
            failures += 1
            faults.fault(FAULT, f"snapshot {name}: {error}; tried {failures} of {TRIES} times")
            if failures < TRIES:
                continue
        else:
            faults.mend(FAULT)
            log.info("snapshot.taken", name=name, path=str(place))
        taken, failures = name, 0


def take(
    folder: Path,
    name: str,
    *,
    record: Record,
    flight: Path,
    status: StatusReport,
    verdicts: Sequence[Verdict],
    lines: Sequence[dict[str, Any]],  # JSON values
) -> Path | None:
    """Write the snapshot *name*; None if it is there already, or is no name. Blocks.

    Raises:
        TryAgainError: the disk takes no bytes.
    """
    if _NAME.match(name) is None:
        return None
    with writing(str(folder)):
        if (folder / name).is_dir():
            return None
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder)
        making = folder / f".{name}"
        making.mkdir()
        replace_bytes(making / "record.json", msgspec.json.encode(record))
        replace_bytes(making / "status.json", msgspec.json.encode(status))
        replace_bytes(making / "flight.jsonl", _lines(read(flight)))
        replace_bytes(making / "verdicts.jsonl", _lines(verdicts))
        replace_bytes(making / "log.jsonl", _lines(lines))
        place = making.replace(folder / name)
        sync_folder(folder)
    return place


def _lines(documents: Sequence[object]) -> bytes:
    return b"".join(msgspec.json.encode(document, enc_hook=str) + b"\n" for document in documents)


def _make_room(folder: Path) -> None:
    for unfinished in folder.glob(".*"):
        shutil.rmtree(unfinished)
    taken = sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns)
    for old in taken[: max(0, len(taken) - KEPT_MAX + 1)]:
        shutil.rmtree(old)
