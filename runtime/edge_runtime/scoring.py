"""Scores each window once: one routing decision a window, whatever is swapped meanwhile.

The route says which model decides and which one only looks on. A swap replaces the route between
two windows; a window keeps the route it started with. In a trial the committed model looks on,
and answers where the candidate fails, so a bad candidate costs its trial and not the line.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Regression
from edge_core.contracts.plant import Serial
from edge_core.features.errors import OutputError
from edge_core.features.outcome import Reading, read_output
from edge_core.features.samples import TIME_MAX_NS
from edge_core.features.window import Window
from edge_runtime.inference.errors import (
    ModelFailedError,
    WindowQuarantinedError,
    WindowRefusedError,
    WorkerBusyError,
    WorkerLostError,
)
from edge_runtime.model import ROLE_COMMITTED, ROLE_SHADOW, Model
from edge_runtime.verdict import NO_MODEL, SAFE_MODE, Verdict
from edge_runtime.windows import CutWindow

# What counts against the model; a worker that is merely full does not.
_MODEL_ERRORS = (ModelFailedError, OutputError, WindowRefusedError, WindowQuarantinedError)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Exposure:
    """What the model under watch has been through since its route began."""

    scored: int = 0
    errors: int = 0
    pairs: int = 0
    disagreed: int = 0
    lost: str = ""

    @property
    def error_share(self) -> float:
        """Errors among all windows it was asked about."""
        return self.errors / max(1, self.errors + self.scored)


@dataclass(frozen=True, slots=True)
class Route:
    """Who decides, who looks on, and what the model under watch has shown so far.

    `effective` plays `role` (committed or trial). `shadow` scores the same windows and decides
    nothing. `exposure` belongs to whichever of the two is not the committed model.
    """

    effective: Model | None = None
    role: str = ROLE_COMMITTED
    shadow: Model | None = None
    safe_mode: bool = False
    exposure: Exposure = field(default_factory=Exposure)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one model said of one window."""

    model: Model
    role: str
    reading: Reading | None = None
    inside: bool | None = None
    features: NDArray[np.float32] | None = None
    latency_us: int = 0
    error: str = ""

    @property
    def label(self) -> str | None:
        """What it says the window is, None where it says nothing."""
        return None if self.reading is None else self.reading.label

    @property
    def scores(self) -> tuple[float, ...]:
        """As the model gave them."""
        return () if self.reading is None else self.reading.scores

    @property
    def margin(self) -> float:
        """How far from another label; see `Reading`."""
        return 1.0 if self.reading is None else self.reading.margin


@dataclass(frozen=True, slots=True)
class Scored:
    """Everything that became of one window.

    `opinions` has the effective model's first, then the one looking on. `bad_input` says why
    nobody was asked; `mode` is the recipe.
    """

    cut: CutWindow
    route: Route
    verdict: Verdict
    opinions: tuple[Opinion, ...] = ()
    bad_input: str = ""
    mode: str | None = ""

    @property
    def decisive(self) -> Opinion | None:
        """The opinion behind the verdict, None where there was none."""
        return next((each for each in self.opinions if each.label is not None), None)


