"""Samples from Sparkplug B edge nodes on an MQTT broker.

A tag's address is `group/node#metric`, or `group/node/device#metric`. After connecting, and when a
message was lost, the node is asked to announce itself anew, at most once in `rebirth_interval_s`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.broker import dial, payload_bytes, still_wanted
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_config import SparkplugConfig
from edge_runtime.sources.sample import Ingest, by_role
from edge_runtime.sources.sparkplug_node import EdgeNode
from edge_runtime.sources.sparkplug_payload import (
    PAYLOAD_BYTES_MAX,
    decode,
    rebirth_command,
)

if TYPE_CHECKING:
    import aiomqtt

log = structlog.get_logger(__name__)

NAMESPACE: Final = "spBv1.0"
_KINDS: Final = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"})


class SparkplugSource:
    """One broker and the edge nodes that tags come from.

    Attributes:
        refused: payloads that were none.
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
        self._config = config
        self._ingest = by_role(ingest, (tag.role for tag in tags))
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        roles: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
        for tag in tags:
            if tag.source == config.name:
                group, node, device, metric = split_address(tag)
                roles.setdefault((group, node), {})[device, metric] = tag.role
        self._nodes = {key: EdgeNode(found) for key, found in roles.items()}
        self._asked_s: dict[tuple[str, str], float] = {}
        self.refused = 0
        self.rebirths = 0

    async def run(self) -> None:
        """Read for ever; a broker that goes away is dialled again, and the outage is a gap."""
        import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

        told = ""
        while True:
            try:
                async with dial(self._config) as client:
                    told = ""
                    await self._listen(client)
            except aiomqtt.MqttError as error:
                still_wanted()
                if told != str(error):
                    told = str(error)
                    log.warning("source.lost", source=self._config.name, reason=told)
            for node in self._nodes.values():
                self._ingest(node.lost())
            await asyncio.sleep(self._config.retry_s)

    async def _listen(self, client: "aiomqtt.Client") -> None:
        for group, node in self._nodes:
            await client.subscribe(f"{NAMESPACE}/{group}/+/{node}/#", qos=1)
            still_wanted()
        log.info("source.connected", source=self._config.name, nodes=len(self._nodes))
        self._asked_s.clear()
        for key in self._nodes:
            await self._ask_rebirth(client, key)
        async for message in client.messages:
            wanting = self.take(message.topic.value, message.payload)
            if wanting is not None:
                await self._ask_rebirth(client, wanting)

    def take(self, topic: str, payload: object) -> tuple[str, str] | None:
        """Take one message; the node that must announce itself anew, if it must."""
        parts = topic.split("/")
        if len(parts) not in {4, 5} or parts[0] != NAMESPACE or parts[2] not in _KINDS:
            return None
        key = (parts[1], parts[3])
        node = self._nodes.get(key)
        if node is None:
            return None
        try:
            found = decode(payload_bytes(payload, PAYLOAD_BYTES_MAX))
        except PayloadError as error:
            self.refused += 1
            if self.refused == 1:
                log.warning("source.refused", source=self._config.name, reason=str(error))
            return None
        heard = node.take(parts[2], parts[4] if len(parts) == 5 else "", found)
        if heard.samples:
            self._ingest(heard.samples)
        return key if heard.rebirth else None

    async def _ask_rebirth(self, client: "aiomqtt.Client", key: tuple[str, str]) -> None:
        now_s = self._monotonic()
        last_s = self._asked_s.get(key)
        if last_s is not None and now_s - last_s < self._config.rebirth_interval_s:
            return
        self._asked_s[key] = now_s
        self.rebirths += 1
        group, node = key
        command = rebirth_command(self._unix_ns() // 1_000_000)
        await client.publish(f"{NAMESPACE}/{group}/NCMD/{node}", command, qos=0)
        still_wanted()
        log.info("source.rebirth_asked", source=self._config.name, node=node)


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
