"""Dials an MQTT broker, as the sink and two kinds of source do."""

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.config import MqttConfig, SinkConfig, SparkplugConfig
from edge_runtime.errors import ExtraMissingError, PayloadError

if TYPE_CHECKING:
    import aiomqtt

KEEPALIVE_S: Final = 10  # a broker that is deaf for twice as long is lost, and the values with it


def dial(config: SinkConfig | MqttConfig | SparkplugConfig) -> "aiomqtt.Client":
    """A client that connects when it is entered as a context.

    Raises:
        ConfigurationError: a file that is named cannot be read.
        ExtraMissingError: aiomqtt is not installed.
    """
    try:
        import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it
    except ImportError:
        raise ExtraMissingError(
            "MQTT: expected the library aiomqtt, found none; install edge-mlops[gateway]"
        ) from None
    return aiomqtt.Client(
        config.host,
        config.port,
        username=config.user,
        password=None if config.password is None else _secret(config.password),
        keepalive=KEEPALIVE_S,
        tls_context=None if config.ca is None else _trusting(config.ca),
    )


def still_wanted() -> None:
    """Call after each wait for the broker.

    On Python 3.11 `asyncio.wait_for`, with which aiomqtt waits, gives a result that is ready and
    forgets the cancellation that came with it; whoever waits for our end would wait for ever.

    Raises:
        asyncio.CancelledError: somebody has cancelled this task.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def payload_bytes(payload: object, bytes_max: int) -> bytes:
    """The payload of a message.

    Raises:
        PayloadError: it is longer than *bytes_max*, or no bytes at all.
    """
    if not isinstance(payload, bytes | bytearray):
        raise PayloadError(f"message: expected bytes, found {type(payload).__name__}")
    if len(payload) > bytes_max:
        raise PayloadError(f"message: expected at most {bytes_max} bytes, found {len(payload)}")
    return bytes(payload)


def _trusting(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        words = error.strerror or str(error)
        raise ConfigurationError(f"{path}: expected PEM certificates of a CA: {words}") from None


def _secret(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a password file: {error.strerror}") from None
