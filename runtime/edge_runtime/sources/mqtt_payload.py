"""JSON of an MQTT message as samples: one value, a table of values, or a list of either; no I/O.

    {"tag": "flow", "ts": 1795305600000, "v": 31.5, "q": 192}
    {"ts": "2026-11-22T00:00:00Z", "values": {"flow": 31.5, "pressure": 2.2}}
    [{"tag": "flow", ...}, {"tag": "pressure", ...}]

What the keys are called is a setting. A value that is null or of the wrong type makes its tag bad
and leaves the others alone; what is no such message at all gives nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct

from edge_core.contracts.plant import Instant
from edge_core.features.samples import CellQuality
from edge_core.features.words import number_of
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_config import PayloadConfig
from edge_runtime.sources.sample import SEVERITY_BITS, SampleBatch

VALUES_MAX: Final = 10_000  # of one message
TIME_NS_MAX: Final = 9_000_000_000_000_000_000  # the year 2255: beyond, 64 bits do not hold it
_REASON_CHARS_MAX: Final = 200
_UNITS_NS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GOOD, _UNCERTAIN, _BAD = (
    int(each) << SEVERITY_BITS
    for each in (CellQuality.GOOD, CellQuality.UNCERTAIN, CellQuality.BAD)
)
# OPC DA: the two top bits of a byte say how good a value is.
_STATUS: Final = {3: _GOOD, 1: _UNCERTAIN}

Key = Annotated[str, Meta(min_length=1, max_length=200)]
Word = Annotated[str, Meta(max_length=200)]
Value = float | bool | Word | None
Quality = Annotated[int, Meta(ge=0, le=65_535)]
Stamp = int | float | Instant


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tag that a topic's messages tell of.

    Attributes:
        place: in the configuration's list of tags.
        words: whether it shows words that mean themselves.
        texts: the numbers that texts stand for at any other.
    """

    place: int
    words: bool = False
    texts: Mapping[str, float] = field(default_factory=dict)

    def number(self, text: str) -> float:
        """What a text is here, NaN if it is nothing."""
        return number_of(text) if self.words else self.texts.get(text, math.nan)


@dataclass(slots=True)
class Columns:
    """Samples on their way into a batch.

    Attributes:
        odd: why values were marked bad that should have been good, by key.
    """

    tags: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    source_ns: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)

    def batch(self) -> SampleBatch:
        """All of them."""
        return SampleBatch(
            np.array(self.tags, np.int32),
            np.array(self.values, np.float64),
            np.array(self.source_ns, np.int64),
            np.array(self.status, np.uint32),
        )

    def cut_back(self, length: int) -> None:
        """Forget everything beyond *length*."""
        for column in (self.tags, self.values, self.source_ns, self.status):
            del column[length:]


