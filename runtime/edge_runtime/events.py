"""Encodes log events for the site: OTLP log records with the fixed attributes."""

from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from edge_core.contracts.telemetry import SUPPRESSED
from edge_runtime.series import SCOPE
from edge_runtime.sitelog import Fact, SiteLog, Told

SEVERITIES: Final = {
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_SCOPE: Final = InstrumentationScope(SCOPE)


def encoded(
    site_log: SiteLog, resource: Resource, whose: Callable[[], dict[str, str]]
) -> bytes | None:
    """One ExportLogsServiceRequest with what waits; None if nothing does.

    Args:
        site_log: what waits, which then waits no more.
        resource: the gateway.
        whose: the attributes of the model in charge; empty where there is none.
    """
    told = site_log.taken()
    if not told:
        return None
    return encoded_events(told, resource, whose())


def encoded_events(told: Sequence[Told], resource: Resource, whose: dict[str, str]) -> bytes:
    """One ExportLogsServiceRequest."""
    records = [ReadableLogRecord(_record(each, whose), resource, _SCOPE) for each in told]
    request: bytes = encode_logs(records).SerializeToString()
    return request


def _record(told: Told, whose: dict[str, str]) -> LogRecord:
    more: dict[str, Fact] = {SUPPRESSED: told.suppressed} if told.suppressed else {}
    return LogRecord(
        timestamp=told.unix_ns,
        observed_timestamp=told.unix_ns,
        severity_number=SEVERITIES.get(told.level, SeverityNumber.WARN),
        severity_text=told.level.upper(),
        body=told.name,
        event_name=told.name,
        # An event's own facts come first: what it says of another model must not be hidden.
        attributes={**whose, **told.facts, **more},
    )
