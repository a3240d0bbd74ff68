"""Publishes verdicts to an MQTT topic, newest first kept: a late verdict is worth less than none.

The last verdict is retained by the broker, so whoever subscribes knows at once what holds. What
the broker has not confirmed is published again, by the next process if need be, and is the same to
the byte then: at least once, and a repeat is recognisable.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from edge_runtime.attempt import attempt
from edge_runtime.broker import dial, still_wanted
from edge_runtime.sinks.settings import MqttSinkConfig
from edge_runtime.sinks.standing import Shown
from edge_runtime.unsaid import SLOTS, Unsaid
from edge_runtime.verdict import Verdict

if TYPE_CHECKING:
    import aiomqtt

log = structlog.get_logger(__name__)

WAITING_MAX: Final = SLOTS  # while the broker is away; older ones are dropped and counted


class MqttSink:
    """The MQTT topics of one gateway; the heartbeat is a counter that nobody retains."""

    name = "mqtt"

    def __init__(self, config: MqttSinkConfig, topic: str, unsaid: Unsaid) -> None:
        self._config = config
        self._topic = topic
        self._heartbeat_topic = config.heartbeat_topic or f"{topic.rpartition('/')[0]}/heartbeat"
        self._beat: int | None = None
        self._unsaid = unsaid
        self._waiting: deque[tuple[int, bytes]] = deque(unsaid.left)
        self._filled = asyncio.Event()
        self._told = ""
        self.published = 0
        self.dropped = 0

    def put(self, verdict: Verdict) -> None:
        """Publish *verdict* soon."""
        if len(self._waiting) == WAITING_MAX:
            self._unsaid.let_go(self._waiting.popleft()[0])
            self.dropped += 1
        body = msgspec.json.encode(verdict)
        self._waiting.append((self._unsaid.keep(body), body))
        self._filled.set()

    def show(self, shown: Shown) -> None:
        """A topic has verdicts, and each says what to act on."""

    def beat(self, count: int) -> None:
        """Publish the heartbeat soon; one that nobody took is worth nothing."""
        self._beat = count
        self._filled.set()

    async def run(self) -> None:
        """Publish for ever; a broker that goes away is dialled again."""
        import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

        while True:
            try:
                await attempt(self._connection())
            except* aiomqtt.MqttError as errors:
                self._tell(errors)
            await asyncio.sleep(self._config.retry_s)

    async def _connection(self) -> None:
        async with dial(self._config) as client:
            still_wanted()
            self._told = ""
            log.info("sink.connected", topic=self._topic)
            async with asyncio.TaskGroup() as group:
                group.create_task(_lost(client))
                group.create_task(self._publish(client))

    def _tell(self, lost: BaseException) -> None:
        """Say why, unless that is what was said last."""
        while isinstance(lost, BaseExceptionGroup):
            lost = lost.exceptions[0]
        if self._told != str(lost):
            self._told = str(lost)
            log.warning("sink.lost", topic=self._topic, reason=self._told)

    async def _publish(self, client: "aiomqtt.Client") -> None:
        while True:
            while self._waiting:
                still_wanted()
                slot, body = said = self._waiting[0]
                await client.publish(self._topic, body, qos=1, retain=True)
                if self._waiting and self._waiting[0] is said:  # else it made room meanwhile
                    self._waiting.popleft()
                    self._unsaid.let_go(slot)
                self.published += 1
            still_wanted()
            if self._beat is not None:
                count, self._beat = self._beat, None
                await client.publish(self._heartbeat_topic, str(count), qos=0)
                still_wanted()
            # Only now: what was left over when a broker went is not announced a second time.
            self._filled.clear()
            if not self._waiting and self._beat is None:
                await self._filled.wait()


async def _lost(client: "aiomqtt.Client") -> None:
    """End with an error when the broker goes; a publication alone would wait ten seconds."""
    async for _ in client.messages:  # nothing is subscribed to, so nothing comes
        pass


def topic(config: MqttSinkConfig | None, site: str, serial: str) -> str:
    """Where this gateway's verdicts go."""
    named = None if config is None else config.topic
    return named or f"edge/{site}/{serial}/verdict"


def still_to_say(unsaid: Unsaid) -> list[Verdict]:
    """The last process's verdicts that were not confirmed; what is none in this version is not."""
    found: list[Verdict] = []
    for _, body in unsaid.left:
        with suppress(msgspec.MsgspecError):
            found.append(msgspec.json.decode(body, type=Verdict))
    return found
