"""The flight recorder: why this gateway did what it did, in 64 KiB that outlive every rollback.

A ring of lines in one file of fixed size, so that neither a full disk nor a power cut can take
more of it than the line that was being written. It is read without a daemon:
`edge-gateway flight`, and every snapshot holds a copy.

    <crc32c of the rest, eight hex digits> <number> <JSON object> <newline>

The file is overwritten in place from its beginning once its end is reached. A line that was cut
or half overwritten does not have its checksum and is passed over; the numbers give the order.
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

import google_crc32c
import msgspec
import structlog

from edge_core.oci.disk import replace_bytes, writing

log = structlog.get_logger(__name__)

RING_BYTES: Final = 64 * 1024
LINE_BYTES_MAX: Final = 2048  # a longer one is cut to its first facts
PENDING_MAX: Final = 256  # lines in memory while the disk takes none; the oldest goes first
FLIGHT: Final = "record/flight.log"  # below the data folder
_FILL: Final = b"\n"


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    ends_at: int
    facts: dict[str, Any]  # JSON values


class FlightRecorder:
    """Writes the ring at *path*, whose folder exists; one process at a time.

    Args:
        path: the file, made if it is missing or of another size.
        now: the wall clock, for people; the order is the lines' own.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        newest = max(_lines(_ring(path)), key=lambda line: line.number, default=None)
        self._number = 0 if newest is None else newest.number
        self._offset = 0 if newest is None else newest.ends_at
        self._said: dict[str, dict[str, object]] = {}  # the last of each event
        self._pending: deque[bytes] = deque(maxlen=PENDING_MAX)
        self._writing = Lock()

    def note(self, event: str, **facts: object) -> None:
        """Keep a line; it is on the disk after the next `write`.

        What is said again and again, such as why a permit is not given, is kept once: a week of
        waiting must not push out why the week began.
        """
        if self._said.get(event) == facts:
            return
        self._said[event] = facts
        self._number += 1
        said = {"at": self._now().isoformat(timespec="milliseconds"), "event": event, **facts}
        self._pending.append(_encoded(self._number, said))

    def write(self) -> None:
        """Bring what was noted to the disk. Blocks; several threads may, one after the other.

        Raises:
            TryAgainError: the disk does not take it; the lines wait for the next time.
        """
        with self._writing, writing(str(self._path)):
            if not self._pending:
                return
            if len(_ring(self._path)) != RING_BYTES:
                replace_bytes(self._path, _FILL * RING_BYTES)
                self._offset = 0
            self._bring(list(self._pending))

    def _bring(self, lines: list[bytes]) -> None:
        """Write *lines* and flush them; only then are they no longer pending."""
        begun = self._offset
        ring = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for line in lines:
                self._put(ring, line)
            os.fdatasync(ring)
        except OSError:
            self._offset = begun
            raise
        finally:
            os.close(ring)
        for line in lines:
            # More may have been noted meanwhile, and may have pushed the oldest out.
            if self._pending and self._pending[0] is line:
                self._pending.popleft()

    def _put(self, ring: int, line: bytes) -> None:
        if self._offset + len(line) > RING_BYTES:
            os.pwrite(ring, _FILL * (RING_BYTES - self._offset), self._offset)
            self._offset = 0
        os.pwrite(ring, line, self._offset)
        self._offset += len(line)


def read(path: Path) -> list[dict[str, Any]]:  # Any: JSON values
    """The lines of the ring at *path*, oldest first; none if there is no ring. Blocks."""
    lines = sorted(_lines(_ring(path)), key=lambda line: line.number)
    return [{"number": line.number, **line.facts} for line in lines]


def _ring(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""


def _encoded(number: int, said: dict[str, Any]) -> bytes:  # Any: JSON values
    """One line; facts are left out from the end until it is short enough."""
    while True:
        rest = b"%d %s" % (number, msgspec.json.encode(said, enc_hook=str))
        if len(rest) < LINE_BYTES_MAX - 10 or not said:
            return b"%08x %s\n" % (google_crc32c.value(rest), rest)
        said = dict(list(said.items())[:-1])


def _lines(ring: bytes) -> list[_Line]:
    found: list[_Line] = []
    offset = 0
    for raw in ring.split(_FILL):
        offset += len(raw) + 1
        checksum, _, rest = raw.partition(b" ")
        number, _, body = rest.partition(b" ")
        if not rest or checksum != b"%08x" % google_crc32c.value(rest):
            continue
        with suppress(ValueError, msgspec.MsgspecError):
            facts = msgspec.json.decode(body, type=dict[str, Any])
            found.append(_Line(int(number), offset, facts))
    return found
