"""A snapshot for whoever looks into a gateway: state, verdicts and log lines in one folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_core.contracts.gateway import StatusReport
from edge_core.oci.disk import replace_bytes
from edge_runtime.update.record import Record
from edge_runtime.verdict import Verdict

KEPT_MAX: Final = 8  # snapshots on disk; the oldest goes first
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")


def take(
    folder: Path,
    name: str,
    *,
    record: Record,
    status: StatusReport,
    verdicts: Sequence[Verdict],
    lines: Sequence[dict[str, Any]],  # JSON values
) -> Path | None:
    """Write the snapshot *name*; None if it is there already, or is no name. Blocks.

    Raises:
        TryAgainError: the disk takes no bytes.
    """
    if _NAME.match(name) is None or (folder / name).is_dir():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    _make_room(folder)
    place = folder / name
    place.mkdir()
    replace_bytes(place / "record.json", msgspec.json.encode(record))
    replace_bytes(place / "status.json", msgspec.json.encode(status))
    replace_bytes(place / "verdicts.jsonl", _lines(verdicts))
    replace_bytes(place / "log.jsonl", _lines(lines))
    return place


def _lines(documents: Sequence[object]) -> bytes:
    return b"".join(msgspec.json.encode(document, enc_hook=str) + b"\n" for document in documents)


def _make_room(folder: Path) -> None:
    taken = sorted(
        (each for each in folder.iterdir() if each.is_dir()),
        key=lambda each: each.stat().st_mtime_ns,
    )
    for old in taken[: max(0, len(taken) - KEPT_MAX + 1)]:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
