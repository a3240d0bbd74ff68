"""Metrics of one gateway, as OTLP batches: instruments in, encoded requests out.

All sums are cumulative, so a batch that is lost or repeated harms nothing. Every series of a model
bears its name, version, deployment and the gateway's serial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from edge_core.contracts import telemetry as named
from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import Instrument
from edge_runtime.device import Readings
from edge_runtime.model import Model
from edge_runtime.scoring import Opinion, Scored
from edge_runtime.series import SCOPE, series

LATENCY_BOUNDS_US: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000)


@dataclass(frozen=True, slots=True)
class Levels:
    """What is read when a batch is made, rather than counted as it happens."""

    samples_received: int = 0
    samples_gaps: int = 0
    window_last: int = 0
    outbox_waiting: int = 0
    outbox_written: int = 0
    outbox_shed: dict[str, int] = field(default_factory=dict)
    wear_budget_used: float = 0.0
    logs_suppressed: int = 0
    spans_dropped: int = 0
    health_dropped: int = 0
    drift_height: float = 0.0
    box: Readings = field(default_factory=Readings)


Level = Callable[[Levels], float | None]
Spread = Callable[[Levels], Mapping[str, float]]

_SUMS: Final[Mapping[Instrument, Level]] = {
    named.SAMPLES_RECEIVED: lambda now: now.samples_received,
    named.SAMPLES_GAPS: lambda now: now.samples_gaps,
    named.OUTBOX_WRITTEN: lambda now: now.outbox_written,
    named.LOGS_SUPPRESSED: lambda now: now.logs_suppressed,
    named.SPANS_DROPPED: lambda now: now.spans_dropped,
    named.HEALTH_DROPPED: lambda now: now.health_dropped,
    named.PROCESS_CPU: lambda now: now.box.process_cpu_s,
    named.DISK_WRITTEN: lambda now: now.box.disk_written_bytes,
}
_GAUGES: Final[Mapping[Instrument, Level]] = {
    named.WINDOW_LAST: lambda now: now.window_last,
    named.OUTBOX_WAITING: lambda now: now.outbox_waiting,
    named.WEAR_BUDGET_USED: lambda now: now.wear_budget_used,
    named.DRIFT_HEIGHT: lambda now: now.drift_height,
    named.CPU_UTILISATION: lambda now: now.box.cpu_share,
    named.MEMORY_USAGE: lambda now: now.box.memory_bytes,
    named.MEMORY_UTILISATION: lambda now: now.box.memory_share,
    named.DISK_UTILISATION: lambda now: now.box.disk_share,
    named.PROCESS_MEMORY: lambda now: now.box.process_bytes,
    named.UPTIME: lambda now: now.box.uptime_s,
    named.CLOCK_OFFSET: lambda now: now.box.clock_offset_us,
    named.CLOCK_SYNCHRONISED_GAUGE: lambda now: (
        None if now.box.clock is None else int(now.box.clock.synchronised)
    ),
    named.CLOCK_ERROR_MAX: lambda now: (
        None if now.box.clock is None else now.box.clock.error_max_us
    ),
}
_SPREAD_SUMS: Final[Mapping[Instrument, tuple[str, Spread]]] = {
    named.OUTBOX_SHED: (named.SIGNAL, lambda now: now.outbox_shed),
}
_SPREAD_GAUGES: Final[Mapping[Instrument, tuple[str, Spread]]] = {
    named.TEMPERATURE: (named.SENSOR, lambda now: now.box.temperatures),
    named.DISK_WEAR: (named.DISK, lambda now: now.box.disk_wear),
}


class Meters:
    """The instruments of one gateway."""

    def __init__(self, serial: Serial, resource: Resource, levels: Callable[[], Levels]) -> None:
        self._serial = serial
        self._levels = levels
        self._now = Levels()
        self._reader = InMemoryMetricReader()
        provider = MeterProvider(
            metric_readers=[self._reader], resource=resource, shutdown_on_exit=False
        )
        meter = provider.get_meter(SCOPE)
        self._scored = _counter(meter, named.WINDOWS_SCORED)
        self._no_verdict = _counter(meter, named.WINDOWS_NO_VERDICT)
        self._errors = _counter(meter, named.INFERENCE_ERRORS)
        self._outside = _counter(meter, named.OUT_OF_DOMAIN)
        self._anomalies = _counter(meter, named.ANOMALIES)
        self._pairs = _counter(meter, named.SHADOW_PAIRS)
        self._disagreed = _counter(meter, named.SHADOW_DISAGREED)
        self._missed = _counter(meter, named.SHADOW_DROPPED)
        self._overrides = _counter(meter, named.OVERRIDES)
        self._latency = meter.create_histogram(
            named.INFERENCE_LATENCY.name,
            named.INFERENCE_LATENCY.unit.value,
            named.INFERENCE_LATENCY.description,
            explicit_bucket_boundaries_advisory=[float(bound) for bound in LATENCY_BOUNDS_US],
        )
        self._observe(meter)

    def take(self, scored: Scored) -> None:
        """Count one window with the opinions that there are."""
        for opinion in scored.opinions:
            self._count(opinion)
        if not scored.opinions and scored.route.effective is not None:
            whose = series(self._serial, scored.route.effective, scored.route.role)
            self._no_verdict.add(1, whose)
        self._pair(scored)

    def second(self, scored: Scored) -> None:
        """Count the opinion that came after the verdict, the last one; or that it never came."""
        if scored.missed is not None:
            self._missed.add(1, series(self._serial, *scored.missed))
            return
        self._count(scored.opinions[-1])
        self._pair(scored)

    def override(self, model: Model, role: str) -> None:
        """The operator decided against a verdict of *model*."""
        self._overrides.add(1, series(self._serial, model, role))

    def encoded(self) -> bytes | None:
        """One ExportMetricsServiceRequest with everything so far; None if there is nothing."""
        self._now = self._levels()  # once for all of them
        found = self._reader.get_metrics_data()
        if found is None:
            return None
        encoded: bytes = encode_metrics(found).SerializeToString()
        return encoded

    def _count(self, opinion: Opinion) -> None:
        whose = series(self._serial, opinion.model, opinion.role)
        if opinion.label is None:
            (self._errors if opinion.error else self._no_verdict).add(1, whose)
            return
        self._scored.add(1, {**whose, named.VERDICT: opinion.label})
        self._latency.record(opinion.latency_us, whose)
        if opinion.inside is False:
            self._outside.add(1, whose)
        if opinion.anomalous:
            self._anomalies.add(1, whose)

    def _pair(self, scored: Scored) -> None:
        watched = scored.route.watched
        if not scored.paired or watched is None:
            return
        whose = series(self._serial, *watched)
        self._pairs.add(1, whose)
        if scored.disagreed:
            self._disagreed.add(1, whose)

    def _observe(self, meter: Meter) -> None:
        for each, level in _SUMS.items():
            meter.create_observable_counter(
                each.name, [self._level(level)], each.unit.value, each.description
            )
        for each, level in _GAUGES.items():
            meter.create_observable_gauge(
                each.name, [self._level(level)], each.unit.value, each.description
            )
        for each, (by, spread) in _SPREAD_SUMS.items():
            meter.create_observable_counter(
                each.name, [self._spread(by, spread)], each.unit.value, each.description
            )
        for each, (by, spread) in _SPREAD_GAUGES.items():
            meter.create_observable_gauge(
                each.name, [self._spread(by, spread)], each.unit.value, each.description
            )

    def _level(self, level: Level) -> Callable[[CallbackOptions], list[Observation]]:
        own = {named.GATEWAY_SERIAL: self._serial}

        def read(_: CallbackOptions) -> list[Observation]:
            value = level(self._now)
            return [] if value is None else [Observation(value, own)]

        return read

    def _spread(self, by: str, spread: Spread) -> Callable[[CallbackOptions], list[Observation]]:
        own = {named.GATEWAY_SERIAL: self._serial}

        def read(_: CallbackOptions) -> list[Observation]:
            found = spread(self._now).items()
            return [Observation(value, {**own, by: name}) for name, value in found]

        return read


def _counter(meter: Meter, instrument: Instrument) -> Counter:
    return meter.create_counter(instrument.name, instrument.unit.value, instrument.description)
