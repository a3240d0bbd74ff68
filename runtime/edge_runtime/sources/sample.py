"""One value of one tag, as every source hands it on."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from edge_core.features.samples import CellQuality


class TagSample(NamedTuple):
    """What a tag showed, how good that is, and when at the source (nanoseconds since 1970)."""

    role: str
    value: float
    quality: CellQuality
    source_ns: int


Ingest = Callable[[Sequence[TagSample]], None]
"""Takes a batch at once, never blocks, never raises."""


class Source(Protocol):
    """Something that yields samples for as long as it runs."""

    async def run(self) -> None:
        """Read for ever; survives whatever the other side does."""
