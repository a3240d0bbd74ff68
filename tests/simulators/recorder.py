"""Keeps every sample that a source hands on, and what it logs meanwhile."""

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from structlog.testing import capture_logs

from edge_core.features.samples import CellQuality
from edge_runtime.sources.sample import SampleBatch, TagSample
from tests.simulators.waiting import until


@dataclass(slots=True)
class Recorder:
    """Where a source ends.

    Attributes:
        roles: of the tags that it was made with, in their order.
        samples: all of them, in the order in which they came.
        events: what was logged, if `listening`.
    """

    roles: Sequence[str]
    samples: list[TagSample] = field(default_factory=list)
    events: list[MutableMapping[str, Any]] = field(default_factory=list)  # Any: a fact of any type

    def take(self, batch: SampleBatch) -> None:
        """Keep a batch."""
        self.samples += rows(batch, self.roles)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep what is logged while the context lasts."""
        with capture_logs() as events:
            self.events = events
            yield

    def of(self, role: str) -> list[TagSample]:
        """What came of one tag."""
        return [sample for sample in self.samples if sample.role == role]

    def gaps(self) -> dict[str, int]:
        """How many gaps each tag has."""
        gaps = [each.role for each in self.samples if each.quality is CellQuality.GAP]
        return {role: gaps.count(role) for role in gaps}

    def said(self, event: str) -> list[str]:
        """The reasons of every event of this name, or its name where it gives none."""
        return [str(each.get("reason", event)) for each in self.events if each["event"] == event]

    async def until_said(self, event: str, times: int = 1) -> None:
        """Wait until an event was logged so often."""
        await until(lambda: len(self.said(event)) >= times, f"{event}, {times} times")

    async def until_value(self, role: str, value: float) -> TagSample:
        """Wait for a good value of at least *value*, and give it."""

        def found() -> TagSample | None:
            for sample in self.of(role):
                if sample.quality is CellQuality.GOOD and sample.value >= value:
                    return sample
            return None

        await until(lambda: found() is not None, f"{role} {value:g}")
        sample = found()
        assert sample is not None
        return sample


def rows(batch: SampleBatch, roles: Sequence[str]) -> list[TagSample]:
    """A batch as rows, each tag by its role."""
    columns = (batch.tags, batch.values, batch.quality, batch.source_ns)
    return [
        TagSample(roles[tag], value, CellQuality(quality), source_ns)
        for tag, value, quality, source_ns in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
