"""A line whose models have no process: what an update agent loads, smokes and lets decide."""

from dataclasses import dataclass, field, replace

from msgspec.structs import replace as replace_fields

from edge_core.admission.model import Admission, Admitted
from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import PermitReply, PermitRequest
from edge_runtime.inference.errors import WorkerLostError
from edge_runtime.model import Model
from edge_runtime.route import Route
from edge_runtime.update.record import Entry
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import WINDOWING, signature

OTHER_WINDOWS = replace_fields(WINDOWING, stride_rows=WINDOWING.stride_rows + 1)
NOTHING_READ = Admitted(
    format="onnx",
    digests={},
    inputs=[],
    outputs=[],
    operators={},
    nodes=1,
    weight_bytes=1,
    opsets={},
)


@dataclass(slots=True, kw_only=True)
class SimulatedLine:
    """Decides who is in charge, as a scorer would, and loads models without processes.

    Attributes:
        breaks: the release whose worker dies when it is loaded.
        errs: the release that fails on every window.
        unlike: the release that wants other windows than the rest.
        decided: what was ever in charge of the line.
        loads: how often a model was to be loaded.
    """

    breaks: str = ""
    errs: str = ""
    unlike: str = ""
    decided: set[Digest] = field(default_factory=set)
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

    def read(self, wanted: Entry) -> None:
        """What a loader reads of *wanted*: nothing, where there are no bytes."""

    async def load(self, wanted: Entry, *, nice: int = 0) -> Model:
        """A model without a process, once its bytes were read."""
        assert nice in {0, 19}
        self.loads += 1
        self.read(wanted)
        if wanted.digest == self.breaks:
            raise WorkerLostError("died while loading")
        made = signature(windowing=OTHER_WINDOWS) if wanted.digest == self.unlike else None
        model, _ = loaded("1", SimulatedWorker(wanted.digest), made)
        return replace(model, release=wanted.release)

    async def smoke(self, wanted: Entry) -> Admission:
        """Every release passes whose bytes can be read."""
        self.read(wanted)
        return Admission(
            summary=NOTHING_READ,
            runtime="onnxruntime",
            cases=1,
            outputs_digest=wanted.digest,
            error_max=0.0,
            load_ms=0.0,
            p50_us=0.0,
            p99_us=0.0,
            peak_rss_bytes=0,
        )

    def work(self) -> None:
        """One window for whoever decides."""
        model = self.route.effective
        if model is None:
            return
        if model.digest == self.errs:
            self.route.exposure.errors += 1
        else:
            self.route.exposure.scored += 1


def granted(request: PermitRequest) -> PermitReply:
    """What a site says that has nothing against it."""
    return PermitReply(granted=request.attempt > 0, epoch=1, valid_s=30.0)