class Scorer:
    """Holds the route and turns windows into verdicts, one at a time and in order."""

    def __init__(self, serial: Serial, epoch: int, monotonic: Callable[[], float]) -> None:
        self._serial = serial
        self._epoch = epoch
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self.route = Route()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Route]:
        """The route for all windows that are cut and scored inside this block."""
        async with self._turn:
            yield self.route

    async def settled(self) -> None:
        """Return when no window is under way on a route that was replaced."""
        async with self._turn:
            return

    async def score(self, cut: CutWindow, route: Route) -> Scored:
        """The verdict of a window; never fails, what goes wrong is a verdict of its own kind."""
        if route.effective is None:
            return self._undecided(cut, route, NO_MODEL)
        own = route.effective.own(cut.window)
        found = route.effective.assess(own, {gap.role: gap.words for gap in cut.gaps})
        mode = route.effective.regime(cut.window)
        if not found.scorable:
            return self._undecided(cut, route, found.reason, bad=found.bad, mode=mode)
        first = await self._ask(route.effective, route.role, own, route.exposure)
        opinions: tuple[Opinion, ...] = (first,)
        shadow = _comparable(route)
        if first.label is None and shadow is not None:
            opinions = (first, await self._look_on(route, shadow, cut.window))
        scored = Scored(cut, route, self._empty(cut, route), opinions, mode=mode)
        verdict = self._decided(scored, list(found.uncertain))
        return replace(scored, verdict=verdict)

    async def compare(self, scored: Scored) -> Scored:
        """Let the model that looks on score the same window, if it has not already."""
        route = scored.route
        shadow = _comparable(route)
        if shadow is None or len(scored.opinions) != 1:
            return scored
        second = await self._look_on(route, shadow, scored.cut.window)
        both = (*scored.opinions, second)
        if all(opinion.label is not None for opinion in both):
            route.exposure.pairs += 1
            route.exposure.disagreed += int(both[0].label != both[1].label)
        return replace(scored, opinions=both)

    async def _look_on(self, route: Route, shadow: Model, window: Window) -> Opinion:
        own = shadow.own(window)
        if not shadow.assess(own).scorable:
            return Opinion(shadow, ROLE_SHADOW)
        # Only the newcomer is under watch: in a trial that is the effective one.
        watch = route.exposure if route.role == ROLE_COMMITTED else Exposure()
        return await self._ask(shadow, ROLE_SHADOW, own, watch)

    async def _ask(self, model: Model, role: str, own: Window, watch: Exposure) -> Opinion:
        features = model.extractor.vector(own.values)
        begun_s = self._monotonic()
        try:
            output = await model.worker.infer(features.reshape(1, -1))
            latency_us = int((self._monotonic() - begun_s) * 1e6)
            reading = read_output(model.signature, output)
        except WorkerBusyError as error:
            return Opinion(model, role, features=features, error=str(error))
        except WorkerLostError as error:
            watch.errors += 1
            watch.lost = str(error)
            return Opinion(model, role, features=features, error=str(error))
        except _MODEL_ERRORS as error:
            watch.errors += 1
            return Opinion(model, role, features=features, error=str(error))
        watch.scored += 1
        inside = None if model.domain is None else model.domain.judge(features).inside
        return Opinion(model, role, reading, inside, features, latency_us)

    def _decided(self, scored: Scored, uncertain: list[str]) -> Verdict:
        opinion = scored.decisive
        reading = None if opinion is None else opinion.reading
        if opinion is None or reading is None:
            return _with_reason(scored.verdict, f"model failed: {scored.opinions[0].error}")
        if scored.route.safe_mode:
            return _with_reason(scored.verdict, SAFE_MODE)
        model = opinion.model
        return msgspec.structs.replace(
            scored.verdict,
            decided=True,
            label=reading.label,
            classes=model.signature.classes,
            scores=list(reading.scores),
            confidence=reading.confidence,
            value=reading.value,
            unit=_unit(model),
            domain=_domain(opinion.inside),
            digest=model.digest,
            model=model.release.model,
            version=model.release.version,
            role=opinion.role,
            uncertain=uncertain,
        )

    def _undecided(
        self,
        cut: CutWindow,
        route: Route,
        reason: str,
        *,
        bad: tuple[str, ...] = (),
        mode: str | None = "",
    ) -> Scored:
        empty = msgspec.structs.replace(self._empty(cut, route), bad=list(bad))
        verdict = _with_reason(empty, reason)
        return Scored(cut, route, verdict, bad_input=reason if bad else "", mode=mode)

    def _empty(self, cut: CutWindow, route: Route) -> Verdict:
        """The verdict before anybody was asked: the safe output."""
        model = route.effective
        window = cut.window if model is None else cut.window.columns(model.columns)
        age_ns = int(window.age_max_ns.max(initial=0))
        span_ns = window.source_span_ns
        roles = set() if model is None else set(model.signature.roles)
        return Verdict(
            serial=self._serial,
            epoch=self._epoch,
            window=cut.number,
            started=instant(cut.window.start_ns),
            ended=instant(cut.window.end_ns),
            decided=False,
            label=None if model is None else model.signature.safe_output,
            digest=None if model is None else model.digest,
            model=None if model is None else model.release.model,
            version=None if model is None else model.release.version,
            role=None if model is None else route.role,
            quality=float(window.good_share.min(initial=1.0)),
            age_max_s=age_ns / 1e9 if age_ns <= TIME_MAX_NS else None,
            gaps=sorted({gap.role for gap in cut.gaps if gap.role in roles}),
            source_started=None if span_ns is None else instant(span_ns[0]),
            source_ended=None if span_ns is None else instant(span_ns[1]),
        )


def instant(unix_ns: int) -> datetime:
    """Source time as an instant, to the microsecond."""
    return _EPOCH + timedelta(microseconds=unix_ns // 1000)


def _comparable(route: Route) -> Model | None:
    """The model looking on, if it can be shown the very same windows."""
    first, second = route.effective, route.shadow
    if first is None or second is None:
        return None
    same = first.signature.windowing == second.signature.windowing
    return second if same else None


def _unit(model: Model) -> str:
    """Of the quantity that the model gives, empty where it gives none."""
    read_as = model.signature.outcome
    return read_as.unit if isinstance(read_as, Regression) else ""


def _domain(inside: bool | None) -> str:  # noqa: FBT001 - three values, of which None is one
    return {None: "unknown", True: "inside", False: "outside"}[inside]


def _with_reason(verdict: Verdict, reason: str) -> Verdict:
    return msgspec.structs.replace(verdict, reason=reason[:500])
