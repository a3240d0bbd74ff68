"""Every metric, attribute and batch name with its unit: here and nowhere else.

Names follow the OpenTelemetry conventions: dotted, lower case, the unit beside them in UCUM. All
sums are cumulative, since a repeated delta would be counted twice.
"""

from enum import StrEnum

from msgspec import Struct

MODEL_NAME = "model.name"
MODEL_VERSION = "model.version"
DEPLOYMENT_ID = "deployment.id"
GATEWAY_SERIAL = "gateway.serial"
CLOCK_SYNCHRONISED = "gateway.clock.synchronised"
CLOCK_ERROR_MAX_US = "gateway.clock.error_max_us"
SITE = "site"
SLOT = "edge.slot"
VERDICT = "edge.verdict"
WINDOW = "edge.window"
WINDOW_DECIDED = "edge.window.decided"
WINDOW_REASON = "edge.window.reason"
WINDOW_ENDED = "edge.window.ended_unix_nano"  # source time of its last row
REGIME = "edge.regime"
SIGNAL = "edge.signal"
SENSOR = "hw.sensor"  # what the kernel calls it
DISK = "system.device"
PICTURE_ROLE = "edge.picture.role"  # what the pictures show
REFUSAL = "edge.picture.refusal"  # why one could not be used
SUPPRESSED = "edge.log.suppressed"  # events of that name left out since the last one

BATCH_ID_HEADER = "x-batch-id"  # <serial>/<epoch>/<sequence>
BATCH_CRC_HEADER = "x-batch-crc"  # crc32c of the encoded body, eight hex digits
INGEST_TIME_HEADER = "x-ingest-unix-nano"
INGEST_CLOCK_HEADER = "x-ingest-clock"


class Unit(StrEnum):
    """Units as UCUM writes them."""

    ONE = "1"
    BYTES = "By"
    MICROSECONDS = "us"
    SECONDS = "s"
    WINDOWS = "{window}"
    SAMPLES = "{sample}"
    RECORDS = "{record}"
    REQUESTS = "{request}"
    BATCHES = "{batch}"
    EVENTS = "{event}"
    PICTURES = "{picture}"
    CELSIUS = "Cel"


class SpanName(StrEnum):
    """What a trace is made of: one `window`, and its steps as children."""

    WINDOW = "window"
    ASSESS = "window.assess"
    FEATURES = "features.extract"
    INFERENCE = "inference"
    PUBLISH = "verdict.publish"


class Instrument(Struct, frozen=True, kw_only=True):
    """One metric: its name, its unit, and a sentence for the dashboards."""

    name: str
    unit: Unit
    description: str


WINDOWS_SCORED = Instrument(
    name="edge.windows.scored", unit=Unit.WINDOWS, description="windows that got a verdict"
)
WINDOWS_NO_VERDICT = Instrument(
    name="edge.windows.no_verdict", unit=Unit.WINDOWS, description="windows with bad input"
)
WINDOW_LAST = Instrument(
    name="edge.window.last", unit=Unit.WINDOWS, description="number of the last window scored"
)
INFERENCE_LATENCY = Instrument(
    name="edge.inference.latency", unit=Unit.MICROSECONDS, description="doorbell to scores"
)
INFERENCE_ERRORS = Instrument(
    name="edge.inference.errors", unit=Unit.WINDOWS, description="windows the model failed on"
)
OUT_OF_DOMAIN = Instrument(
    name="edge.domain.outside",
    unit=Unit.WINDOWS,
    description="windows outside the training domain",
)
SHADOW_DISAGREED = Instrument(
    name="edge.shadow.disagreed", unit=Unit.WINDOWS, description="windows classed otherwise"
)
SAMPLES_RECEIVED = Instrument(
    name="edge.samples.received", unit=Unit.SAMPLES, description="tag values taken in"
)
SAMPLES_GAPS = Instrument(
    name="edge.samples.gaps", unit=Unit.SAMPLES, description="recorded gaps in the tag values"
)
PICTURES_TAKEN = Instrument(
    name="edge.pictures.taken", unit=Unit.PICTURES, description="pictures that could be used"
)
PICTURES_SKIPPED = Instrument(
    name="edge.pictures.skipped",
    unit=Unit.PICTURES,
    description="pictures that a newer one replaced before anybody looked",
)
PICTURES_REFUSED = Instrument(
    name="edge.pictures.refused",
    unit=Unit.PICTURES,
    description="pictures that could not be used, by reason",
)
PICTURES_DECODING = Instrument(
    name="edge.pictures.decoding",
    unit=Unit.MICROSECONDS,
    description="what decoding a picture took",
)
DRIFT_HEIGHT = Instrument(
    name="edge.drift.height", unit=Unit.ONE, description="CUSUM over its bar; 1 is an alarm"
)
OUTBOX_WAITING = Instrument(
    name="edge.outbox.waiting", unit=Unit.RECORDS, description="batches not yet acknowledged"
)
SHADOW_PAIRS = Instrument(
    name="edge.shadow.pairs", unit=Unit.WINDOWS, description="windows that both models scored"
)
SHADOW_DROPPED = Instrument(
    name="edge.shadow.dropped",
    unit=Unit.WINDOWS,
    description="windows not shown to the model that looks on, since it was too slow",
)
ANOMALIES = Instrument(
    name="edge.anomaly.windows",
    unit=Unit.WINDOWS,
    description="windows that the model's anomaly output marked",
)
OVERRIDES = Instrument(
    name="edge.operator.overrides",
    unit=Unit.EVENTS,
    description="operator decisions against the verdict in force",
)
OUTBOX_SHED = Instrument(
    name="edge.outbox.shed",
    unit=Unit.BATCHES,
    description="batches never taken: no room, or a disk that fails",
)
OUTBOX_WRITTEN = Instrument(
    name="edge.outbox.written", unit=Unit.BYTES, description="disk bytes that telemetry cost"
)
WEAR_BUDGET_USED = Instrument(
    name="edge.outbox.wear_budget_used",
    unit=Unit.ONE,
    description="share of an hour's disk allowance that is used; above 1 batches wait",
)
LOGS_SUPPRESSED = Instrument(
    name="edge.logs.suppressed", unit=Unit.EVENTS, description="log events over the rate"
)
SPANS_DROPPED = Instrument(
    name="edge.traces.dropped", unit=Unit.WINDOWS, description="traced windows over the bound"
)
HEALTH_DROPPED = Instrument(
    name="edge.health.dropped",
    unit=Unit.WINDOWS,
    description="health windows given up because the site was away too long",
)

