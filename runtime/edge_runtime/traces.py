"""Traces of single windows: one span a window, a child a step, for a share of them all.

The share is picked by the window's number alone, so it is the same after a restart and on whoever
asks again, and no window is likelier than another. Every window of a trial is traced, and every
one on which a model failed; within a bound, and what goes beyond it is counted.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import (
    REGIME,
    SLOT,
    VERDICT,
    WINDOW,
    WINDOW_DECIDED,
    WINDOW_ENDED,
    WINDOW_REASON,
    SpanName,
)
from edge_runtime.model import ROLE_TRIAL
from edge_runtime.scoring import Opinion, Scored
from edge_runtime.series import SCOPE, series

WINDOWS_MAX: Final = 500  # traced windows that wait for the next batch
OPEN_MAX: Final = 64  # windows whose last opinion is still to come
_ODDS: Final = 2.0**64


def sampled(serial: Serial, number: int, share: float) -> bool:
    """Whether window *number* is one of the *share* that is traced."""
    digest = hashlib.blake2b(f"trace/{serial}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / _ODDS < share


class _Ids(IdGenerator):
    """Ids that follow from the window: a trace is found by its verdict, and a repeat is known."""

    def __init__(self, serial: Serial, epoch: int) -> None:
        self._salt = f"{serial}/{epoch}/"
        self._window = 0
        self._span = 0

    def begin(self, window: int) -> None:
        """The next spans are of *window*."""
        self._window, self._span = window, 0

    def generate_trace_id(self) -> int:
        """128 bits."""
        return self._hash("", 16)

    def generate_span_id(self) -> int:
        """64 bits."""
        self._span += 1
        return self._hash(f"/{self._span}", 8)

    def _hash(self, more: str, size: int) -> int:
        text = f"{self._salt}{self._window}{more}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest()) or 1


class _Ended(SpanProcessor):
    """Keeps spans that have ended."""

    def __init__(self) -> None:
        self.spans: deque[ReadableSpan] = deque()

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Monotonic seconds, and wall time in nanoseconds."""

    monotonic: Callable[[], float]
    unix_ns: Callable[[], int]


class Traces:
    """The traces of one gateway.

    Attributes:
        dropped: windows that were to be traced and found no room.
    """

    def __init__(
        self, serial: Serial, epoch: int, resource: Resource, share: float, clocks: Clocks
    ) -> None:
        self._serial = serial
        self._share = share
        self._clocks = clocks
        self._ids = _Ids(serial, epoch)
        self._ended = _Ended()
        provider = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(self._ended)
        self._tracer: Tracer = provider.get_tracer(SCOPE)
        self._open: dict[int, float] = {}
        self._waiting = 0
        self.dropped = 0

    def take(self, scored: Scored) -> None:
        """Look at a window whose verdict is out by now."""
        published_s = self._clocks.monotonic()
        if not scored.awaits:
            self._trace(scored, published_s)
        elif len(self._open) < OPEN_MAX:
            self._open[scored.cut.number] = published_s

    def second(self, scored: Scored) -> None:
        """Its last opinion came, or will not come."""
        published_s = self._open.pop(scored.cut.number, None)
        if published_s is not None:
            self._trace(scored, published_s)

    def encoded(self) -> bytes | None:
        """One ExportTraceServiceRequest with what waits; None if nothing does."""
        spans = [self._ended.spans.popleft() for _ in range(len(self._ended.spans))]
        self._waiting = 0
        if not spans:
            return None
        encoded: bytes = encode_spans(spans).SerializeToString()
        return encoded

    def _trace(self, scored: Scored, published_s: float) -> None:
        if scored.route.effective is None or not scored.begun_s:
            return
        telling = scored.route.role == ROLE_TRIAL or _failed(scored)
        if not telling and not sampled(self._serial, scored.cut.number, self._share):
            return
        if self._waiting >= WINDOWS_MAX:
            self.dropped += 1
            return
        self._waiting += 1
        self._spans(scored, published_s)

    def _spans(self, scored: Scored, published_s: float) -> None:
        base_ns = self._clocks.unix_ns() - int(self._clocks.monotonic() * 1e9)

        def at(moment_s: float) -> int:
            return base_ns + int(moment_s * 1e9)

        self._ids.begin(scored.cut.number)
        root = self._tracer.start_span(
            SpanName.WINDOW,
            context=Context(),
            start_time=at(scored.begun_s),
            attributes=_attributes(self._serial, scored),
        )
        if _failed(scored):
            root.set_status(Status(StatusCode.ERROR, scored.verdict.reason[:200]))
        last_s = published_s
        steps = [(SpanName.ASSESS, scored.begun_s, _first_s(scored))]
        steps.append((SpanName.PUBLISH, scored.ended_s, published_s))
        for name, begun_s, ended_s in steps:
            self._child(root, name, at(begun_s)).end(at(ended_s))
        for opinion in scored.opinions:
            last_s = max(last_s, self._asked(root, opinion, at))
        root.end(at(last_s))

    def _asked(self, root: Span, opinion: Opinion, at: Callable[[float], int]) -> float:
        """The steps of one model; when it was done with them."""
        whose = series(self._serial, opinion.model.release, opinion.role)
        done_s = opinion.asked_s + opinion.latency_us / 1e6
        if not opinion.asked_s:
            return opinion.begun_s
        self._child(root, SpanName.FEATURES, at(opinion.begun_s), whose).end(at(opinion.asked_s))
        said = {} if opinion.label is None else {VERDICT: opinion.label}
        child = self._child(root, SpanName.INFERENCE, at(opinion.asked_s), {**whose, **said})
        if opinion.error:
            child.set_status(Status(StatusCode.ERROR, opinion.error[:200]))
        child.end(at(done_s))
        return done_s

    def _child(
        self, root: Span, name: str, start_ns: int, attributes: dict[str, str] | None = None
    ) -> Span:
        context = set_span_in_context(root, Context())
        return self._tracer.start_span(
            name, context=context, start_time=start_ns, attributes=attributes
        )


def _failed(scored: Scored) -> bool:
    return any(opinion.error for opinion in scored.opinions)


def _first_s(scored: Scored) -> float:
    begun = [opinion.begun_s for opinion in scored.opinions if opinion.begun_s]
    return min(begun, default=scored.ended_s)


def _attributes(serial: Serial, scored: Scored) -> dict[str, str | int | bool]:
    model, verdict = scored.route.effective, scored.verdict
    assert model is not None, "the caller looked"  # noqa: S101 - ours
    told: dict[str, str | int | bool] = {
        **series(serial, model.release, scored.route.role),
        WINDOW: scored.cut.number,
        WINDOW_ENDED: scored.cut.window.end_ns,
        WINDOW_DECIDED: verdict.decided,
        SLOT: verdict.role or scored.route.role,
    }
    if verdict.label is not None:
        told[VERDICT] = verdict.label
    if verdict.reason:
        told[WINDOW_REASON] = verdict.reason[:200]
    if scored.mode:
        told[REGIME] = scored.mode
    return told
