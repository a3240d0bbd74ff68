"""Everything around an update agent, quick and without processes."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_core.admission.model import Admission, Admitted
from edge_core.contracts.errors import RefusedError
from edge_core.contracts.gateway import Assignment, PermitReply, PermitRequest
from edge_core.oci import Layout, Source
from edge_runtime.inference.errors import WorkerLostError
from edge_runtime.model import Model
from edge_runtime.route import Route
from edge_runtime.update.record import Entry
from tests.simulators.models import SimulatedWorker, loaded
from tests.unit.runtime.update.made import entry


@dataclass(slots=True)
class Line:
    """Everything around the agent, quick and without processes.

    Attributes:
        breaks: the release whose worker dies when it is loaded.
        errs: the release that fails on every window.
        rotten: releases whose bytes are not what was verified.
        decided: what was ever in charge of the line.
    """

    breaks: str = ""
    errs: str = ""
    decided: set[str] = field(default_factory=set)
    rotten: frozenset[str] = frozenset()
    loads: int = 0
    _route: Route = field(default_factory=Route)

    @property
    def route(self) -> Route:
        """Who decides."""
        return self._route

    @route.setter
    def route(self, route: Route) -> None:
        self._route = route
        if route.effective is not None:
            self.decided.add(route.effective.digest)

    async def settled(self) -> None:
        """Nothing is ever under way here."""

    async def load(self, wanted: Entry, *, nice: int = 0) -> Model:
        """A model without a process."""
        assert nice in {0, 19}
        self.loads += 1
        if wanted.release.digest == self.breaks:
            raise WorkerLostError("died while loading")
        number = str(list("abc").index(wanted.release.version) + 1)
        model, _ = loaded(number, SimulatedWorker(wanted.release.digest))
        return replace(model, release=wanted.release)

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

    async def smoke(self, wanted: Entry) -> Admission:
        """Every release passes."""
        summary = Admitted(
            format="onnx",
            digests={},
            inputs=[],
            outputs=[],
            operators={},
            nodes=1,
            weight_bytes=1,
            opsets={},
        )
        return Admission(
            summary=summary,
            runtime="onnxruntime",
            cases=1,
            outputs_digest=wanted.release.digest,
            error_max=0.0,
            load_ms=0.0,
            p50_us=0.0,
            p99_us=0.0,
            peak_rss_bytes=0,
        )

    async def permit(self, request: PermitRequest) -> PermitReply:
        """Yes."""
        return PermitReply(granted=request.attempt > 0, epoch=1, valid_s=10.0)

    def source(self, _: str) -> Source:
        """Nobody reads from it."""
        return Layout(Path("/nowhere"))

    def work(self) -> None:
        """One window for whoever decides."""
        model = self.route.effective
        if model is None:
            return
        if model.digest == self.errs:
            self.route.exposure.errors += 1
        else:
            self.route.exposure.scored += 1
