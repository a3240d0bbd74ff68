"""Sparkplug B payloads, read: bytes from anywhere in, columns out, or a refusal.

Field numbers, types and quality codes are those of the Sparkplug specification 3.0, chapter 6. The
schema lives in a descriptor pool of its own, since a second copy in the default pool is an error.
Data sets, templates, files and arrays have no place in a window and are skipped.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_core.features.samples import CellQuality
from edge_runtime.errors import ExtraMissingError, PayloadError
from edge_runtime.sources.sample import SEVERITY_BITS, gap_status
from edge_runtime.sources.sparkplug_columns import Plain, plain

PAYLOAD_BYTES_MAX: Final = 1024 * 1024
METRICS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 300
TEXT_CHARS_MAX: Final = 200
TIME_MS_MAX: Final = 9_000_000_000_000  # the year 2255; in nanoseconds it still fits 64 bits
NO_ALIAS: Final = 2**64 - 1
QUALITY: Final = "Quality"
REBIRTH: Final = "Node Control/Rebirth"
_PACKAGE: Final = "edge.sparkplug"
_BOOLEAN: Final = 11
BAD_STATUS: Final = int(CellQuality.BAD) << SEVERITY_BITS
# The specification's quality codes; any other one is bad.
_STATUS: Final = {192: 0, 500: gap_status()}

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
_WHOLE: Final = frozenset({"int_value", "long_value", "boolean_value"})


@dataclass(frozen=True, slots=True)
class Payload:
    """One message; every column has shape (metric,).

    Attributes:
        timestamp_ms: when it was sent.
        seq: its number, or None.
        names: of the metrics, None where one is told by alias alone; None if all are.
        aliases: `NO_ALIAS` where a metric has none.
        times_ms: of the values.
        values: as numbers, integers as if unsigned; NaN where there is none.
        wholes: the bits of integers, 0 for others; None if there are no integers.
        datatypes: 0 where a metric names none; None if none does.
        status: OPC UA status codes; None if all are good.
        historical: whether a value is one of the past; None if none is.
        texts: of metrics that are text, by place.
    """

    timestamp_ms: int
    seq: int | None
    names: tuple[str | None, ...] | None
    aliases: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    wholes: NDArray[np.uint64] | None = None
    datatypes: NDArray[np.uint32] | None = None
    status: NDArray[np.uint32] | None = None
    historical: NDArray[np.bool_] | None = None
    texts: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.aliases)


def decode(raw: bytes) -> Payload:
    """Read a payload.

    Raises:
        PayloadError: not of the schema, too many metrics, or a time that no plant has.
    """
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise PayloadError(
            f"payload: expected at most {PAYLOAD_BYTES_MAX} bytes, found {len(raw)}"
        )
    quick = plain(raw)
    found = decode_any(raw) if quick is None else _of_plain(quick)
    if len(found) > METRICS_MAX:
        raise PayloadError(f"payload: expected at most {METRICS_MAX} metrics, found {len(found)}")
    if max(found.timestamp_ms, int(found.times_ms.max(initial=0))) > TIME_MS_MAX:
        raise PayloadError(f"payload: expected a time before {TIME_MS_MAX} ms, found later")
    return found


def decode_any(raw: bytes) -> Payload:
    """Read a payload of any shape, one metric at a time.

    Raises:
        PayloadError: not of the schema.
    """
    message_class, decode_error = _classes()
    try:
        found = message_class.FromString(raw)
    except decode_error as error:
        raise PayloadError(f"payload: expected Sparkplug B, found {error}") from None
    metrics = list(found.metrics[: METRICS_MAX + 1])
    rows = [_row(each) for each in metrics]
    wholes = [whole for _, whole, _ in rows]
    names = tuple(each.name if each.HasField("name") else None for each in metrics)
    if any(name is not None and len(name) > NAME_CHARS_MAX for name in names):
        raise PayloadError(f"metric: expected a name of at most {NAME_CHARS_MAX} characters")
    times = [min(each.timestamp, TIME_MS_MAX + 1) for each in metrics]
    status = [code for _, _, code in rows]
    historical = [each.is_historical for each in metrics]
    datatypes = [each.datatype for each in metrics]
    aliases = [each.alias if each.HasField("alias") else NO_ALIAS for each in metrics]
    return Payload(
        timestamp_ms=found.timestamp,
        seq=found.seq if found.HasField("seq") else None,
        names=names if any(name is not None for name in names) else None,
        aliases=np.array(aliases, np.uint64),
        times_ms=_timed(np.array(times, np.int64), min(found.timestamp, TIME_MS_MAX + 1)),
        values=np.array([value for value, _, _ in rows], np.float64),
        wholes=np.array(wholes, np.uint64) if any(wholes) else None,
        datatypes=np.array(datatypes, np.uint32) if any(datatypes) else None,
        status=np.array(status, np.uint32) if any(status) else None,
        historical=np.array(historical, np.bool_) if any(historical) else None,
        texts=tuple(
            (place, each.string_value[:TEXT_CHARS_MAX])
            for place, each in enumerate(metrics)
            if each.HasField("string_value") and not each.is_null
        ),
    )


def rebirth_command(now_ms: int) -> bytes:
    """The payload that asks an edge node to announce itself anew."""
    message_class, _ = _classes()
    payload = message_class(timestamp=now_ms)
    payload.metrics.add(name=REBIRTH, timestamp=now_ms, datatype=_BOOLEAN, boolean_value=True)
    written: bytes = payload.SerializeToString()
    return written


def _of_plain(found: Plain) -> Payload:
    return Payload(
        timestamp_ms=found.timestamp_ms,
        seq=found.seq,
        names=None,
        aliases=found.aliases,
        times_ms=_timed(found.times_ms, found.timestamp_ms),
        values=found.values,
        wholes=found.wholes,
        datatypes=found.datatypes,
    )


def _timed(times_ms: NDArray[np.int64], timestamp_ms: int) -> NDArray[np.int64]:
    """A metric without a time of its own has that of its message."""
    return times_ms if times_ms.all() else np.where(times_ms == 0, timestamp_ms, times_ms)


def _row(found: Any) -> tuple[float, int, int]:  # Any: protobuf makes the class at run time
    """Value, bits and status of a metric."""
    kind = found.WhichOneof("value")
    status = _quality(found) if found.HasField("properties") else 0
    if found.is_null or kind is None or kind == "string_value":
        return np.nan, 0, status
    value = getattr(found, kind)
    return float(value), int(value) if kind in _WHOLE else 0, status


def _quality(found: Any) -> int:  # Any: as above
    pairs = zip(found.properties.keys, found.properties.values, strict=False)
    value = next((value for key, value in pairs if key == QUALITY), None)
    return 0 if value is None else _STATUS.get(value.int_value or value.long_value, BAD_STATUS)


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
    plain_kind = kind.removesuffix("[]")
    label = types.LABEL_OPTIONAL if plain_kind == kind else types.LABEL_REPEATED
    field = message.field.add(name=name, number=number, label=label)
    if plain_kind in _MESSAGES:
        field.type, field.type_name = types.TYPE_MESSAGE, f".{_PACKAGE}.{plain_kind}"
    else:
        field.type = getattr(types, f"TYPE_{plain_kind.upper()}")
    if message.name == "Metric" and name.endswith("_value"):
        field.oneof_index = 0
