"""Recorded samples from lines of text, so that training sees what a gateway would have seen.

A file has a header and one sample a line: `tag,timestamp,value,status`, in any order of columns.

    timestamp   ISO 8601 with an offset or Z, or whole nanoseconds since 1970; without an offset
                only where the caller says which zone the file is in
    value       a number with a point; empty where there was none; a word such as a recipe's name
    status      an OPC UA status code (decimal or 0x...), good, uncertain or bad; empty is good

The column `status` may be missing.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import numpy as np

from edge_core.features.errors import RecordingError
from edge_core.features.samples import TIME_MAX_NS, Samples, from_columns
from edge_core.features.words import number_of

COLUMNS: Final = ("tag", "timestamp", "value")
_STATUS: Final = {"": 0, "good": 0, "uncertain": 0x4000_0000, "bad": 0x8000_0000}
_STATUS_MAX: Final = 0xFFFF_FFFF
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Recording:
    """Samples in the order of the file; tag n of `samples` is `roles[n]`."""

    roles: tuple[str, ...]
    samples: Samples


def read_samples(
    lines: Iterable[str], roles: Sequence[str] = (), zone: tzinfo | None = None
) -> Recording:
    """Read a recording; a file that was opened with `newline=""` is its lines.

    Args:
        lines: with the header.
        roles: the tags that are wanted, in the order of the window's columns; others are passed
            over. None is: all of them, in the order in which they come.
        zone: of timestamps without an offset. Where it has an hour twice, as in autumn, the first
            one is meant until the times of the tag step back, then the second.

    Raises:
        RecordingError: names the line, what was expected and what was found.
    """
    reader = csv.reader(lines)
    try:
        places = _places(next(reader, []))
        rows = list(_rows(reader, places, list(roles), zone))
    except csv.Error as error:
        raise RecordingError(f"line {reader.line_num}: expected CSV, found {error}") from None
    names = tuple(roles) or tuple(dict.fromkeys(row[0] for row in rows))
    column = {name: number for number, name in enumerate(names)}
    return Recording(
        names,
        from_columns(
            np.array([column[row[0]] for row in rows], np.int32),
            np.array([row[2] for row in rows], np.float64),
            np.array([row[1] for row in rows], np.int64),
            np.array([row[3] for row in rows], np.uint32),
        ),
    )


def _places(header: Sequence[str]) -> dict[str, int]:
    """Where each column stands; the header may begin with a byte order mark."""
    names = [name.strip().removeprefix("\ufeff").lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise RecordingError(
            f"line 1: expected columns {', '.join(COLUMNS)} and status, found no "
            f"{' and no '.join(missing)} in {', '.join(names)[:80]!r}"
        )
    return {name: names.index(name) for name in (*COLUMNS, "status") if name in names}


def _rows(
    reader: Iterator[list[str]],
    places: Mapping[str, int],
    roles: Sequence[str],
    zone: tzinfo | None,
) -> Iterator[tuple[str, int, float, int]]:
    wanted, clock = set(roles), _LocalClock(zone)
    width = max(places.values()) + 1
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) < width:
            raise RecordingError(f"line {number}: expected {width} fields, found {len(row)}")
        tag = row[places["tag"]].strip()
        if wanted and tag not in wanted:
            continue
        try:
            at_ns = clock.nanoseconds(tag, row[places["timestamp"]].strip())
            status = _status(row[places["status"]]) if "status" in places else 0
        except ValueError as error:
            raise RecordingError(f"line {number}: tag {tag[:80]!r}: {error}") from None
        # The clip that columns get, but of whole numbers of any size.
        at_ns = max(-TIME_MAX_NS, min(TIME_MAX_NS, at_ns))
        yield tag, at_ns, _value(row[places["value"]].strip()), status


def _value(text: str) -> float:
    """A number, or that of a word; NaN where there is nothing."""
    try:
        return float(text)
    except ValueError:
        return number_of(text)


def _status(text: str) -> int:
    word = text.strip().lower()
    if word in _STATUS:
        return _STATUS[word]
    try:
        code = int(word, 0)
    except ValueError:
        code = -1
    if not 0 <= code <= _STATUS_MAX:
        raise ValueError(f"status: expected a code, good, uncertain or bad, found {text[:40]!r}")
    return code


class _LocalClock:
    """Timestamps as nanoseconds; remembers the last one of each tag where an hour may repeat."""

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._last_ns: dict[str, int] = {}

    def nanoseconds(self, tag: str, text: str) -> int:
        """One timestamp.

        Raises:
            ValueError: in words for people.
        """
        if text.removeprefix("-").isdecimal() and len(text) < 20:
            return int(text)
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"timestamp: expected ISO 8601 or nanoseconds since 1970, found {text[:40]!r}"
            ) from None
        if at.tzinfo is not None:
            return _since_epoch(at)
        if self._zone is None:
            raise ValueError(
                f"timestamp: expected an offset such as Z or +01:00, or a zone for the whole "
                f"file, found {text[:40]!r}"
            )
        first = _since_epoch(at.replace(tzinfo=self._zone))
        again = _since_epoch(at.replace(tzinfo=self._zone, fold=1))
        last_ns = self._last_ns.get(tag)
        # In spring, where an hour is missing, the two differ the other way round.
        chosen = again if last_ns is not None and first < last_ns <= again else first
        self._last_ns[tag] = chosen
        return chosen


def _since_epoch(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND * 1000
