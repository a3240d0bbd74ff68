"""Samples from an MQTT broker whose messages are JSON.

A tag's address is `topic#key`, the topic without wildcards. The broker keeps what is sent while we
are away, if it is asked to: the session has a name of its own and outlives a restart.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.words import TEXT_UNIT
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_config import MqttConfig
from edge_runtime.sources.mqtt_dial import Dialler
from edge_runtime.sources.mqtt_heard import LastHeard
from edge_runtime.sources.mqtt_payload import Columns, PayloadMap, Wanted
from edge_runtime.sources.sample import GapCause, Ingest

if TYPE_CHECKING:
    from edge_runtime.sources.mqtt_wire import Message, Wire

log = structlog.get_logger(__name__)

QUIET_S: Final = 60.0  # between two lines about one topic


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


class Refusals:
    """Counts what could not be read, and says so once a topic and minute."""

    def __init__(self, source: str, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._monotonic = monotonic
        self._said_s: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self.count = 0

    def add(self, topic: str, reason: str) -> None:
        """One more; *topic* is one of those that we subscribe to, so they are few."""
        self.count += 1
        unsaid = self._unsaid.get(topic, 0) + 1
        now_s = self._monotonic()
        if now_s - self._said_s.get(topic, -QUIET_S) < QUIET_S:
            self._unsaid[topic] = unsaid
            return
        self._said_s[topic], self._unsaid[topic] = now_s, 0
        log.warning(
            "source.refused", source=self._source, topic=topic, messages=unsaid, reason=reason
        )


class MqttSource:
    """One broker and the tags that come from it."""

    def __init__(
        self,
        config: MqttConfig,
        tags: Sequence[TagConfig],
        ingest: Ingest,
        *,
        serial: str,
        monotonic: Callable[[], float],
        unix_ns: Callable[[], int],
    ) -> None:
        """Know the tags.

        Args:
            config: the broker.
            tags: all of the configuration; those of other sources are passed over.
            ingest: takes the samples.
            serial: the gateway's; its sessions are named after it.
            monotonic: seconds that never step.
            unix_ns: the wall clock, for messages without a time.

        Raises:
            ConfigurationError: a tag's address is of another form, or two tags have the same.
        """
        self._ingest = ingest
        self._unix_ns = unix_ns
        self._map = PayloadMap(config.payload)
        self._topics: dict[bytes, dict[str, Wanted]] = {}
        for place, tag in enumerate(tags):
            if tag.source == config.name:
                topic, key = split_address(tag)
                known = self._topics.setdefault(topic.encode(), {})
                if key in known:
                    raise ConfigurationError(
                        f"tag {tag.role}: expected an address of its own, found {tag.address!r} "
                        f"for {tags[known[key].place].role} too"
                    )
                known[key] = Wanted(place, tag.unit == TEXT_UNIT, tag.texts)
        self._places = [tag.place for keys in self._topics.values() for tag in keys.values()]
        self._dialler = Dialler(
            config,
            config.name,
            client_id=config.client_id or f"edge-{serial}-{config.name}",
            session_s=config.session_s,
        )
        self._heard = LastHeard()
        self._refusals = Refusals(config.name, monotonic)

    @property
    def refused(self) -> int:
        """Messages and values that were not of a form we read."""
        return self._refusals.count

    async def run(self) -> None:
        """Read for ever; a broker that goes away is dialled again, and the outage is a gap.

        Raises:
            ConfigurationError: a file that is named cannot be read, or a topic is forbidden.
        """
        topics = [topic.decode() for topic in self._topics]
        while True:
            await self._dialler.listen(topics, self.take, self._passed_over, _stay)
            self._heard.mark(self._places, GapCause.CONNECTION, self._ingest)
            await self._dialler.pause()

    def take(self, messages: "Sequence[Message]") -> None:
        """Every message that came at once becomes one batch."""
        columns = Columns()
        arrived_ns = self._unix_ns()
        for topic, raw in messages:
            wanted = self._topics.get(topic)
            if wanted is None:
                continue  # a session of old may have subscribed to more than we do
            try:
                self._map.read(raw, wanted, arrived_ns, columns)
            except PayloadError as error:
                self._refusals.add(topic.decode(), str(error))
            if columns.odd:
                for key, expected in columns.odd.items():
                    self._refusals.add(topic.decode(), f"{key!a}: expected {expected}")
                columns.odd.clear()
        if columns.tags:
            self._heard.observe(max(columns.source_ns))
            self._ingest(columns.batch())

    def _passed_over(self, topic: bytes, count: int) -> None:
        known = topic.decode() if topic in self._topics else "another"
        self._refusals.add(known, f"message: expected at most 1 MiB, found {count} bytes")


async def _stay(wire: "Wire") -> None:
    while True:
        await wire.rest(None)
