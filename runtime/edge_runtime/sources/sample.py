"""What every source hands on: columns of samples, and what a gap in them is.

A sample's status is OPC UA's code, whatever the source. Its two top bits are the quality: good,
uncertain, bad (OPC 10000-4, 7.39.1). The fourth value is reserved there and ours here: from this
instant on nothing is known of the tag until its next sample, for the reason in the low bits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError
from edge_core.features.samples import CellQuality

SEVERITY_BITS: Final = 30


class GapCause(IntEnum):
    """Why nothing was known for a while."""

    UNTOLD = 0
    CONNECTION = 1  # the socket went, or was refused
    SILENCE = 2  # it stood, and nothing came
    OVERFLOW = 3  # the source says that its queue dropped values
    SEQUENCE = 4  # a message is missing
    DEATH = 5  # the source said that it ends
    UNIT = 6  # what comes from here on is in another unit than the tag's


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Samples that came together, in order of arrival; every column has shape (sample,).

    Attributes:
        tags: place in the configuration's list of tags.
        values: as numbers, in the tag's unit; NaN where there is none.
        source_ns: time at the source, nanoseconds since 1970.
        status: OPC UA status codes, or `gap_status`.
        arrived_s: monotonic clock when it came; None is now.
        historical: it fills a gap late and on purpose, and says nothing about what time it is.

    Raises:
        ColumnError: the columns differ in length.
    """

    tags: NDArray[np.int32]
    values: NDArray[np.float64]
    source_ns: NDArray[np.int64]
    status: NDArray[np.uint32]
    arrived_s: float | None = None
    historical: bool = False

    def __post_init__(self) -> None:
        lengths = {len(self.tags), len(self.values), len(self.source_ns), len(self.status)}
        if len(lengths) != 1:
            raise ColumnError(f"samples: expected columns of one length, found {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.tags)

    @property
    def quality(self) -> NDArray[np.uint8]:
        """The `CellQuality` of each sample: good, uncertain, bad or gap."""
        return np.asarray(self.status >> np.uint32(SEVERITY_BITS)).astype(np.uint8)

    def late(self) -> "SampleBatch":
        """The same samples, known to come late."""
        return replace(self, historical=True)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "SampleBatch":
        """The samples at these positions, or where the mask is true."""
        return SampleBatch(
            self.tags[chosen],
            self.values[chosen],
            self.source_ns[chosen],
            self.status[chosen],
            self.arrived_s,
            self.historical,
        )


def gap_status(cause: GapCause = GapCause.UNTOLD) -> int:
    """The status of a sample from which on nothing is known."""
    return int(CellQuality.GAP) << SEVERITY_BITS | int(cause)


def gaps(tags: Sequence[int], from_ns: int, cause: GapCause) -> SampleBatch:
    """From *from_ns* on nothing is known of *tags*."""
    count = len(tags)
    return SampleBatch(
        np.array(tags, np.int32),
        np.full(count, np.nan),
        np.full(count, from_ns, np.int64),
        np.full(count, gap_status(cause), np.uint32),
    )


class TagSample(NamedTuple):
    """One row of a batch, for a source that has only a few: the tag by its role."""

    role: str
    value: float
    quality: CellQuality
    source_ns: int


def batch_of(samples: Iterable[TagSample], columns: Mapping[str, int]) -> SampleBatch:
    """Rows as columns; *columns* gives each role's place in the configuration's list of tags."""
    rows = [each for each in samples if each.role in columns]
    return SampleBatch(
        np.array([columns[each.role] for each in rows], np.int32),
        np.array([each.value for each in rows], np.float64),
        np.array([each.source_ns for each in rows], np.int64),
        np.array([each.quality << SEVERITY_BITS for each in rows], np.uint32),
    )


Ingest = Callable[[SampleBatch], None]
"""Takes a batch at once, never blocks, never raises."""


def by_role(ingest: Ingest, roles: Iterable[str]) -> Callable[[Iterable[TagSample]], None]:
    """Hands rows on as batches; *roles* are those of the configuration's tags, in order."""
    columns = {role: column for column, role in enumerate(roles)}
    return lambda samples: ingest(batch_of(samples, columns))


class Source(Protocol):
    """Something that yields samples for as long as it runs."""

    async def run(self) -> None:
        """Read for ever; survives whatever the other side does."""
