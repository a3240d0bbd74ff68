"""Metrics of one gateway, as OTLP batches: instruments in, encoded requests out.

All sums are cumulative, so a batch that is lost or repeated harms nothing. Every series of a model
bears its name, version, deployment and the gateway's serial.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource

from edge_core.contracts import telemetry as named
from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import Instrument
from edge_runtime.device import Readings
from edge_runtime.frames.newest import Tally
from edge_runtime.latencies import LATENCY_BOUNDS_US, Latencies
from edge_runtime.model import Model
from edge_runtime.scoring import Opinion, Scored
from edge_runtime.series import SCOPE, series


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
    pictures: Mapping[str, Tally] = field(default_factory=dict)
    box: Readings = field(default_factory=Readings)


Level = Callable[[Levels], float | tuple[str, Mapping[str, float]] | None]
"""A figure; or, where there are several, the attribute that tells them apart and its values."""
Read = Callable[[CallbackOptions], list[Observation]]

_SUMS: Final[Mapping[Instrument, Level]] = {
    named.SAMPLES_RECEIVED: lambda now: now.samples_received,
    named.SAMPLES_GAPS: lambda now: now.samples_gaps,
    named.OUTBOX_WRITTEN: lambda now: now.outbox_written,
    named.OUTBOX_SHED: lambda now: (named.SIGNAL, now.outbox_shed),
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
    named.TEMPERATURE: lambda now: (named.SENSOR, now.box.temperatures),
    named.DISK_WEAR: lambda now: (named.DISK, now.box.disk_wear),
}

_OF_MODELS: Final = (
    named.WINDOWS_SCORED,
    named.WINDOWS_NO_VERDICT,
    named.INFERENCE_ERRORS,
    named.OUT_OF_DOMAIN,
    named.ANOMALIES,
    named.SHADOW_PAIRS,
    named.SHADOW_DISAGREED,
    named.SHADOW_DROPPED,
    named.OVERRIDES,
)
_OF_PICTURES: Final[Mapping[Instrument, Callable[[Tally], Mapping[str, int]]]] = {
    named.PICTURES_TAKEN: lambda tally: {"": tally.taken},
    named.PICTURES_SKIPPED: lambda tally: {"": tally.skipped},
    named.PICTURES_REFUSED: lambda tally: tally.refused,
}
Whose = tuple[Digest, str, str]
"""A model's deployment, its role, and its verdict where they are counted apart."""


Attributes = dict[str, str]


