"""Keeps a source connected to its broker: dials, subscribes, and dials again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.broker import BrokerConfig, load, settings, still_wanted

if TYPE_CHECKING:
    from edge_runtime.sources.mqtt_wire import Deliver, Wire

log = structlog.get_logger(__name__)

FILTERS_A_REQUEST = 100  # so that no subscription is a packet longer than brokers take


class Dialler:
    """One broker, again and again."""

    def __init__(self, config: BrokerConfig, name: str, **session: Any) -> None:
        """Know where.

        Args:
            config: the broker.
            name: the source's, for logs.
            session: as `broker.settings` takes it.
        """
        self._config = config
        self._name = name
        self._session = session
        self._told = ""

    async def listen(
        self,
        filters: Sequence[str],
        deliver: "Deliver",
        passed_over: Callable[[bytes, int], None],
        stay: Callable[["Wire"], Awaitable[None]],
    ) -> None:
        """One connection, from its beginning to its end; what ended it is logged.

        Args:
            filters: what is subscribed to, with QoS 1.
            deliver: takes the messages.
            passed_over: takes topic and bytes of what was too long.
            stay: what is done while it lasts; it raises MqttError when it ends.

        Raises:
            ConfigurationError: a file that is named cannot be read, or the library is missing.
        """
        load()
        import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

        from edge_runtime.sources.mqtt_wire import Wire  # noqa: PLC0415 - likewise

        try:
            async with Wire(
                self._config.host,
                self._config.port,
                deliver=deliver,
                passed_over=passed_over,
                **settings(self._config, **self._session),
            ) as wire:
                still_wanted()
                await self._subscribe(wire, filters)
                self._told = ""
                log.info("source.connected", source=self._name, topics=len(filters))
                await stay(wire)
        except aiomqtt.MqttError as error:
            still_wanted()
            if self._told != str(error):
                self._told = str(error)
                log.warning("source.lost", source=self._name, reason=self._told)

    async def _subscribe(self, wire: "Wire", filters: Sequence[str]) -> None:
        for at in range(0, len(filters), FILTERS_A_REQUEST):
            some = filters[at : at + FILTERS_A_REQUEST]
            answers: Sequence[Any] = await wire.subscribe([(each, 1) for each in some])
            still_wanted()
            for each, answer in zip(some, answers, strict=False):
                # From 128 on a code is a refusal, in 3.1.1 and in 5.
                code = answer if isinstance(answer, int) else answer.value
                if code >= 0x80:
                    raise ConfigurationError(
                        f"topic {each!r}: expected to be allowed to read it, the broker refuses"
                    )

    async def pause(self) -> None:
        """Wait until it is time to dial again."""
        await asyncio.sleep(self._config.retry_s)
