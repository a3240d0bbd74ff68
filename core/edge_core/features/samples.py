"""Samples as columns: which tag, what value, how good, and when at the source."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError


class CellQuality(IntEnum):
    """How good a sample or a grid cell is. The first three are OPC UA's severities.

    GAP stands on a sample for "from here on nothing is known until the next sample" (a cut
    connection), on a cell also for a value older than the stale limit. STUCK is set by a rule.
    """

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    GAP = 3
    STUCK = 4


def usable(quality: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a value may be computed with: good, or uncertain (which is flagged elsewhere)."""
    return np.asarray(quality <= CellQuality.UNCERTAIN)


def severity(status: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Quality of OPC UA status codes: their two top bits (OPC 10000-4, 7.38); reserved is bad."""
    top = np.asarray(status >> np.uint32(30))
    return np.minimum(top, CellQuality.BAD).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of equal length, in order of arrival; every column has shape (sample,).

    `tags` are column numbers of the window (0 is the first role of the signature), `times_ns` are
    source times in nanoseconds since the Unix epoch.

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
