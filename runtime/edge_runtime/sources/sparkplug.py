"""Samples from Sparkplug B edge nodes on an MQTT broker.

A tag's address is `group/node#metric`, or `group/node/device#metric`. After connecting, and when a
message was lost, the node is asked to announce itself anew.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.words import TEXT_UNIT
from edge_runtime.broker import still_wanted
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt import Refusals
from edge_runtime.sources.mqtt_config import SparkplugConfig
from edge_runtime.sources.mqtt_dial import Dialler
from edge_runtime.sources.mqtt_payload import Wanted
from edge_runtime.sources.sample import Ingest
from edge_runtime.sources.sparkplug_node import EdgeNode
from edge_runtime.sources.sparkplug_payload import decode, rebirth_command
from edge_runtime.sources.sparkplug_rebirth import Rebirths

if TYPE_CHECKING:
    from edge_runtime.sources.mqtt_wire import Message, Wire

log = structlog.get_logger(__name__)

NAMESPACE: Final = "spBv1.0"
TOPICS_MAX: Final = 10_000  # whose parts are remembered
_KINDS: Final = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"})

NodeKey = tuple[str, str]


class SparkplugSource:
    """One broker and the edge nodes that tags come from.

    Attributes:
        rebirths: how often a node was asked to announce itself anew.
    """

    def __init__(
        self,
        config: SparkplugConfig,
        tags: Sequence[TagConfig],
        ingest: Ingest,
        *,
        monotonic: Callable[[], float],
        unix_ns: Callable[[], int],
    ) -> None:
        """Know the tags.

        Args:
            config: the broker.
            tags: all of the configuration; those of other sources are passed over.
            ingest: takes the samples.
            monotonic: seconds that never step.
            unix_ns: the wall clock, which stands in rebirth requests.

        Raises:
            ConfigurationError: a tag's address is of another form, or two tags have the same.
        """
        self._ingest = ingest
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        self._name = config.name
        self._nodes = {key: EdgeNode(found) for key, found in _wanted(config.name, tags).items()}
        self._topics: dict[bytes, tuple[NodeKey, str, str]] = {}
        # A host application begins each connection with a clean session: specification, 5.
        self._dialler = Dialler(config, config.name)
        self._asking = Rebirths[NodeKey](config.rebirth_interval_s)
        self._refusals = Refusals(config.name, monotonic)
        self._wire: Wire | None = None
        self.rebirths = 0

    @property
    def refused(self) -> int:
        """Payloads that were none."""
        return self._refusals.count

    async def run(self) -> None:
        """Read for ever; a broker that goes away is dialled again, and the outage is a gap.

        Raises:
            ConfigurationError: a file that is named cannot be read, or a topic is forbidden.
        """
        filters = [f"{NAMESPACE}/{group}/+/{node}/#" for group, node in self._nodes]
        while True:
            self._asking.forget()
            await self._dialler.listen(filters, self.take, self._passed_over, self._stay)
            self._wire = None
            for node in self._nodes.values():
                for batch in node.lost():
                    self._ingest(batch)
            await self._dialler.pause()

    async def _stay(self, wire: "Wire") -> None:
        self._wire = wire
        # One that was born while we subscribed need not be asked.
        born = {key for key, node in self._nodes.items() if node.born}
        self._asking.want(self._nodes.keys() - born, self._monotonic())
        while True:
            for key in self._asking.due(self._monotonic()):
                await self._ask_rebirth(wire, key)
            await wire.rest(self._asking.pause_s(self._monotonic()))

    def take(self, messages: "Sequence[Message]") -> None:
        """Take messages in order; nodes that must announce themselves anew are asked soon."""
        for topic, raw in messages:
            place = self._topics.get(topic)
            if place is None:
                place = self._place(topic)
                if place is not None and len(self._topics) < TOPICS_MAX:
                    self._topics[topic] = place
            if place is not None:
                self._one(place, raw)

    def wanting(self) -> list[NodeKey]:
        """The nodes that are to be asked now; as a connection would."""
        return self._asking.due(self._monotonic())

    def _one(self, place: tuple[NodeKey, str, str], raw: bytes) -> None:
        key, kind, device = place
        try:
            heard = self._nodes[key].take(kind, device, decode(raw))
        except PayloadError as error:
            self._refusals.add("/".join(key), str(error))
            return
        for batch in heard.batches:
            self._ingest(batch)
        if heard.rebirth is not None:
            self._asking.want([key], self._monotonic(), heard.rebirth)
            if self._wire is not None:
                self._wire.stirred.set()
        elif kind == "NBIRTH":
            self._asking.born(key)

    def _place(self, topic: bytes) -> tuple[NodeKey, str, str] | None:
        """Node, kind and device of a topic; None if it is none of ours."""
        parts = topic.decode(errors="replace").split("/")
        if len(parts) not in {4, 5} or parts[0] != NAMESPACE or parts[2] not in _KINDS:
            return None
        key = (parts[1], parts[3])
        device = parts[4] if len(parts) == 5 else ""
        node = self._nodes.get(key)
        return None if node is None else (key, parts[2], device)

    def _passed_over(self, topic: bytes, count: int) -> None:
        place = self._place(topic)
        if place is not None:
            reason = f"payload: expected at most 1 MiB, found {count} bytes"
            self._refusals.add("/".join(place[0]), reason)

    async def _ask_rebirth(self, wire: "Wire", key: NodeKey) -> None:
        self.rebirths += 1
        group, node = key
        command = rebirth_command(self._unix_ns() // 1_000_000)
        await wire.publish(f"{NAMESPACE}/{group}/NCMD/{node}", command, qos=0)
        still_wanted()
        log.info("source.rebirth_asked", source=self._name, node=node)


def _wanted(
    source: str, tags: Sequence[TagConfig]
) -> dict[NodeKey, dict[tuple[str, str], Wanted]]:
    """The tags of each node, by device and metric."""
    found: dict[NodeKey, dict[tuple[str, str], Wanted]] = {}
    for place, tag in enumerate(tags):
        if tag.source == source:
            group, node, device, metric = split_address(tag)
            known = found.setdefault((group, node), {})
            if (device, metric) in known:
                raise ConfigurationError(
                    f"tag {tag.role}: expected an address of its own, found {tag.address!r} "
                    f"for {tags[known[device, metric].place].role} too"
                )
            known[device, metric] = Wanted(place, tag.unit == TEXT_UNIT, tag.texts)
    return found


def split_address(tag: TagConfig) -> tuple[str, str, str, str]:
    """Group, node, device ("" for the node itself) and metric of a tag.

    Raises:
        ConfigurationError: its address is not of the form `group/node[/device]#metric`.
    """
    place, mark, metric = tag.address.partition("#")
    parts = place.split("/")
    odd = "+" in place or not all(parts)
    if not (mark and metric) or len(parts) not in {2, 3} or odd:
        raise ConfigurationError(
            f"tag {tag.role}: expected an address group/node[/device]#metric, "
            f"found {tag.address!r}"
        )
    return parts[0], parts[1], parts[2] if len(parts) == 3 else "", metric