# The box itself, in the words of the OpenTelemetry system and hardware conventions.
CPU_UTILISATION = Instrument(
    name="system.cpu.utilization", unit=Unit.ONE, description="share of all cores in use"
)
MEMORY_USAGE = Instrument(
    name="system.memory.usage", unit=Unit.BYTES, description="memory that is not available"
)
MEMORY_UTILISATION = Instrument(
    name="system.memory.utilization", unit=Unit.ONE, description="share of memory in use"
)
DISK_UTILISATION = Instrument(
    name="system.filesystem.utilization",
    unit=Unit.ONE,
    description="share of the data file system in use",
)
UPTIME = Instrument(name="system.uptime", unit=Unit.SECONDS, description="since the box started")
TEMPERATURE = Instrument(
    name="hw.temperature", unit=Unit.CELSIUS, description="of each sensor the kernel knows"
)
PROCESS_CPU = Instrument(
    name="process.cpu.time", unit=Unit.SECONDS, description="of the daemon and its workers"
)
PROCESS_MEMORY = Instrument(
    name="process.memory.usage",
    unit=Unit.BYTES,
    description="resident, of the daemon and its workers",
)
DISK_WRITTEN = Instrument(
    name="edge.disk.written",
    unit=Unit.BYTES,
    description="ever written to the data file system, by its own count",
)
DISK_WEAR = Instrument(
    name="edge.disk.wear",
    unit=Unit.ONE,
    description="share of its rated life that the disk says is used",
)
CLOCK_SYNCHRONISED_GAUGE = Instrument(
    name=CLOCK_SYNCHRONISED, unit=Unit.ONE, description="1 while the kernel trusts its clock"
)
CLOCK_ERROR_MAX = Instrument(
    name=CLOCK_ERROR_MAX_US,
    unit=Unit.MICROSECONDS,
    description="how wrong the clock may be, as the kernel estimates",
)
CLOCK_OFFSET = Instrument(
    name="edge.clock.offset",
    unit=Unit.MICROSECONDS,
    description="what the kernel still has to correct its clock by",
)
JOURNAL_BYTES = Instrument(
    name="edge.journal.bytes", unit=Unit.BYTES, description="size of the write-ahead log"
)
JOURNAL_WAITING = Instrument(
    name="edge.journal.waiting", unit=Unit.RECORDS, description="records not yet upstream"
)


class Signal(StrEnum):
    """The three OTLP signals; the value is the path segment."""

    METRICS = "metrics"
    LOGS = "logs"
    TRACES = "traces"


class BatchId(Struct, frozen=True, kw_only=True, order=True):
    """Who sent a batch and which it is; a repeat carries the same id and the same CRC."""

    serial: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.serial}/{self.epoch}/{self.sequence}"


def parse_batch_id(text: str) -> BatchId | None:
    """Read `<serial>/<epoch>/<sequence>`; None if it is not of that form."""
    serial, _, rest = text.partition("/")
    epoch, _, sequence = rest.partition("/")
    digits = epoch.isascii() and epoch.isdigit() and sequence.isascii() and sequence.isdigit()
    if not (0 < len(serial) <= 63 and digits and len(epoch) <= 19 and len(sequence) <= 19):
        return None
    return BatchId(serial=serial, epoch=int(epoch), sequence=int(sequence))
