"""Samples as columns: which tag, what value, how good, and when at the source."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError


class CellQuality(IntEnum):
    """How good a sample or a grid cell is, and if it is not, why; the higher, the worse.

    The first three are OPC UA's severities. GAP on a sample says that from here on nothing is
    known until the next one (a cut connection); a cell before any sample is one too. STALE and
    STUCK are found on rows: held too long, and standing still too long. IMPOSSIBLE is a sentinel
    or a value that the instrument cannot show, OFF_TIME a source time that is not of now, UNIT a
    value in another unit than the tag has.
    """

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    GAP = 3
    STUCK = 4
    STALE = 5
    IMPOSSIBLE = 6
    OFF_TIME = 7
    UNIT = 8


_USABLE_MAX = np.uint8(CellQuality.UNCERTAIN)  # an enum in a comparison costs more than the rest
TIME_MAX_NS = 2**62 - 1  # the year 2116, and back from 1970 as far: differences stay in 64 bits


def usable(quality: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a value may be computed with: good, or uncertain (which is flagged elsewhere)."""
    return np.asarray(quality <= _USABLE_MAX)


def severity(status: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Quality of OPC UA status codes: their two top bits (OPC 10000-4, 7.38); reserved is bad."""
    top = np.asarray(status >> np.uint32(30))
    return np.minimum(top, CellQuality.BAD).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of equal length, in order of arrival; every column has shape (sample,).

    `tags` are column numbers of the window (0 is the first role of the signature), `times_ns` are
    source times in nanoseconds since the Unix epoch, at most `TIME_MAX_NS` from it.

    Raises:
        ColumnError: the columns differ in length.
    """

    tags: NDArray[np.int32]
    values: NDArray[np.float32]
    quality: NDArray[np.uint8]
    times_ns: NDArray[np.int64]

    def __post_init__(self) -> None:
        lengths = {len(self.tags), len(self.values), len(self.quality), len(self.times_ns)}
        if len(lengths) != 1:
            raise ColumnError(f"samples: expected columns of one length, found {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.tags)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Samples":
        """The samples at these positions, or where the mask is true."""
        return Samples(
            self.tags[chosen], self.values[chosen], self.quality[chosen], self.times_ns[chosen]
        )


def from_columns(
    tags: NDArray[np.integer],
    values: NDArray[np.floating],
    times_ns: NDArray[np.integer],
    status: NDArray[np.integer] | None = None,
) -> Samples:
    """Samples from arrays as a notebook or a file has them; every column has shape (sample,).

    Args:
        tags: column numbers of the window.
        values: NaN where there is none.
        times_ns: source times, nanoseconds since the Unix epoch; what lies outside of the years
            1823 to 2116 counts as their end.
        status: OPC UA status codes; without them every sample is good.

    Raises:
        ColumnError: the columns differ in length.
    """
    codes = np.zeros(len(tags), np.uint32) if status is None else status.astype(np.uint32)
    return Samples(
        tags.astype(np.int32, copy=False),
        values.astype(np.float32, copy=False),
        severity(codes),
        np.clip(times_ns.astype(np.int64, copy=False), -TIME_MAX_NS, TIME_MAX_NS),
    )


def join(parts: list[Samples]) -> Samples:
    """One after the other; of no parts, no samples."""
    if len(parts) == 1:
        return parts[0]
    return Samples(
        np.concatenate([np.empty(0, np.int32), *(part.tags for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.values for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.quality for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.times_ns for part in parts)]),
    )
