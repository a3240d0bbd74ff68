"""Dials an MQTT broker, as the sink and two kinds of source do."""

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.bounds import Port, Seconds, Text
from edge_runtime.errors import ExtraMissingError

if TYPE_CHECKING:
    import aiomqtt

KEEPALIVE_S: Final = 10  # a broker that is deaf for twice as long is lost, and the values with it
PACKET_BYTES_MAX: Final = 1024 * 1024  # of a message to us; more is kept back by an MQTT 5 broker
UNACKNOWLEDGED_MAX: Final = 1000  # messages that an MQTT 5 broker may send before we answer


class BrokerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an MQTT broker is and how we prove who we are."""

    host: Text
    port: Port = 1883
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    tls: bool = False  # TLS with the CAs that the system trusts, unless `ca` is given
    ca: Path | None = None  # PEM certificates of a CA, the only ones trusted; TLS when given
    certificate: Path | None = None  # ours, for a broker that asks for one; PEM
    key: Path | None = None  # of our certificate, PEM; mode 0600
    user: Text | None = None
    password: Path | None = None  # file; mode 0600
    retry_s: Seconds = 1.0

    def __post_init__(self) -> None:
        """Refuse half of what a client certificate needs.

        Raises:
            ValueError: half of certificate and key, or no TLS to show them in.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: expected both or none")
        if self.certificate is not None and not self.secured:
            raise ValueError(
                "certificate: expected `ca`, or `tls = true` for the system's CAs, since there is "
                "no TLS without"
            )

    @property
    def secured(self) -> bool:
        """Whether we speak TLS."""
        return self.tls or self.ca is not None


def dial(config: BrokerConfig) -> "aiomqtt.Client":
    """A client that connects when it is entered as a context.

    Raises:
        ConfigurationError: a file that is named cannot be read.
        ExtraMissingError: aiomqtt is not installed.
    """
    load()
    import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

    return aiomqtt.Client(config.host, config.port, **settings(config))


def load() -> None:
    """Load the library.

    Raises:
        ExtraMissingError: it is not installed.
    """
    try:
        import aiomqtt  # noqa: F401, PLC0415 - a gateway without MQTT never loads it
    except ImportError:
        raise ExtraMissingError(
            "MQTT: expected the library aiomqtt, found none; install edge-mlops[gateway]"
        ) from None


def settings(
    config: BrokerConfig, *, client_id: str | None = None, session_s: float = 0.0
) -> dict[str, Any]:  # Any: what aiomqtt's client takes
    """What aiomqtt is told beside host and port.

    Args:
        config: the broker.
        client_id: a name that stays the same over restarts; any if None.
        session_s: the broker keeps our messages for so long while we are away; needs *client_id*.

    Raises:
        ConfigurationError: a file that is named cannot be read.
    """
    import aiomqtt  # noqa: PLC0415 - as above
    from paho.mqtt.packettypes import PacketTypes  # noqa: PLC0415 - as above
    from paho.mqtt.properties import Properties  # noqa: PLC0415 - as above

    known: dict[str, Any] = {  # Any: as above
        "username": config.user,
        "password": None if config.password is None else _secret(config.password),
        "keepalive": KEEPALIVE_S,
        "tls_context": _context(config),
        "identifier": client_id,
    }
    if config.protocol == "3.1.1":
        return known | {"clean_session": session_s == 0}
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
    properties.SessionExpiryInterval = int(session_s)
    properties.ReceiveMaximum = UNACKNOWLEDGED_MAX
    properties.MaximumPacketSize = PACKET_BYTES_MAX
    return known | {
        "protocol": aiomqtt.ProtocolVersion.V5,
        "clean_start": session_s == 0,
        "properties": properties,
    }


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


def _context(config: BrokerConfig) -> ssl.SSLContext | None:
    if not config.secured:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca)
    except OSError as error:
        words = error.strerror or str(error)
        raise ConfigurationError(
            f"{config.ca}: expected PEM certificates of a CA: {words}"
        ) from None
    if config.certificate is None:
        return context
    try:
        # Without an answer of ours the library would ask for a pass phrase on the terminal.
        context.load_cert_chain(config.certificate, config.key, password=_no_pass_phrase)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"{config.certificate}: expected a PEM certificate, and its key without a pass phrase "
            f"in {config.key}: {words}"
        ) from None
    return context


def _no_pass_phrase() -> str:
    raise ValueError("the key has a pass phrase")


def _secret(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or "no text"
        raise ConfigurationError(f"{path}: expected a password file: {words}") from None
