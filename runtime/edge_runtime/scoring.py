"""Scores each window once: one routing decision a window, whatever is swapped meanwhile.

The route says which model decides and which one only looks on. A swap replaces the route between
two windows; a window keeps the route it started with. The model under watch is always asked
aside, so it never delays the committed one: beside it, its opinion comes after the verdict; in a
trial the committed model is asked at the same time, and answers where the candidate fails or is
late, so a bad candidate costs its trial and not the line. All that takes two models of the same
windows. One of another period, length, stride or camera is never seen beside the present one, and
decides alone in its trial: windows are cut once, as the model in charge wants them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.outcome import Anomaly, Regression
from edge_core.contracts.plant import Serial
from edge_core.features.errors import OutputError
from edge_core.features.outcome import Reading, read_output
from edge_core.features.samples import TIME_MAX_NS
from edge_core.features.window import Window
from edge_runtime.aside import Aside, Request
from edge_runtime.inference.errors import (
    ModelFailedError,
    WindowQuarantinedError,
    WindowRefusedError,
    WorkerBusyError,
    WorkerLostError,
)
from edge_runtime.model import ROLE_SHADOW, ROLE_TRIAL, Model
from edge_runtime.route import Exposure, Route
from edge_runtime.verdict import NO_MODEL, SAFE_MODE, Verdict
from edge_runtime.windows import CutWindow

# What counts against the model; a worker that is merely full does not.
_MODEL_ERRORS = (ModelFailedError, OutputError, WindowRefusedError, WindowQuarantinedError)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PATIENCE_STRIDES: Final = 0.5  # what a verdict waits for the model on trial, once it is idle


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one model said of one window.

    It was begun with at `begun_s` and asked at `asked_s`, monotonic. `broken`: it gave an output
    that says nothing about any window.
    """

    model: Model
    role: str
    reading: Reading | None = None
    inside: bool | None = None
    features: NDArray[np.float32] | None = None
    latency_us: int = 0
    error: str = ""
    broken: bool = False
    begun_s: float = 0.0
    asked_s: float = 0.0

    @property
    def label(self) -> str | None:
        """What it says the window is, None where it says nothing."""
        return None if self.reading is None else self.reading.label

    @property
    def scores(self) -> tuple[float, ...]:
        """As the model gave them."""
        return () if self.reading is None else self.reading.scores

    @property
    def strange(self) -> bool:
        """Whether it says that the window is not normal."""
        return self.label not in {None, self.model.signature.normal_class}

    @property
    def anomalous(self) -> bool:
        """Whether its anomaly output says so."""
        return self.strange and isinstance(self.model.signature.outcome, Anomaly)

    @property
    def margin(self) -> float:
        """How far from another label; see `Reading`."""
        return 1.0 if self.reading is None else self.reading.margin


@dataclass(frozen=True, slots=True)
class Scored:
    """Everything that became of one window.

    `opinions` has those that were there for the verdict first, of them the effective model's
    first; one may come later. `bad_input` says why nobody was asked, and `why` what is wrong with
    each of the verdict's bad tags; `mode` is the recipe.

    Attributes:
        awaits: whether the opinion of the model under watch is still to come.
        late: the opinion that came after the verdict, the last of `opinions`.
        missed: whose opinion will never come, since the model was still at older windows.
        begun_s: when scoring began, monotonic.
        ended_s: when the verdict was there.
    """

    cut: CutWindow
    route: Route
    verdict: Verdict
    opinions: tuple[Opinion, ...] = ()
    bad_input: str = ""
    why: tuple[str, ...] = ()
    mode: str | None = ""
    awaits: bool = False
    late: Opinion | None = None
    missed: tuple[Model, str] | None = None
    begun_s: float = 0.0
    ended_s: float = 0.0

    @property
    def decisive(self) -> Opinion | None:
        """The opinion behind the verdict, None where there was none."""
        trial = self.route.role == ROLE_TRIAL
        may = [each for each in self.opinions if trial or each.role != ROLE_SHADOW]
        return next((each for each in may if each.label is not None), None)

    @property
    def paired(self) -> bool:
        """Whether two models said what the window is."""
        return len(self.opinions) == 2 and all(each.label is not None for each in self.opinions)

    @property
    def disagreed(self) -> bool:
        """Whether two models said what the window is, and not the same."""
        return self.paired and self.opinions[0].label != self.opinions[1].label


