"""Metrics of one gateway, as OTLP batches: instruments in, encoded requests out.

All sums are cumulative, so a batch that is lost or repeated harms nothing. Every series of a model
bears its name, version, deployment and the gateway's serial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from edge_core.contracts.plant import ClockQuality, Serial
from edge_core.contracts.telemetry import (
    ANOMALIES,
    CLOCK_ERROR_MAX_US,
    CLOCK_SYNCHRONISED,
    DEPLOYMENT_ID,
    DRIFT_HEIGHT,
    GATEWAY_SERIAL,
    INFERENCE_ERRORS,
    INFERENCE_LATENCY,
    MODEL_NAME,
    MODEL_VERSION,
    OUT_OF_DOMAIN,
    OUTBOX_WAITING,
    OVERRIDES,
    SAMPLES_GAPS,
    SAMPLES_RECEIVED,
    SHADOW_DISAGREED,
    SHADOW_DROPPED,
    SHADOW_PAIRS,
    SLOT,
    VERDICT,
    WINDOW_LAST,
    WINDOWS_NO_VERDICT,
    WINDOWS_SCORED,
    Instrument,
)
from edge_runtime.model import Model
from edge_runtime.scoring import Opinion, Scored

SCOPE: Final = "edge_runtime"
LATENCY_BOUNDS_US: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000)


@dataclass(frozen=True, slots=True)
class Levels:
    """What is read when a batch is made, rather than counted as it happens."""

    samples_received: int = 0
    samples_gaps: int = 0
    window_last: int = 0
    outbox_waiting: int = 0
    drift_height: float = 0.0
    clock: ClockQuality | None = None


class Meters:
    """The instruments of one gateway."""

    def __init__(self, serial: Serial, site: str, levels: Callable[[], Levels]) -> None:
        self._serial = serial
        self._levels = levels
        self._reader = InMemoryMetricReader()
        resource = Resource({"service.name": SCOPE, GATEWAY_SERIAL: serial, "site": site})
        provider = MeterProvider(
            metric_readers=[self._reader], resource=resource, shutdown_on_exit=False
        )
        meter = provider.get_meter(SCOPE)
        self._scored = _counter(meter, WINDOWS_SCORED)
        self._no_verdict = _counter(meter, WINDOWS_NO_VERDICT)
        self._errors = _counter(meter, INFERENCE_ERRORS)
        self._outside = _counter(meter, OUT_OF_DOMAIN)
        self._anomalies = _counter(meter, ANOMALIES)
        self._pairs = _counter(meter, SHADOW_PAIRS)
        self._disagreed = _counter(meter, SHADOW_DISAGREED)
        self._missed = _counter(meter, SHADOW_DROPPED)
        self._overrides = _counter(meter, OVERRIDES)
        self._latency = meter.create_histogram(
            INFERENCE_LATENCY.name,
            INFERENCE_LATENCY.unit.value,
            INFERENCE_LATENCY.description,
            explicit_bucket_boundaries_advisory=[float(bound) for bound in LATENCY_BOUNDS_US],
        )
        self._observe(meter)

    def take(self, scored: Scored) -> None:
        """Count one window with the opinions that there are."""
        for opinion in scored.opinions:
            self._count(opinion)
        if not scored.opinions and scored.route.effective is not None:
            self._no_verdict.add(1, self._series(scored.route.effective, scored.route.role))
        self._pair(scored)

    def second(self, scored: Scored) -> None:
        """Count the opinion that came after the verdict, the last one; or that it never came."""
        if scored.missed is not None:
            self._missed.add(1, self._series(*scored.missed))
            return
        self._count(scored.opinions[-1])
        self._pair(scored)

    def override(self, model: Model, role: str) -> None:
        """The operator decided against a verdict of *model*."""
        self._overrides.add(1, self._series(model, role))

    def encoded(self) -> bytes | None:
        """One ExportMetricsServiceRequest with everything so far; None if there is nothing."""
        found = self._reader.get_metrics_data()
        if found is None:
            return None
        encoded: bytes = encode_metrics(found).SerializeToString()
        return encoded

    def _count(self, opinion: Opinion) -> None:
        series = self._series(opinion.model, opinion.role)
        if opinion.label is None:
            (self._errors if opinion.error else self._no_verdict).add(1, series)
            return
        self._scored.add(1, {**series, VERDICT: opinion.label})
        self._latency.record(opinion.latency_us, series)
        if opinion.inside is False:
            self._outside.add(1, series)
        if opinion.anomalous:
            self._anomalies.add(1, series)

    def _pair(self, scored: Scored) -> None:
        watched = scored.route.watched
        if not scored.paired or watched is None:
            return
        series = self._series(*watched)
        self._pairs.add(1, series)
        if scored.disagreed:
            self._disagreed.add(1, series)

    def _series(self, model: Model, role: str) -> dict[str, str]:
        return {
            MODEL_NAME: model.release.model,
            MODEL_VERSION: model.release.version,
            DEPLOYMENT_ID: model.digest,
            GATEWAY_SERIAL: self._serial,
            SLOT: role,
        }

    def _observe(self, meter: Meter) -> None:
        own = {GATEWAY_SERIAL: self._serial}

        def reading(
            value: Callable[[Levels], float],
        ) -> Callable[[CallbackOptions], list[Observation]]:
            return lambda _: [Observation(value(self._levels()), own)]

        sums: Mapping[Instrument, Callable[[Levels], float]] = {
            SAMPLES_RECEIVED: lambda levels: levels.samples_received,
            SAMPLES_GAPS: lambda levels: levels.samples_gaps,
        }
        gauges: Mapping[Instrument, Callable[[Levels], float]] = {
            WINDOW_LAST: lambda levels: levels.window_last,
            OUTBOX_WAITING: lambda levels: levels.outbox_waiting,
            DRIFT_HEIGHT: lambda levels: levels.drift_height,
        }
        for each, value in sums.items():
            meter.create_observable_counter(
                each.name, [reading(value)], each.unit.value, each.description
            )
        for each, value in gauges.items():
            meter.create_observable_gauge(
                each.name, [reading(value)], each.unit.value, each.description
            )
        self._observe_clock(meter, own)

    def _observe_clock(self, meter: Meter, own: dict[str, str]) -> None:
        def quality(_: CallbackOptions) -> list[Observation]:
            clock = self._levels().clock
            return [] if clock is None else [Observation(int(clock.synchronised), own)]

        def error(_: CallbackOptions) -> list[Observation]:
            clock = self._levels().clock
            return [] if clock is None else [Observation(clock.error_max_us, own)]

        meter.create_observable_gauge(CLOCK_SYNCHRONISED, [quality], "1")
        meter.create_observable_gauge(CLOCK_ERROR_MAX_US, [error], "us")


def _counter(meter: Meter, instrument: Instrument) -> Counter:
    return meter.create_counter(instrument.name, instrument.unit.value, instrument.description)
