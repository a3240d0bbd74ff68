"""Samples from an OPC UA server, by subscription, with a liveness of our own.

A connection may look well while no data arrives. So what counts is the arrival of publish
responses, keep-alives among them: after `silence_s` without one, or when the socket goes, the
client is thrown away and made anew. The outage is marked as a gap in every tag.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_runtime.config import TagConfig
from edge_runtime.errors import SourceLostError
from edge_runtime.sources.opcua_client import (
    CONNECT_S,
    library,
    make_client,
    secure,
    throw_away,
)
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_values import FirstValues, sample_of
from edge_runtime.sources.sample import Ingest, TagSample, by_role

log = structlog.get_logger(__name__)

KEEP_ALIVES_A_SILENCE: Final = 3  # so that one late keep-alive is no alarm
LIFETIME_A_KEEP_ALIVE: Final = 10  # the server forgets us after so many
NOTIFICATIONS_MAX: Final = 10_000  # in one publish response


@dataclass(slots=True)
class _Life:
    """One connection: when it last gave a sign, whether it ever stood, and what it has shown."""

    heard_s: float
    up: bool = False
    first: FirstValues = field(default_factory=FirstValues)
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class OpcUaSource:
    """One server and the tags that come from it.

    Attributes:
        reconnects: connections that ended.
        overflows: values that the server says it had to drop.
    """

    def __init__(
        self,
        config: OpcUaConfig,
        tags: Sequence[TagConfig],
        ingest: Ingest,
        *,
        monotonic: Callable[[], float],
        unix_ns: Callable[[], int],
    ) -> None:
        self._config = config
        self._tags = [tag for tag in tags if tag.source == config.name]
        self._ingest = by_role(ingest, (tag.role for tag in tags))
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        self.reconnects = 0
        self.overflows = 0
        # At INFO this library writes out every value, at ERROR a traceback for every lost link.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)

    async def run(self) -> None:
        """Read for ever.

        Raises:
            ConfigurationError: the server lacks a namespace or a certificate cannot be used.
        """
        told = ""
        while True:
            life = _Life(self._monotonic())
            try:
                await self._live(life)
            except SourceLostError as error:
                # A server that is away for a week is one line, not one a second.
                if life.up or told != str(error):
                    told = str(error)
                    log.warning("source.lost", source=self._config.name, reason=told)
            self.reconnects += 1
            await asyncio.sleep(self._config.retry_s)

    async def _live(self, life: _Life) -> None:
        """One connection from its beginning to its end.

        Raises:
            SourceLostError: it ended, and why.
        """
        # It takes two seconds to load, and models do not wait for it.
        ua = await asyncio.to_thread(library)
        client = make_client(self._config, ua)
        try:
            await self._listen(client, ua, life)
        except SourceLostError:
            # Before the goodbye, which may take a second: windows are cut meanwhile.
            self._ingest(life.first.gaps([tag.role for tag in self._tags], life.heard_s))
            raise
        finally:
            await throw_away(client)

    async def _listen(self, client: Any, ua: Any, life: _Life) -> None:  # Any: no types
        async def gone(_: Exception) -> None:
            life.lost.set()

        client.connection_lost_callback = gone
        try:
            async with asyncio.timeout(CONNECT_S):
                await secure(client, self._config, ua)
                await client.connect()
                await self._subscribe(client, ua, life)
            # Loading and connecting may have taken longer than a server may keep silent.
            life.heard_s, life.up = self._monotonic(), True
            log.info("source.connected", source=self._config.name, tags=len(self._tags))
            await self._watch(life)
        except (OSError, TimeoutError, ua.ua.UaError) as error:
            late = f"expected a subscription within {CONNECT_S:g} s, found none"
            words = str(error) or (late if isinstance(error, TimeoutError) else repr(error))
            raise SourceLostError(f"{self._config.url}: {words}") from error

    async def _watch(self, life: _Life) -> None:
        """Return never; raise when there has been no sign of life for too long.

        Raises:
            SourceLostError: silence, or the socket went.
        """
        silence_s = self._config.silence_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(silence_s / 4):
                    await life.lost.wait()
            quiet_s = self._monotonic() - life.heard_s
            if life.lost.is_set():
                raise SourceLostError(f"{self._config.url}: the connection was closed")
            if quiet_s > silence_s:
                raise SourceLostError(
                    f"{self._config.url}: expected a publish response every {silence_s:g} s, "
                    f"found none for {quiet_s:.1f} s"
                )

    async def _subscribe(self, client: Any, ua: Any, life: _Life) -> None:  # Any: see above
        namespaces = await client.get_namespace_array()
        # Handle n is tag n: a publish response then needs no look-up beyond a list.
        nodes = [self._node(tag, namespaces, ua) for tag in self._tags]
        feed = _feed_class(ua)(client.uaclient.session, self._parameters(ua))
        feed.heard = lambda items: self._heard(items, life)
        await feed.init()
        requests = [self._item(handle, node, ua) for handle, node in enumerate(nodes)]
        found = await feed.create_monitored_items(requests)
        for tag, answer in zip(self._tags, found, strict=True):
            if isinstance(answer, ua.ua.StatusCode):
                log.error(
                    "tag.refused", source=self._config.name, role=tag.role, status=answer.name
                )

    def _heard(self, items: Sequence[Any], life: _Life) -> None:  # Any: see above
        """One publish response has come, perhaps without a value."""
        life.heard_s = self._monotonic()
        samples: list[TagSample] = []
        for item in items:
            sample, overflow = sample_of(
                self._tags[item.ClientHandle].role, item.Value, self._unix_ns
            )
            self.overflows += overflow
            if overflow:
                samples.append(
                    sample._replace(quality=CellQuality.GAP, source_ns=sample.source_ns - 1)
                )
            samples.append(sample)
        if samples:
            self._ingest(life.first.stamped(samples, life.heard_s))

    def _node(self, tag: TagConfig, namespaces: list[str], ua: Any) -> Any:  # Any: see above
        """The node id of a tag; `nsu=URI;...` is looked up on the server."""
        address = tag.address
        try:
            if address.startswith("nsu="):
                uri, _, rest = address.removeprefix("nsu=").partition(";")
                address = f"ns={namespaces.index(uri)};{rest}"
            return ua.ua.NodeId.from_string(address)
        except (ValueError, ua.ua.UaError):
            known = ", ".join(namespaces)
            raise ConfigurationError(
                f"tag {tag.role}: expected a node id such as nsu=URI;s=NAME in a namespace that "
                f"the server has ({known}), found {tag.address!r}"
            ) from None

    def _parameters(self, ua: Any) -> Any:  # Any: see above
        config = self._config
        parameters = ua.ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = config.publishing_s * 1000
        beats = config.silence_s / config.publishing_s / KEEP_ALIVES_A_SILENCE
        parameters.RequestedMaxKeepAliveCount = max(1, int(beats))
        parameters.RequestedLifetimeCount = (
            LIFETIME_A_KEEP_ALIVE * parameters.RequestedMaxKeepAliveCount
        )
        parameters.MaxNotificationsPerPublish = NOTIFICATIONS_MAX
        parameters.PublishingEnabled = True
        return parameters

    def _item(self, handle: int, node: Any, ua: Any) -> Any:  # Any: see above
        read = ua.ua.ReadValueId()
        read.NodeId = node
        read.AttributeId = ua.ua.AttributeIds.Value
        wanted = ua.ua.MonitoringParameters()
        wanted.ClientHandle = handle
        wanted.SamplingInterval = self._config.sampling_s * 1000
        wanted.QueueSize = self._config.queue
        wanted.DiscardOldest = True
        request = ua.ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = read
        request.MonitoringMode = ua.ua.MonitoringMode.Reporting
        request.RequestedParameters = wanted
        return request


def _feed_class(ua: Any) -> Any:  # Any: see above
    """A subscription that hands over whole publish responses: one call, not one task a value."""
    from asyncua.common.subscription import Subscription  # noqa: PLC0415 - see above

    class Feed(Subscription):
        heard: Callable[[Sequence[Any]], None]

        async def publish_callback(self, publish_result: Any) -> None:  # Any: see above
            notifications = publish_result.NotificationMessage.NotificationData or ()
            self.heard(
                [
                    item
                    for each in notifications
                    if isinstance(each, ua.ua.DataChangeNotification)
                    for item in each.MonitoredItems
                ]
            )

    return Feed