def _unheard(_: Scored) -> None:
    """Nobody wants the later opinions."""


class Scorer:
    """Holds the route and turns windows into verdicts, one at a time and in order.

    `run` is what asks the model under watch; without it that model is never heard.

    Attributes:
        aside: the windows that wait for the model under watch.
        heard: is told of each window whose last opinion came after its verdict, or never will.
    """

    def __init__(self, serial: Serial, epoch: int, monotonic: Callable[[], float]) -> None:
        self._serial = serial
        self._epoch = epoch
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self.route = Route()
        self.aside: Aside[Opinion] = Aside()
        self.heard: Callable[[Scored], None] = _unheard

    async def run(self) -> None:
        """Ask the model under watch for ever."""
        await self.aside.run()

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
        """The verdict of a window; never fails, what goes wrong is a verdict of its own kind.

        Whoever called it looks at the window first; `heard` is told of a later opinion after.
        """
        begun_s = self._monotonic()
        if route.effective is None:
            return self._undecided(cut, route, NO_MODEL)
        own = route.effective.own(cut.window)
        found = route.effective.assess(own, _gaps(cut))
        mode = route.effective.regime(cut.window)
        if not found.scorable:
            return replace(
                self._undecided(cut, route, found.reason, bad=found.bad),
                bad_input=found.reason,
                why=found.why,
                mode=mode,
            )
        if route.role == ROLE_TRIAL and _comparable(route) is not None:
            opinions, late = await self._tried(cut, route, own, begun_s)
        else:
            opinions = (await self._ask(route.effective, route.role, own, route.exposure),)
            late = self._looked_on(cut, route)
        scored = Scored(cut, route, self._empty(cut, route), opinions, mode=mode)
        scored = replace(
            scored,
            verdict=self._decided(scored, list(found.uncertain)),
            awaits=late is not None,
            begun_s=begun_s,
            ended_s=self._monotonic(),
        )
        _weigh(scored)
        if late is not None:
            late.then(partial(self._second, scored))
        return scored

    async def _tried(
        self, cut: CutWindow, route: Route, own: Window, begun_s: float
    ) -> tuple[tuple[Opinion, ...], Request[Opinion] | None]:
        """Opinions in a trial, the candidate's first; with its request if it is late."""
        candidate, committed = route.effective, route.shadow
        assert candidate is not None, "the caller looked"  # noqa: S101 - ours
        assert committed is not None, "the caller looked"  # noqa: S101 - ours
        idle = self.aside.idle
        request = self._request(route, candidate, ROLE_TRIAL, own)
        usual = committed.own(cut.window)
        second = Opinion(committed, ROLE_SHADOW)
        if committed.assess(usual, _gaps(cut)).scorable:
            # The trial is not about the committed model: what it fails on is its own affair.
            second = await self._ask(committed, ROLE_SHADOW, usual, Exposure())
        windowing = candidate.signature.windowing
        patience_s = PATIENCE_STRIDES * windowing.period_s * windowing.stride_rows
        if second.label is None:
            await request.settled.wait()  # nobody else can answer
        elif idle:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s - (self._monotonic() - begun_s)):
                    await request.settled.wait()
        if request.answer is None:
            return (second,), request
        return (request.answer, second), None

    def _looked_on(self, cut: CutWindow, route: Route) -> Request[Opinion] | None:
        """Have the model that looks on asked, after the verdict is out."""
        shadow = _comparable(route)
        if shadow is None or route.role == ROLE_TRIAL:
            return None
        own = shadow.own(cut.window)
        if not shadow.assess(own, _gaps(cut)).scorable:
            return None
        return self._request(route, shadow, ROLE_SHADOW, own)

    def _request(self, route: Route, model: Model, role: str, own: Window) -> Request[Opinion]:
        request: Request[Opinion] = Request(
            ask=partial(self._ask, model, role, own, route.exposure),
            wanted=lambda: self._stands(route),
        )
        self.aside.put(request)
        return request

    def _stands(self, route: Route) -> bool:
        """Whether the same two models still play the same parts."""
        return self.route.exposure is route.exposure

    def _second(self, scored: Scored, request: Request[Opinion]) -> None:
        """The opinion of the model under watch came after the verdict, or will not come."""
        route, opinion = scored.route, request.answer
        scored = replace(scored, awaits=False)
        if (opinion is None or opinion.error) and not self._stands(route):
            self.heard(scored)  # a model that has left has not failed
        elif opinion is None:
            route.exposure.dropped += 1
            route.exposure.errors += int(route.role == ROLE_TRIAL)
            self.heard(replace(scored, missed=route.watched))
        else:
            both = replace(scored, opinions=(*scored.opinions, opinion), late=opinion)
            _weigh(both)
            self.heard(both)

    async def _ask(self, model: Model, role: str, own: Window, watch: Exposure) -> Opinion:
        begun_s = self._monotonic()
        given = model.input(own)
        features = given.reshape(-1) if own.picture is None else None
        asked_s = self._monotonic()
        opinion = Opinion(model, role, features=features, begun_s=begun_s, asked_s=asked_s)
        try:
            output = await model.worker.infer(given)
            latency_us = int((self._monotonic() - asked_s) * 1e6)
            reading = read_output(model.signature, output)
        except WorkerBusyError as error:
            return replace(opinion, error=str(error))
        except WorkerLostError as error:
            watch.errors += 1
            watch.lost = str(error)
            return replace(opinion, error=str(error))
        except _MODEL_ERRORS as error:
            watch.errors += 1
            return replace(opinion, error=str(error), broken=isinstance(error, OutputError))
        watch.scored += 1
        inside = None
        if model.domain is not None and features is not None:
            inside = model.domain.judge(features).inside
        return replace(opinion, reading=reading, inside=inside, latency_us=latency_us)

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
        self, cut: CutWindow, route: Route, reason: str, *, bad: tuple[str, ...] = ()
    ) -> Scored:
        empty = msgspec.structs.replace(self._empty(cut, route), bad=list(bad))
        return Scored(cut, route, _with_reason(empty, reason))

    def _empty(self, cut: CutWindow, route: Route) -> Verdict:
        """The verdict before anybody was asked: the safe output."""
        model = route.effective
        window = cut.window if model is None else cut.window.columns(model.columns)
        age_ns = int(window.age_max_ns.max(initial=0))
        span_ns = window.source_span_ns
        roles = set() if model is None else set(model.seen)
        missing = cut.window.picture is None and model is not None and model.signature.frame
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
            quality=0.0 if missing else float(window.good_share.min(initial=1.0)),
            age_max_s=None if missing or age_ns > TIME_MAX_NS else age_ns / 1e9,
            gaps=sorted({gap.role for gap in cut.gaps if gap.role in roles}),
            source_started=None if span_ns is None else instant(span_ns[0]),
            source_ended=None if span_ns is None else instant(span_ns[1]),
            clock_ahead_s=None if cut.ahead_ns is None else round(cut.ahead_ns / 1e9, 3),
        )


def instant(unix_ns: int) -> datetime:
    """Source time as an instant, to the microsecond."""
    return _EPOCH + timedelta(microseconds=unix_ns // 1000)


def _gaps(cut: CutWindow) -> dict[str, str]:
    return {gap.role: gap.words for gap in cut.gaps}


def _weigh(scored: Scored) -> None:
    """Count a pair for the model under watch."""
    if scored.paired:
        scored.route.exposure.pairs += 1
        scored.route.exposure.disagreed += int(scored.disagreed)


def _comparable(route: Route) -> Model | None:
    """The model looking on, if it can be shown the very same windows."""
    return None if route.effective is None or route.unlike else route.shadow


def _unit(model: Model) -> str:
    """Of the quantity that the model gives, empty where it gives none."""
    read_as = model.signature.outcome
    return read_as.unit if isinstance(read_as, Regression) else ""


def _domain(inside: bool | None) -> str:  # noqa: FBT001 - three values, of which None is one
    return {None: "unknown", True: "inside", False: "outside"}[inside]


def _with_reason(verdict: Verdict, reason: str) -> Verdict:
    return msgspec.structs.replace(verdict, reason=reason[:500])
