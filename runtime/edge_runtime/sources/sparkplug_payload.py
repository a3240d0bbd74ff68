"""Sparkplug B payloads, read: bytes from anywhere in, plain values out, or a refusal.

Field numbers, types and quality codes are those of the Sparkplug specification 3.0, chapter 6. The
schema lives in a descriptor pool of its own, since a second copy in the default pool is an error.
Data sets, templates, files and arrays have no place in a window and are skipped.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from edge_runtime.errors import ExtraMissingError, PayloadError

PAYLOAD_BYTES_MAX: Final = 1024 * 1024
METRICS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 300
TIME_MS_MAX: Final = 9_000_000_000_000  # the year 2255; in nanoseconds it still fits 64 bits
QUALITY: Final = "Quality"
GOOD: Final = 192
REBIRTH: Final = "Node Control/Rebirth"
_PACKAGE: Final = "edge.sparkplug"
_BOOLEAN: Final = 11
# datatype -> bits of a signed integer, which travels as its two's complement
_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}

_MESSAGES: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "PropertyValue": (
        ("type", 1, "uint32"),
        ("is_null", 2, "bool"),
        ("int_value", 3, "uint32"),
        ("long_value", 4, "uint64"),
    ),
    "PropertySet": (("keys", 1, "string[]"), ("values", 2, "PropertyValue[]")),
    "Metric": (
        ("name", 1, "string"),
        ("alias", 2, "uint64"),
        ("timestamp", 3, "uint64"),
        ("datatype", 4, "uint32"),
        ("is_historical", 5, "bool"),
        ("is_transient", 6, "bool"),
        ("is_null", 7, "bool"),
        ("properties", 9, "PropertySet"),
        ("int_value", 10, "uint32"),
        ("long_value", 11, "uint64"),
        ("float_value", 12, "float"),
        ("double_value", 13, "double"),
        ("boolean_value", 14, "bool"),
        ("string_value", 15, "string"),
    ),
    "Payload": (
        ("timestamp", 1, "uint64"),
        ("metrics", 2, "Metric[]"),
        ("seq", 3, "uint64"),
    ),
}


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric as it came; `value` is NaN where it is null or no number."""

    name: str | None
    alias: int | None
    timestamp_ms: int | None
    datatype: int | None
    value: float
    quality: int
    historical: bool

    def as_type(self, datatype: int | None) -> float:
        """The value read as *datatype*, which a birth named."""
        bits = _SIGNED.get(datatype or 0)
        if bits is None or not math.isfinite(self.value):
            return self.value
        whole = int(self.value) % 2**bits
        return float(whole - 2**bits if whole >= 2 ** (bits - 1) else whole)


@dataclass(frozen=True, slots=True)
class Payload:
    """One message."""

    timestamp_ms: int
    seq: int | None
    metrics: tuple[MetricValue, ...]


def decode(raw: bytes) -> Payload:
    """Read a payload.

    Raises:
        PayloadError: not of the schema, too many metrics, or a time that no plant has.
    """
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise PayloadError(
            f"payload: expected at most {PAYLOAD_BYTES_MAX} bytes, found {len(raw)}"
        )
    message_class, decode_error = _classes()
    try:
        found = message_class.FromString(raw)
    except decode_error as error:
        raise PayloadError(f"payload: expected Sparkplug B, found {error}") from None
    if len(found.metrics) > METRICS_MAX:
        raise PayloadError(
            f"payload: expected at most {METRICS_MAX} metrics, found {len(found.metrics)}"
        )
    stamps = (found.timestamp, *(metric.timestamp for metric in found.metrics))
    if max(stamps) > TIME_MS_MAX:
        raise PayloadError(f"payload: expected a time before {TIME_MS_MAX} ms, found later")
    return Payload(
        timestamp_ms=found.timestamp,
        seq=found.seq if found.HasField("seq") else None,
        metrics=tuple(_metric(each) for each in found.metrics),
    )


def rebirth_command(now_ms: int) -> bytes:
    """The payload that asks an edge node to announce itself anew."""
    message_class, _ = _classes()
    payload = message_class(timestamp=now_ms)
    payload.metrics.add(name=REBIRTH, timestamp=now_ms, datatype=_BOOLEAN, boolean_value=True)
    written: bytes = payload.SerializeToString()
    return written


def _metric(found: Any) -> MetricValue:  # Any: protobuf makes the class at run time
    name = found.name if found.HasField("name") else None
    if name is not None and len(name) > NAME_CHARS_MAX:
        raise PayloadError(f"metric: expected a name of at most {NAME_CHARS_MAX} characters")
    return MetricValue(
        name=name,
        alias=found.alias if found.HasField("alias") else None,
        timestamp_ms=found.timestamp if found.HasField("timestamp") else None,
        datatype=found.datatype if found.HasField("datatype") else None,
        value=_value(found),
        quality=_quality(found),
        historical=found.is_historical,
    )


def _value(found: Any) -> float:  # Any: as above
    kind = found.WhichOneof("value")
    if found.is_null or kind is None or kind == "string_value":
        return math.nan
    return float(getattr(found, kind))


def _quality(found: Any) -> int:  # Any: as above
    if not found.HasField("properties"):
        return GOOD
    pairs = zip(found.properties.keys, found.properties.values, strict=False)
    value = next((value for key, value in pairs if key == QUALITY), None)
    return GOOD if value is None else int(value.int_value or value.long_value)


@cache
def _classes() -> tuple[Any, type[Exception]]:  # Any: as above
    """The message class and what it raises; made when the first Sparkplug source is."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message  # noqa: PLC0415
        from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415
    except ImportError:
        raise ExtraMissingError(
            "Sparkplug: expected the library protobuf, found none; install edge-mlops[gateway]"
        ) from None
    file = descriptor_pb2.FileDescriptorProto(
        name="edge_sparkplug.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        if name == "Metric":
            described.oneof_decl.add(name="value")
        for field in fields:
            _describe(described, field, descriptor_pb2.FieldDescriptorProto)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload")), message.DecodeError


def _describe(message: Any, described: tuple[str, int, str], types: Any) -> None:  # Any: as above
    name, number, kind = described
    plain = kind.removesuffix("[]")
    label = types.LABEL_OPTIONAL if plain == kind else types.LABEL_REPEATED
    field = message.field.add(name=name, number=number, label=label)
    if plain in _MESSAGES:
        field.type, field.type_name = types.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
    else:
        field.type = getattr(types, f"TYPE_{plain.upper()}")
    if message.name == "Metric" and name.endswith("_value"):
        field.oneof_index = 0
