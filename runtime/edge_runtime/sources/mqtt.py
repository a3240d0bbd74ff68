"""Samples from an MQTT broker whose messages are JSON: one value, or a batch of them.

    {"tag": "flow", "ts": 1795305600000, "v": 31.5, "q": 192}
    [{"tag": "flow", ...}, {"tag": "pressure", ...}]
    {"ts": "2026-11-22T00:00:00Z", "values": {"flow": 31.5, "pressure": 2.2}}

`ts` is milliseconds since 1970 or an instant with its zone, `q` is OPC's quality (192 good, 64
uncertain, 0 bad). A tag's address is `topic#key`, the topic without wildcards.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta, Struct

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.plant import Instant
from edge_core.features.samples import CellQuality
from edge_runtime.broker import dial, payload_bytes, still_wanted
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_config import MqttConfig
from edge_runtime.sources.opcua_values import nanoseconds
from edge_runtime.sources.sample import Ingest, TagSample, by_role

log = structlog.get_logger(__name__)

PAYLOAD_BYTES_MAX: Final = 1024 * 1024
VALUES_MAX: Final = 10_000
_GOOD_BITS: Final = 6  # OPC DA: the two top bits of a byte; 3 is good, 1 uncertain
TIME_MS_MAX: Final = 9_000_000_000_000  # the year 2255; in nanoseconds it still fits 64 bits

Key = Annotated[str, Meta(min_length=1, max_length=200)]
Number = float | bool | None
Stamp = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)] | Instant


class Reading(Struct, frozen=True, kw_only=True):
    """One message, or one of a batch; either `tag` and `v`, or `values`."""

    ts: Stamp
    tag: Key | None = None
    v: Number = None
    q: Annotated[int, Meta(ge=0, le=65_535)] = 192
    values: Annotated[dict[Key, Number], Meta(max_length=VALUES_MAX)] = {}


_ONE: Final = msgspec.json.Decoder(Reading)
_MANY: Final = msgspec.json.Decoder(Annotated[list[Reading], Meta(max_length=VALUES_MAX)])


def samples_in(raw: bytes, roles: dict[str, str]) -> list[TagSample]:
    """Every value of a message that has a role here.

    Args:
        raw: the payload.
        roles: the role that each key of this topic plays.

    Raises:
        PayloadError: it is not of one of the three forms.
    """
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise PayloadError(
            f"message: expected at most {PAYLOAD_BYTES_MAX} bytes, found {len(raw)}"
        )
    try:
        readings = _MANY.decode(raw) if raw.lstrip()[:1] == b"[" else [_ONE.decode(raw)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"message: {ascii(str(error))[1:-1][:200]}") from None
    return [sample for reading in readings for sample in _samples(reading, roles)]


def _samples(reading: Reading, roles: dict[str, str]) -> Iterator[TagSample]:
    stamp = reading.ts
    source_ns = stamp * 1_000_000 if isinstance(stamp, int) else nanoseconds(stamp)
    quality = _quality(reading.q)
    found = dict(reading.values)
    if reading.tag is not None:
        found[reading.tag] = reading.v
    for key, value in found.items():
        role = roles.get(key)
        if role is None:
            continue
        if value is None or not math.isfinite(value):
            yield TagSample(role, math.nan, CellQuality.BAD, source_ns)
        else:
            yield TagSample(role, float(value), quality, source_ns)


def _quality(code: int) -> CellQuality:
    top = code >> _GOOD_BITS & 3
    return {3: CellQuality.GOOD, 1: CellQuality.UNCERTAIN}.get(top, CellQuality.BAD)


def split_address(tag: TagConfig) -> tuple[str, str]:
    """Topic and key of a tag.

    Raises:
        ConfigurationError: its address is not of the form `topic#key`.
    """
    topic, mark, key = tag.address.rpartition("#")
    if not (mark and topic and key) or "+" in topic or "#" in topic:
        raise ConfigurationError(
            f"tag {tag.role}: expected an address topic#key without wildcards, "
            f"found {tag.address!r}"
        )
    return topic, key


class MqttSource:
    """One broker and the tags that come from it.

    Attributes:
        refused: messages that were not of a form we read.
    """

    def __init__(
        self,
        config: MqttConfig,
        tags: Sequence[TagConfig],
        ingest: Ingest,
        *,
        unix_ns: Callable[[], int],
    ) -> None:
        self._config = config
        self._ingest = by_role(ingest, (tag.role for tag in tags))
        self._unix_ns = unix_ns
        self._roles: dict[str, dict[str, str]] = {}
        for tag in tags:
            if tag.source == config.name:
                topic, key = split_address(tag)
                self._roles.setdefault(topic, {})[key] = tag.role
        self._newest_ns = 0
        self.refused = 0

    async def run(self) -> None:
        """Read for ever; a broker that goes away is dialled again, and the outage is a gap."""
        import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

        told = ""
        while True:
            try:
                async with dial(self._config) as client:
                    for topic in self._roles:
                        await client.subscribe(topic, qos=1)
                        still_wanted()
                    told = ""
                    log.info("source.connected", source=self._config.name)
                    async for message in client.messages:
                        self._take(message.topic.value, message.payload)
            except aiomqtt.MqttError as error:
                still_wanted()
                if told != str(error):
                    told = str(error)
                    log.warning("source.lost", source=self._config.name, reason=told)
            self._mark_gap()
            await asyncio.sleep(self._config.retry_s)

    def _take(self, topic: str, payload: object) -> None:
        try:
            raw = payload_bytes(payload, PAYLOAD_BYTES_MAX)
            samples = samples_in(raw, self._roles.get(topic, {}))
        except PayloadError as error:
            self.refused += 1
            if self.refused == 1:
                log.warning("source.refused", source=self._config.name, reason=str(error))
            return
        if samples:
            self._newest_ns = max(self._newest_ns, *(sample.source_ns for sample in samples))
            self._ingest(samples)

    def _mark_gap(self) -> None:
        if self._newest_ns:
            roles = [role for keys in self._roles.values() for role in keys.values()]
            gap_ns = self._newest_ns + 1
            self._ingest([TagSample(role, math.nan, CellQuality.GAP, gap_ns) for role in roles])
