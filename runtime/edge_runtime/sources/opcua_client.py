"""Opens an OPC UA connection: quick to leave a deaf server, and clear about a strange one."""

import asyncio
import struct
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import ExtraMissingError, SourceLostError
from edge_runtime.sources.opcua_config import OUTDATED, POLICIES, OpcUaConfig
from edge_runtime.sources.opcua_trust import TrustList, own_of

log = structlog.get_logger(__name__)

CONNECT_S: Final = 10.0
GOODBYE_S: Final = 1.0  # a deaf server does not get longer to hear that we leave
KEEP_ALIVES_A_SILENCE: Final = 2  # so that one late keep-alive is no alarm
SECRET_BYTES_MAX: Final = 4096
# The library reads answers as they come; nonsense ends in whatever Python raises then.
NONSENSE: Final = (
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


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

    A hello costs a server nothing, so one that does not answer it within a keep-alive is deaf.
    With the time for a whole connection a link that works again would stay unused for so long.
    """
    hello_s = config.silence_s / KEEP_ALIVES_A_SILENCE

    class Client(ua.Client):  # type: ignore[misc]  # asyncua ships no types
        async def connect_socket(self) -> None:
            await _within(hello_s, super().connect_socket())

        async def send_hello(self) -> None:
            await _within(hello_s, super().send_hello())

    client = Client(config.url, timeout=config.answer_s)
    client.application_uri = config.application_uri
    client.session_timeout = int(config.hold_s * 1000)
    return client


async def _within(limit_s: float, answer: Any) -> None:  # Any: see above
    try:
        async with asyncio.timeout(limit_s):
            await answer
    except TimeoutError:
        raise TimeoutError(f"expected an answer within {limit_s:g} s, found none") from None


async def secure(client: Any, config: OpcUaConfig, ua: Any) -> None:  # Any: see above
    """Make *client* sign and encrypt, and sign in, as the configuration says.

    Raises:
        ConfigurationError: the files do not belong together or cannot be read.
        SourceLostError: the server's certificate is not pinned and not trusted.
    """
    await _sign_in(client, config)
    if config.security == "none":
        return
    if config.security in OUTDATED:
        log.warning("source.security_outdated", source=config.name, security=config.security)
    server = await _server_certificate(config, ua)
    policies, mode = ua.crypto.security_policies, ua.ua.MessageSecurityMode
    encrypts = config.mode == "sign_and_encrypt"
    try:
        await client.set_security(
            getattr(policies, f"SecurityPolicy{POLICIES[config.security]}"),
            certificate=str(config.certificate),
            private_key=str(config.key),
            server_certificate=server,
            mode=mode.SignAndEncrypt if encrypts else mode.Sign,
        )
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"source {config.name}: expected certificate, key and server_certificate that "
            f"belong together: {error}"
        ) from error
    if config.server_certificate is not None:
        await _refuse_stranger(client.security_policy.peer_certificate, config, ua)


async def _sign_in(client: Any, config: OpcUaConfig) -> None:  # Any: see above
    """Give *client* the name and password, or the certificate, of the user that we are."""
    try:
        if config.user is not None and config.password is not None:
            client.set_user(config.user)
            raw = await asyncio.to_thread(config.password.read_bytes)
            client.set_password(raw[:SECRET_BYTES_MAX].decode().rstrip("\r\n"))
        if config.user_certificate is not None:
            await client.load_client_certificate(str(config.user_certificate))
            await client.load_private_key(str(config.user_key))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"source {config.name}: expected files to sign in with: {error}"
        ) from error


async def _server_certificate(config: OpcUaConfig, ua: Any) -> str | bytes:  # Any: see above
    """The pinned one, or the one that the server shows if it is trusted."""
    if config.server_certificate is not None:
        return str(config.server_certificate)
    assert config.trust is not None  # noqa: S101 - the configuration asks for one of the two
    wanted = getattr(ua.crypto.security_policies, f"SecurityPolicy{POLICIES[config.security]}").URI
    endpoints = await make_client(config, ua).connect_and_get_server_endpoints()
    shown = [
        each.ServerCertificate
        for each in endpoints
        if each.ServerCertificate and each.SecurityPolicyUri == wanted
    ]
    if not shown:
        offered = sorted({each.SecurityPolicyUri.rpartition("#")[2] for each in endpoints})
        raise SourceLostError(
            f"{config.url}: expected an endpoint with {POLICIES[config.security]}, the server "
            f"has {', '.join(offered) or 'none'}"
        )
    own = own_of(shown[0])
    host = urlsplit(config.url).hostname or ""
    await asyncio.to_thread(TrustList(config.trust).check, own, host, datetime.now(UTC))
    return own


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


async def open_session(config: OpcUaConfig, ua: Any) -> Any:  # Any: see above
    """A client with a session of its own and no task of the library's beside it.

    Raises:
        ConfigurationError: see `secure`.
        SourceLostError: likewise.
        OSError: the server cannot be reached, or the library's own error that it refuses.
    """
    client = make_client(config, ua)
    await secure(client, config, ua)
    await _open_channel(client)
    try:
        await client.create_session()
        await client._activate_with_credentials()  # noqa: SLF001 - pinned by a contract test
    except BaseException:
        client.disconnect_socket()
        raise
    return client


async def reopen_session(client: Any) -> None:  # Any: see above
    """Take up the session that *client* had, on a connection of its own (OPC 10000-4, 6.7).

    Raises:
        OSError: as `open_session`; the client can be tried again.
    """
    await _open_channel(client)
    try:
        client.uaclient.session.rebind_authentication_token()
        await client._activate_with_credentials()  # noqa: SLF001 - pinned by a contract test
    except BaseException:
        client.disconnect_socket()
        raise


async def _open_channel(client: Any) -> None:  # Any: see above
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
    except BaseException:
        client.disconnect_socket()
        raise


async def renew_channel(client: Any) -> None:  # Any: see above
    """Renew the channel's keys for ever, each at three quarters of its life (OPC 10000-4, 5.5.2).

    Raises:
        OSError: the connection is gone.
    """
    while True:
        await asyncio.sleep(client.secure_channel_timeout * 0.75 / 1000)
        await client.open_secure_channel(renew=True)
        client.uaclient.revolve_security_token()


async def throw_away(client: Any) -> None:  # Any: see above
    """End the connection, politely if the other side still listens."""
    with suppress(Exception):  # the library raises whatever its broken link raises
        async with asyncio.timeout(GOODBYE_S):
            await client.disconnect()
    client.disconnect_socket()
