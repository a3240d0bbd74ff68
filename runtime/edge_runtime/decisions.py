"""Listens to an MQTT topic that carries the operator's decision: the name of a class."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from msgspec import Struct

from edge_core.contracts.artefact import Label
from edge_runtime.attempt import attempt
from edge_runtime.broker import dial, load, still_wanted
from edge_runtime.errors import PayloadError
from edge_runtime.line_config import TopicConfig

if TYPE_CHECKING:
    import aiomqtt

log = structlog.get_logger(__name__)

PAYLOAD_BYTES_MAX: Final = 4096
SAID_CHARS_MAX: Final = 40


class Said(Struct, frozen=True, kw_only=True):
    """A decision as JSON; what else an HMI puts beside it is its own affair."""

    label: Label


_LABEL = msgspec.json.Decoder(Label)


def decision(payload: object) -> str:
    """The class that *payload* names: `{"label": "leak"}`, `"leak"` or plainly `leak`.

    Raises:
        PayloadError: none of these.
    """
    if not isinstance(payload, bytes) or len(payload) > PAYLOAD_BYTES_MAX:
        raise PayloadError(f"decision: expected at most {PAYLOAD_BYTES_MAX} bytes, found more")
    try:
        text = payload.decode().strip()
        if text.startswith("{"):
            return msgspec.json.decode(text, type=Said).label
        return _LABEL.decode(text if text.startswith('"') else msgspec.json.encode(text))
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        shown = ascii(payload[:SAID_CHARS_MAX])
        raise PayloadError(f"decision: expected a class, found {shown}: {error}") from None


class DecisionTopic:
    """One topic of one broker.

    Attributes:
        refused: messages that named no class.
    """

    def __init__(self, config: TopicConfig, decided: Callable[[str], None]) -> None:
        self._config = config
        self._decided = decided
        self._told = ""
        self.refused = 0

    async def run(self) -> None:
        """Listen for ever; a broker that goes away is dialled again.

        Raises:
            ConfigurationError: a file that is named cannot be read.
        """
        load()
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
            await client.subscribe(self._config.topic, qos=1)
            still_wanted()
            self._told = ""
            async for message in client.messages:
                still_wanted()
                self._take(message)

    def _take(self, message: "aiomqtt.Message") -> None:
        if message.retain:
            return  # said before we came, of a verdict that we do not know
        try:
            self._decided(decision(message.payload))
        except PayloadError as error:
            self.refused += 1
            log.warning("decision.refused", reason=str(error))

    def _tell(self, errors: BaseException) -> None:
        """Say once why the broker cannot be heard."""
        lost = errors
        while isinstance(lost, BaseExceptionGroup):
            lost = lost.exceptions[0]
        if str(lost) != self._told:
            self._told = str(lost)
            log.warning("decisions.unheard", host=self._config.host, reason=self._told)
