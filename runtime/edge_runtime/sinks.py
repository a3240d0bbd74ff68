"""Publishes verdicts to an MQTT topic, newest first kept: a late verdict is worth less than none.

The last verdict is retained by the broker, so whoever subscribes knows at once what holds.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from edge_runtime.broker import dial
from edge_runtime.config import Config, SinkConfig
from edge_runtime.verdict import Verdict

if TYPE_CHECKING:
    import aiomqtt

log = structlog.get_logger(__name__)

WAITING_MAX: Final = 1024  # verdicts while the broker is away; older ones are dropped and counted


class Sink(Protocol):
    """Takes verdicts at once."""

    def put(self, verdict: Verdict) -> None:
        """Never blocks, never raises."""
        ...


class MqttSink:
    """The MQTT topic of one gateway."""

    def __init__(self, config: SinkConfig, topic: str) -> None:
        self._config = config
        self._topic = topic
        self._waiting: deque[Verdict] = deque(maxlen=WAITING_MAX)
        self._filled = asyncio.Event()
        self.published = 0
        self.dropped = 0

    def put(self, verdict: Verdict) -> None:
        """Publish *verdict* soon."""
        if len(self._waiting) == WAITING_MAX:
            self.dropped += 1
        self._waiting.append(verdict)
        self._filled.set()

    async def run(self) -> None:
        """Publish for ever; a broker that goes away is dialled again."""
        import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

        told = ""
        while True:
            try:
                async with dial(self._config) as client:
                    log.info("sink.connected", topic=self._topic)
                    await self._publish(client)
            except aiomqtt.MqttError as error:
                if told != str(error):
                    told = str(error)
                    log.warning("sink.lost", topic=self._topic, reason=told)
            await asyncio.sleep(self._config.retry_s)

    async def _publish(self, client: "aiomqtt.Client") -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                body = msgspec.json.encode(self._waiting[0])
                await client.publish(self._topic, body, qos=1, retain=True)
                self._waiting.popleft()
                self.published += 1


def topic(config: Config) -> str:
    """Where this gateway's verdicts go."""
    named = None if config.sink is None else config.sink.topic
    return named or f"edge/{config.site}/{config.serial}/verdict"
