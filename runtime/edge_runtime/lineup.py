"""The models in memory and which of them decides; loads, promotes and retires them.

A promotion is the exchange of one route. A model that has left is closed only after the windows
that were cut for it have their verdicts.
"""

from typing import Protocol

import structlog

from edge_core.contracts.artefact import Digest
from edge_runtime.inference.spec import WorkerState
from edge_runtime.model import ROLE_COMMITTED, Model
from edge_runtime.route import Exposure, Route
from edge_runtime.update.record import Entry

log = structlog.get_logger(__name__)


class Loads(Protocol):
    """Loads verified entries."""

    async def load(self, entry: Entry, *, nice: int = 0) -> Model:
        """A worker with this model."""
        ...


class Switch(Protocol):
    """Where windows look up who decides."""

    route: Route

    async def settled(self) -> None:
        """Return when no window is under way on a route that was replaced."""
        ...


class Lineup:
    """Who is loaded and who decides."""

    def __init__(self, loads: Loads, switch: Switch) -> None:
        self._loads = loads
        self._switch = switch
        self._models: dict[Digest, Model] = {}

    @property
    def route(self) -> Route:
        """As windows see it."""
        return self._switch.route

    @property
    def running(self) -> Digest | None:
        """What decides, by the worker's own word of what it hashed and loaded."""
        model = self.route.effective
        if model is None or not model.worker.report().digests:
            return None
        return model.digest

    def has(self, digest: Digest) -> bool:
        """Whether the model is loaded and its worker is not lost."""
        model = self._models.get(digest)
        return model is not None and model.worker.report().state is not WorkerState.LOST

    def restarts(self, digest: Digest) -> int:
        """How often the worker's process ended and was started again."""
        model = self._models.get(digest)
        return 0 if model is None else model.worker.report().restarts

    def loss(self, digest: Digest) -> str:
        """Why the worker's process ended last, in words."""
        model = self._models.get(digest)
        found = None if model is None else model.worker.report().last_loss
        return "" if found is None else f"{found.kind}: {found.detail}"

    async def ensure(self, entry: Entry, *, nice: int) -> Model:
        """The model of *entry*, loaded; one whose worker is lost is loaded anew.

        Raises:
            EdgeError: as `Loader.load`.
        """
        digest = entry.release.digest
        if self.has(digest):
            return self._models[digest]
        lost = self._models.pop(digest, None)
        if lost is not None:
            lost.worker.close()
        model = await self._loads.load(entry, nice=nice)
        self._models[digest] = model
        log.info("model.loaded", digest=digest, version=entry.release.version, target=entry.target)
        return model

    def decide(
        self,
        effective: Digest | None,
        shadow: Digest | None = None,
        *,
        role: str = ROLE_COMMITTED,
        safe_mode: bool = False,
    ) -> Route:
        """Let *effective* decide and *shadow* look on, from the next window on.

        The exposure is kept while the same two play the same parts.
        """
        first = None if effective is None else self._models.get(effective)
        second = None if shadow is None else self._models.get(shadow)
        was = self._switch.route
        same = was.effective is first and was.shadow is second and was.role == role
        if same and was.safe_mode == safe_mode:
            return was
        exposure = was.exposure if same else Exposure()
        route = Route(first, role, second, safe_mode, exposure)
        self._switch.route = route
        if not same:
            log.info(
                "route.changed",
                effective=_name(first),
                role=role,
                shadow=_name(second),
                safe_mode=safe_mode,
            )
        return route

    async def retire_others(self, kept: frozenset[Digest]) -> None:
        """Close every model but *kept*, once the last window cut for it has its verdict."""
        leaving = [digest for digest in self._models if digest not in kept]
        if not leaving:
            return
        await self._switch.settled()
        for digest in leaving:
            self._models.pop(digest).worker.close()
            log.info("model.retired", digest=digest)

    async def promote(self, digest: Digest, nice: int) -> None:
        """Let the worker go on at *nice*.

        Raises:
            WorkerLostError: the fresh process did not come up.
        """
        await self._models[digest].worker.renice(nice)


def _name(model: Model | None) -> str | None:
    return None if model is None else f"{model.release.model} {model.release.version}"
