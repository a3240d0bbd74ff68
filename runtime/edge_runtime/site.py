"""Speaks to the site proxy: the only module that opens a connection to it.

Everything is asked for by us. What does not answer is `SiteUnreachableError` and worth a retry;
what says no is `SiteRefusedError`, and the same request would be refused again.
"""

import base64
import binascii
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec

from edge_core.contracts.gateway import (
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    StatusReply,
    StatusReport,
)
from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import BATCH_CRC_HEADER, BATCH_ID_HEADER, BatchId, Signal
from edge_core.oci.registry import Registry
from edge_core.oci.source import Meter, Source
from edge_runtime.config import ProxyConfig
from edge_runtime.errors import SiteRefusedError, SiteUnreachableError
from edge_runtime.identity import IdentityFolder, SigningRequest, client_context

ANSWER_BYTES_MAX: Final = 1024 * 1024
KEEP_ALIVE_S: Final = 100.0  # below the proxy's 120 s, above the 30 s between heartbeats
CONNECTIONS_MAX: Final = 4  # heartbeat, telemetry, download, and one spare
_TRY_LATER: Final = frozenset({408, 425, 429})
_WELL_KNOWN: Final = "/.well-known/est"

T = TypeVar("T")


class SiteClient:
    """The site proxy as one gateway sees it; made by `connect`."""

    def __init__(
        self, session: aiohttp.ClientSession, config: ProxyConfig, tls: ssl.SSLContext
    ) -> None:
        self._session = session
        self._config = config
        self._tls = tls

    def use(self, pair: Path) -> None:
        """Show another certificate from the next connection on.

        Raises:
            ConfigurationError: the pair cannot be used.
        """
        self._tls = client_context(self._config.ca, pair)

    async def status(self, report: StatusReport) -> StatusReply:
        """The heartbeat."""
        raw = await self._send("POST", "/gateway/v1/status", msgspec.json.encode(report))
        return _decoded(raw, StatusReply, "heartbeat")

    async def desired(self) -> Desired:
        """What the site wants of us."""
        return _decoded(await self._send("GET", "/gateway/v1/desired"), Desired, "desired state")

    async def permit(self, request: PermitRequest) -> PermitReply:
        """May I activate?"""
        raw = await self._send("POST", "/gateway/v1/permit", msgspec.json.encode(request))
        return _decoded(raw, PermitReply, "permit")

    async def review(self, window: bytes) -> None:
        """Hand over one encoded `SuspectWindow`."""
        await self._send("POST", "/gateway/v1/review", window)

    async def telemetry(self, signal: Signal, batch: BatchId, crc32c: int, body: bytes) -> None:
        """Hand over one OTLP batch, gzip; a repeat is recognised by its id."""
        headers = {
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            BATCH_ID_HEADER: str(batch),
            BATCH_CRC_HEADER: f"{crc32c:08x}",
        }
        await self._send("POST", f"/v1/{signal.value}", body, headers)

    async def pull(self, request: PullRequest) -> PullReply:
        """May I download, and how much?"""
        raw = await self._send("POST", "/gateway/v1/pull", msgspec.json.encode(request))
        return _decoded(raw, PullReply, "pull")

    def source(self, repository: str, meter: Meter | None = None) -> Source:
        """The proxy's read-only registry; *meter*, if there is one, gives out its bytes."""
        return Registry(self._session, self._config.url, repository, ssl=self._tls, meter=meter)

    async def renew(self, request: SigningRequest) -> bytes:
        """A certificate for a new key, on the word of the one in use; PKCS#7 DER."""
        path = f"{_WELL_KNOWN}/simplereenroll"
        raw = await self._send("POST", path, base64.b64encode(request.der), _PKCS10)
        return _unwrapped(raw)

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        return await _exchange(
            self._session,
            method,
            f"{self._config.url.rstrip('/')}{path}",
            body,
            {"content-type": "application/json"} if headers is None else headers,
            self._tls,
        )


_PKCS10: Final = {"content-type": "application/pkcs10", "content-transfer-encoding": "base64"}


@asynccontextmanager
async def connect(config: ProxyConfig, identity: IdentityFolder) -> AsyncIterator[SiteClient]:
    """A client that shows the certificate in use.

    Raises:
        ConfigurationError: CA bundle or identity cannot be used.
    """
    tls = client_context(config.ca, identity.current)
    async with _session(config) as session:
        yield SiteClient(session, config, tls)


async def enrol(config: ProxyConfig, serial: Serial, token: str, request: SigningRequest) -> bytes:
    """A first certificate for a one-time token (RFC 7030, 4.2); PKCS#7 DER.

    Raises:
        SiteUnreachableError: no answer.
        SiteRefusedError: the token or the request was refused.
        ConfigurationError: the CA bundle cannot be used.
    """
    tls = client_context(config.ca, None)
    headers = {**_PKCS10, "authorization": aiohttp.encode_basic_auth(serial, token)}
    url = f"{config.enrol_url.rstrip('/')}{_WELL_KNOWN}/simpleenroll"
    async with _session(config) as session:
        body = base64.b64encode(request.der)
        return _unwrapped(await _exchange(session, "POST", url, body, headers, tls))


def _session(config: ProxyConfig) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=config.answer_s),
        auto_decompress=True,
    )


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: bytes | None,
    headers: dict[str, str],
    tls: ssl.SSLContext,
) -> bytes:
    """One request and its answer, at most `ANSWER_BYTES_MAX` long."""
    try:
        async with session.request(
            method, url, data=body, headers=headers, ssl=tls, allow_redirects=False
        ) as response:
            answer = await _read(response)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SiteUnreachableError(
            f"{url}: expected an answer, found {type(error).__name__}: {error}"
        ) from error
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    words = f"{url}: status {response.status}: {_words(answer)}"
    if response.status in _TRY_LATER or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SiteUnreachableError(words)
    raise SiteRefusedError(words, status=response.status)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(65_536):
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise SiteUnreachableError(
                f"{response.url}: expected at most {ANSWER_BYTES_MAX} bytes, found more"
            )
        parts.append(chunk)
    return b"".join(parts)


def _decoded(raw: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SiteRefusedError(f"{what}: expected {kind.__name__}: {error}") from error


def _unwrapped(raw: bytes) -> bytes:
    """DER out of the base64 that EST wraps it in."""
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error as error:
        raise SiteRefusedError(f"enrolment: expected base64, found none: {error}") from error


def _words(answer: bytes) -> str:
    """What a refusal says, short and inert."""
    try:
        found = msgspec.json.decode(answer, type=dict[str, object])
        text = str(found.get("message", ""))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = answer[:200].decode("ascii", "replace")
    return ascii(text[:300])[1:-1]
