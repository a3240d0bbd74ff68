"""Opens an OPC UA connection: quick to leave a deaf server, and clear about a strange one."""

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.config import OpcUaConfig
from edge_runtime.errors import ExtraMissingError, SourceLostError

CONNECT_S: Final = 10.0
GOODBYE_S: Final = 1.0  # a deaf server does not get longer to hear that we leave


def library() -> Any:  # Any: asyncua ships no types
    """The library, loaded when the first OPC UA source is: it takes two seconds and 90 MB.

    Raises:
        ExtraMissingError: asyncua is not installed.
    """
    try:
        import asyncua  # noqa: PLC0415 - see above
        import asyncua.crypto.security_policies  # noqa: PLC0415 - see above
    except ImportError:
        raise ExtraMissingError(
            "OPC UA: expected the library asyncua, found none; install edge-mlops[gateway]"
        ) from None
    return asyncua


def make_client(config: OpcUaConfig, ua: Any) -> Any:  # Any: see above
    """A client that has not dialled yet.

    A hello costs a server nothing, so one that does not answer it in `silence_s` is deaf. With the
    time for a whole connection a link that works again would stay unused for so long.
    """

    class Client(ua.Client):  # type: ignore[misc]  # asyncua ships no types
        async def connect_socket(self) -> None:
            await _within(config.silence_s, super().connect_socket())

        async def send_hello(self) -> None:
            await _within(config.silence_s, super().send_hello())

    client = Client(config.url, timeout=CONNECT_S)
    client.application_uri = config.application_uri
    return client


async def _within(limit_s: float, answer: Any) -> None:  # Any: see above
    try:
        async with asyncio.timeout(limit_s):
            await answer
    except TimeoutError:
        raise TimeoutError(f"expected an answer within {limit_s:g} s, found none") from None


async def secure(client: Any, config: OpcUaConfig, ua: Any) -> None:  # Any: see above
    """Make *client* sign and encrypt, if it shall.

    Raises:
        ConfigurationError: the files do not belong together.
        SourceLostError: the server says itself that its certificate is not the pinned one.
    """
    if config.security == "none":
        return
    try:
        await client.set_security(
            ua.crypto.security_policies.SecurityPolicyBasic256Sha256,
            certificate=str(config.certificate),
            private_key=str(config.key),
            server_certificate=str(config.server_certificate),
            mode=ua.ua.MessageSecurityMode.SignAndEncrypt,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"source {config.name}: expected certificate, key and server_certificate that "
            f"belong together: {error}"
        ) from error
    await _refuse_stranger(client.security_policy.peer_certificate, config, ua)


async def _refuse_stranger(pinned: bytes, config: OpcUaConfig, ua: Any) -> None:  # Any: see above
    """Compare with what the server shows to anybody.

    What is encrypted for somebody else a server may leave without an answer, so without this the
    reason would be no more than a time that ran out. It protects nothing: the channel does.
    """
    endpoints: list[Any] = []  # Any: see above
    with suppress(OSError, ua.ua.UaError):  # a server may keep silent; then the channel decides
        endpoints = await make_client(config, ua).connect_and_get_server_endpoints()
    shown = {each.ServerCertificate for each in endpoints if each.ServerCertificate}
    # A server may show its chain; its own certificate comes first (OPC 10000-6, 6.2.6).
    if shown and not any(each.startswith(pinned) for each in shown):
        found = ", ".join(sorted(sha256(each).hexdigest() for each in shown))
        raise SourceLostError(
            f"{config.url}: expected the server certificate {config.server_certificate} (SHA-256 "
            f"{sha256(pinned).hexdigest()}), found {found}; pin it if it is the right server"
        )


async def throw_away(client: Any) -> None:  # Any: see above
    """End the connection, politely if the other side still listens."""
    with suppress(Exception):  # the library raises whatever its broken link raises
        async with asyncio.timeout(GOODBYE_S):
            await client.disconnect()
    client.disconnect_socket()
