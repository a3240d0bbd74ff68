"""Everything around an update agent, quick and without processes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_core.contracts.errors import RefusedError
from edge_core.contracts.gateway import (
    Assignment,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
)
from edge_core.oci import Layout, Meter, Source
from edge_runtime.update.record import Entry
from tests.simulators.line import SimulatedLine, granted
from tests.unit.runtime.update.made import entry


@dataclass(slots=True, kw_only=True)
class Line(SimulatedLine):
    """The line, and with it the shelf and the site.

    Attributes:
        rotten: releases whose bytes are not what was verified.
    """

    rotten: frozenset[str] = frozenset()

    async def fetch(self, _: Source, wanted: Assignment, kept: Iterable[Entry]) -> Entry:
        """Every release is here at once."""
        assert wanted.release.digest not in {each.digest for each in kept}
        return entry(wanted.release.version, wanted.attempt)

    def verify(self, wanted: Entry) -> None:
        """Every byte is right, except of what rotted."""
        if wanted.digest in self.rotten:
            raise RefusedError(f"{wanted.release.version}: rotten")

    def collect(self, kept: Iterable[Entry]) -> int:
        """Nothing lies anywhere."""
        return len(list(kept)) * 0

    async def permit(self, request: PermitRequest) -> PermitReply:
        """Yes."""
        return granted(request)

    async def pull(self, request: PullRequest) -> PullReply:
        """All of it."""
        return PullReply(granted=True, bytes=request.bytes_missing)

    def source(self, _: str, __: Meter | None = None) -> Source:
        """Nobody reads from it."""
        return Layout(Path("/nowhere"))