class PayloadMap:
    """What the messages of one broker mean."""

    def __init__(self, config: PayloadConfig) -> None:
        self._config = config
        self._strict = _Decoders(config, Value, Quality)
        # Anything may stand where nobody asks for it, or make one value bad instead of all.
        self._loose = _Decoders(config, Raw, Raw)
        self._unit_ns = _UNITS_NS[config.time_unit]

    def read(
        self, raw: bytes, wanted: Mapping[str, Wanted], arrived_ns: int, into: Columns
    ) -> None:
        """Add every value that is wanted to *into*; a message that is refused adds nothing.

        Args:
            raw: the payload.
            wanted: the tags that this topic tells of, by key.
            arrived_ns: now, for messages that bear no time, where that is allowed.
            into: takes the samples.

        Raises:
            PayloadError: it is not of a form that is expected.
        """
        before = len(into.tags)
        try:
            for reading in self._readings(raw):
                self._add(reading, wanted, arrived_ns, into)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            into.cut_back(before)
            raise PayloadError(f"message: {ascii(str(error))[1:-1][:_REASON_CHARS_MAX]}") from None
        except PayloadError:
            into.cut_back(before)
            raise

    def _readings(self, raw: bytes) -> Sequence[Any]:  # Any: its class is made from the settings
        form = self._config.form
        many = form == "list" or (form == "any" and raw.lstrip()[:1] == b"[")
        try:
            return self._strict.decode(raw, many=many)
        except msgspec.ValidationError:
            return self._loose.decode(raw, many=many)

    def _add(
        self,
        reading: Any,  # as above
        wanted: Mapping[str, Wanted],
        arrived_ns: int,
        into: Columns,
    ) -> None:
        source_ns = self._source_ns(reading.ts, arrived_ns)
        form = self._config.form
        named, table = reading.tag is not None, reading.values is not None
        if named == table or (form == "tag" and table) or (form == "tags" and named):
            raise PayloadError(
                f"message: expected {_expected(self._config)}, found neither or the other"
            )
        found = ((reading.tag, reading.v),) if named else reading.values.items()
        status = _status(reading.q)
        for key, value in found:
            tag = wanted.get(key)
            if tag is None:
                continue
            number, fits = _number(value, tag)
            into.tags.append(tag.place)
            into.values.append(number)
            into.source_ns.append(source_ns)
            into.status.append(status if math.isfinite(number) else _BAD)
            if not fits:
                into.odd[key] = "words" if tag.words else "a number"

    def _source_ns(self, stamp: Stamp | None, arrived_ns: int) -> int:
        if stamp is None:
            if self._config.untimed == "refused":
                raise PayloadError(
                    f"message: expected a time under {self._config.time!r}, found none"
                )
            return arrived_ns
        if isinstance(stamp, datetime):
            source_ns = (stamp - _EPOCH) // timedelta(microseconds=1) * 1000
        else:
            source_ns = int(stamp * self._unit_ns)
        if not 0 <= source_ns <= TIME_NS_MAX:
            raise PayloadError("message: expected a time from 1970 to 2255, found another")
        return source_ns


class _Decoders:
    """One reading, or many, with keys as configured."""

    def __init__(self, config: PayloadConfig, value: Any, quality: Any) -> None:  # Any: types
        kinds: list[tuple[str, Any, Any]] = [  # Any: as above
            ("tag", Key | None, None),
            ("ts", Stamp | None, None),
            ("v", value, None),
            ("q", quality, 192 if quality is not Raw else Raw(b"192")),
            ("values", Annotated[dict[Key, value], Meta(max_length=VALUES_MAX)] | None, None),
        ]
        names = {
            "tag": config.tag,
            "ts": config.time,
            "v": config.value,
            "q": config.quality,
            "values": config.values,
        }
        reading: Any = msgspec.defstruct("Reading", kinds, rename=names, frozen=True, gc=False)
        self._one = msgspec.json.Decoder(reading)
        self._many = msgspec.json.Decoder(Annotated[list[reading], Meta(max_length=VALUES_MAX)])

    def decode(self, raw: bytes, *, many: bool) -> Sequence[Struct]:
        """The readings.

        Raises:
            MsgspecError: it is something else.
        """
        found: Sequence[Struct] = self._many.decode(raw) if many else [self._one.decode(raw)]
        return found


def _number(value: Value | Raw, tag: Wanted) -> tuple[float, bool]:
    """A value as a number, NaN where there is none, and whether its type is the tag's."""
    if isinstance(value, Raw):
        try:
            value = msgspec.json.decode(value, type=Value)
        except (msgspec.MsgspecError, RecursionError):
            return math.nan, False
    if value is None:
        return math.nan, True
    if isinstance(value, str):
        return tag.number(value), tag.words or value in tag.texts
    return float(value), True


def _status(code: int | Raw) -> int:
    if isinstance(code, Raw):
        code = msgspec.json.decode(code, type=Quality)
    return _STATUS.get(code >> 6 & 3, _BAD)


def _expected(config: PayloadConfig) -> str:
    of_one = f"`{config.tag}` with `{config.value}`"
    of_many = f"`{config.values}`"
    return {"tag": of_one, "tags": of_many}.get(config.form, f"either {of_one} or {of_many}")
