"""Gets a certificate: the first for a one-time token, each next one on the word of the last."""

import asyncio
from pathlib import Path

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.config import ProxyConfig
from edge_runtime.identity import IdentityFolder, issued, signing_request
from edge_runtime.site import SiteClient, enrol

log = structlog.get_logger(__name__)

TOKEN_BYTES_MAX = 4096


async def enrol_once(
    config: ProxyConfig, identity: IdentityFolder, token_file: Path | None = None
) -> None:
    """Spend the one-time token on a first certificate.

    Raises:
        ConfigurationError: no token is named, or its file cannot be read.
        SiteUnreachableError: no answer.
        SiteRefusedError: token or request was refused.
        RefusedError: the answer is not a certificate for our key.
        TryAgainError: the disk takes no certificate; if it did not before, the token is unspent.
    """
    path = token_file or config.token
    if path is None:
        raise ConfigurationError(
            "enrolment: expected `proxy.token`, the file with this gateway's one-time token"
        )
    token = await asyncio.to_thread(_read_token, path)
    await asyncio.to_thread(identity.prepare)
    request = signing_request(identity.serial)
    answer = await enrol(config, identity.serial, token, request)
    certificate = issued(answer, request, identity.serial)
    await asyncio.to_thread(identity.write, identity.current, request, certificate)
    log.info("identity.enrolled", not_after=certificate.not_valid_after_utc.isoformat())


async def renew_once(client: SiteClient, identity: IdentityFolder) -> None:
    """Get the next certificate, and keep the old one until the new one has worked.

    Raises:
        SiteUnreachableError: no answer; the old one stays in use.
        SiteRefusedError: refused; likewise.
        RefusedError: the answer is not a certificate for our key; likewise.
        TryAgainError: the disk does not take the new one; likewise.
    """
    await asyncio.to_thread(identity.prepare)
    request = signing_request(identity.serial)
    certificate = issued(await client.renew(request), request, identity.serial)
    await asyncio.to_thread(identity.write, identity.next, request, certificate)
    client.use(identity.next)
    try:
        await client.desired()
    except BaseException:
        client.use(identity.current)
        raise
    await asyncio.to_thread(identity.promote)
    client.use(identity.current)
    log.info("identity.renewed", not_after=certificate.not_valid_after_utc.isoformat())


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(TOKEN_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(
            f"proxy.token {path}: expected a file: {error.strerror}"
        ) from None
    token = raw.decode("ascii", "replace").strip()
    if not 0 < len(token) <= TOKEN_BYTES_MAX:
        raise ConfigurationError(f"proxy.token {path}: expected one token, found none")
    return token