class Meters:
    """The instruments of one gateway.

    Windows are counted in plain sums, which the SDK reads when a batch is made: its own counters
    take fifty times as long, and a line may have a thousand windows a second.

    Args:
        serial: of the gateway.
        resource: likewise.
        levels: what is read when a batch is made.
        unix_ns: the wall clock.
    """

    def __init__(
        self,
        serial: Serial,
        resource: Resource,
        levels: Callable[[], Levels],
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._serial = serial
        self._levels = levels
        self._unix_ns = unix_ns
        self._begun_ns = unix_ns()
        self._now = Levels()
        self._sums: dict[Instrument, dict[Whose, int]]
        self._sums = {each: {} for each in _OF_MODELS}
        self._latencies: dict[Whose, Latencies] = {}
        self._releases: dict[Digest, ReleaseRef] = {}
        self._reader = InMemoryMetricReader()
        provider = MeterProvider(
            metric_readers=[self._reader], resource=resource, shutdown_on_exit=False
        )
        self._observe(provider.get_meter(SCOPE))

    def take(self, scored: Scored) -> None:
        """Count one window with the opinions that there are."""
        for opinion in scored.opinions:
            self._opinion(opinion)
        effective = scored.route.effective
        if not scored.opinions and effective is not None:
            self._count(named.WINDOWS_NO_VERDICT, effective, scored.route.role)
        self._pair(scored)

    def second(self, scored: Scored) -> None:
        """Count the opinion that came after the verdict, or that it never came."""
        if scored.missed is not None:
            self._count(named.SHADOW_DROPPED, *scored.missed)
        elif scored.late is not None:
            self._opinion(scored.late)
            self._pair(scored)

    def override(self, model: Model, role: str) -> None:
        """The operator decided against a verdict of *model*."""
        self._count(named.OVERRIDES, model, role)

    def encoded(self) -> bytes | None:
        """One ExportMetricsServiceRequest with everything so far; None if there is nothing."""
        self._now = self._levels()  # once for all of them
        found = self._reader.get_metrics_data()
        if found is None:
            return None
        encoded: bytes = encode_metrics(self._with_latencies(found)).SerializeToString()
        return encoded

    def _opinion(self, opinion: Opinion) -> None:
        model, role = opinion.model, opinion.role
        if opinion.label is None:
            failed = named.INFERENCE_ERRORS if opinion.error else named.WINDOWS_NO_VERDICT
            self._count(failed, model, role)
            return
        self._count(named.WINDOWS_SCORED, model, role, opinion.label)
        self._latencies.setdefault((model.digest, role, ""), Latencies()).add(opinion.latency_us)
        if opinion.inside is False:
            self._count(named.OUT_OF_DOMAIN, model, role)
        if opinion.anomalous:
            self._count(named.ANOMALIES, model, role)

    def _pair(self, scored: Scored) -> None:
        watched = scored.route.watched
        if not scored.paired or watched is None:
            return
        self._count(named.SHADOW_PAIRS, *watched)
        if scored.disagreed:
            self._count(named.SHADOW_DISAGREED, *watched)

    def _count(self, instrument: Instrument, model: Model, role: str, verdict: str = "") -> None:
        sums, key = self._sums[instrument], (model.digest, role, verdict)
        sums[key] = sums.get(key, 0) + 1
        self._releases[model.digest] = model.release

    def _attributes(self, key: Whose) -> dict[str, str]:
        digest, role, verdict = key
        whose = series(self._serial, self._releases[digest], role)
        return {**whose, named.VERDICT: verdict} if verdict else whose

    def _of_models(self, instrument: Instrument) -> Read:
        def read(_: CallbackOptions) -> list[Observation]:
            # A copy: this runs in a thread of its own, while windows go on being counted.
            found = list(self._sums[instrument].items())
            return [Observation(count, self._attributes(key)) for key, count in found]

        return read

    def _with_latencies(self, found: MetricsData) -> MetricsData:
        durations = {
            named.INFERENCE_LATENCY: [
                self._point(self._attributes(key), each)
                for key, each in list(self._latencies.items())
            ],
            named.PICTURES_DECODING: [
                self._point(self._of_role(role), tally.decoding)
                for role, tally in self._now.pictures.items()
                if tally.taken
            ],
        }
        added = [_histogram(each, points) for each, points in durations.items() if points]
        if not added:
            return found
        (told,) = found.resource_metrics
        (scope,) = told.scope_metrics
        more = replace(scope, metrics=[*scope.metrics, *added])
        return MetricsData([replace(told, scope_metrics=[more])])

    def _point(self, attributes: Attributes, latencies: Latencies) -> HistogramDataPoint:
        counts = tuple(latencies.counts)
        return HistogramDataPoint(
            attributes=attributes,
            start_time_unix_nano=self._begun_ns,
            time_unix_nano=self._unix_ns(),
            count=sum(counts),
            sum=latencies.total,
            bucket_counts=counts,
            explicit_bounds=LATENCY_BOUNDS_US,
            min=latencies.least,
            max=latencies.most,
        )

    def _of_gateway(self, level: Level) -> Read:
        own = {named.GATEWAY_SERIAL: self._serial}

        def read(_: CallbackOptions) -> list[Observation]:
            found = level(self._now)
            if found is None:
                return []
            if not isinstance(found, tuple):
                return [Observation(found, own)]
            by, values = found
            return [Observation(value, {**own, by: name}) for name, value in values.items()]

        return read

    def _observe(self, meter: Meter) -> None:
        sums = {each: self._of_models(each) for each in _OF_MODELS}
        sums |= {each: self._of_gateway(level) for each, level in _SUMS.items()}
        sums |= {each: self._of_pictures(counted) for each, counted in _OF_PICTURES.items()}
        for each, read in sums.items():
            meter.create_observable_counter(each.name, [read], each.unit.value, each.description)
        for each, level in _GAUGES.items():
            meter.create_observable_gauge(
                each.name, [self._of_gateway(level)], each.unit.value, each.description
            )

    def _of_role(self, role: str) -> Attributes:
        return {named.GATEWAY_SERIAL: self._serial, named.PICTURE_ROLE: role}

    def _of_pictures(self, counted: Callable[[Tally], Mapping[str, int]]) -> Read:
        def read(_: CallbackOptions) -> list[Observation]:
            return [
                Observation(count, self._of_role(role) | ({named.REFUSAL: why} if why else {}))
                for role, tally in self._now.pictures.items()
                for why, count in list(counted(tally).items())
            ]

        return read


def _histogram(instrument: Instrument, points: Sequence[HistogramDataPoint]) -> Metric:
    return Metric(
        instrument.name,
        instrument.description,
        instrument.unit.value,
        Histogram(points, AggregationTemporality.CUMULATIVE),
    )
