"""One repository of an OCI registry over HTTP, read-only, every byte checked.

Protocol: OCI distribution-spec 1.1, with the referrers tag schema where the referrers API is
missing. A blob that broke off goes on where it was.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Final

import aiohttp
from msgspec import Struct
from yarl import URL

from edge_core.contracts.artefact import (
    INDEX_TYPE,
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPE,
    Descriptor,
    Digest,
    is_digest,
)
from edge_core.contracts.errors import (
    NotFoundError,
    NotPermittedError,
    RefusedError,
    UnreachableError,
)
from edge_core.oci.documents import Fetched, fetched
from edge_core.oci.names import (
    check_digest,
    check_reference,
    check_repository,
    fallback_tag,
    is_fallback_tag,
    is_tag,
)
from edge_core.oci.part import Part, is_complete, lock_part
from edge_core.oci.source import Meter
from edge_core.oci.stream import pour, read_small, refuse_other_size, resumes_at
from edge_core.trust.strict_json import decode, shown

CONNECT_S: Final = 10.0  # a filtered WAN drops packets rather than refusing them
STALL_S: Final = 30.0  # no byte for so long: the connection is dead, the caller decides what next
PAGES_MAX: Final = 64  # of tags or referrers; far above any release, far below for ever
REDIRECTS_MAX: Final = 3  # registry to storage, storage to a region, and one spare
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ACCEPT: Final = f"{INDEX_TYPE}, {MANIFEST_TYPE}"


class _Tags(Struct, frozen=True, kw_only=True):
    tags: list[str] | None = None


class Registry:
    """A `Source` behind HTTP.

    Args:
        session: the caller's; it owns connections and proxy settings.
        base_url: scheme, host and port, with a path prefix if the registry has one.
        repository: for example `plant/pump-state`.
        ssl: trust and client certificate for https; None takes the session's.
        authorization: gives the header's value, asked at every request so that it may change.
        meter: is asked before the bytes of a blob are fetched; None takes them all at once.

    Raises:
        RefusedError: *base_url* or *repository* makes no sense.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        repository: str,
        *,
        ssl: SSLContext | None = None,
        authorization: Callable[[], str] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter
        self._session = session
        self._base = _base(base_url)
        self._repository = check_repository(repository)
        self._ssl: SSLContext | bool = True if ssl is None else ssl
        self._authorization = authorization

    async def manifest(self, reference: str) -> Fetched:
        """See `Source.manifest`."""
        url = self._url("manifests", check_reference(reference))
        async with self._get(url, {"Accept": _ACCEPT}) as response:
            raw = await read_small(response, bytes_max=MANIFEST_BYTES_MAX)
            claimed = response.headers.get("Docker-Content-Digest")
            content_type = response.content_type
        expected = reference if is_digest(reference) else None
        if expected is None and claimed is not None and is_digest(claimed):
            expected = claimed
        found = fetched(raw, expected=expected)
        if found.media_type != content_type:
            raise RefusedError(
                f"manifest {reference}: expected content type {found.media_type}, "
                f"found {shown(content_type)}"
            )
        return found

    async def blob(self, descriptor: Descriptor, into: Path) -> None:
        """See `Source.blob`."""
        if await asyncio.to_thread(is_complete, descriptor, into):
            return
        part = await _locked(descriptor, into)
        try:
            resumed = part.size > 0
            await self._fill(part)
            if resumed and part.rotten:
                # What lay on our disk may be what is wrong: only a fresh copy tells.
                await asyncio.to_thread(part.restart)
                await self._fill(part)
            await asyncio.to_thread(part.finish)
        finally:
            part.close()

    async def referrers(
        self, subject: Digest, artifact_type: str | None = None
    ) -> list[Descriptor]:
        """See `Source.referrers`."""
        url = self._url("referrers", check_digest(subject))
        if artifact_type is not None:
            url = url.with_query(artifactType=artifact_type)
        try:
            pages = [page async for page in self._pages(url, MANIFEST_BYTES_MAX)]
        except NotFoundError:
            pages = await self._tag_schema(subject)
        entries = [entry for raw in pages for entry in fetched(raw).index().manifests]
        found = {entry.digest: entry for entry in entries}
        # A registry may ignore the filter, and says so at best in a header.
        return [each for each in found.values() if artifact_type in {None, each.artifact_type}]

    async def tags(self) -> list[str]:
        """See `Source.tags`."""
        url = self._url("tags", "list")
        names: set[str] = set()
        async for raw in self._pages(url, MANIFEST_BYTES_MAX):
            names |= set(decode(raw, _Tags, what="tags").tags or [])
        return sorted(name for name in names if is_tag(name) and not is_fallback_tag(name))

    async def _tag_schema(self, subject: Digest) -> list[bytes]:
        try:
            return [(await self.manifest(fallback_tag(subject))).raw]
        except NotFoundError:
            return []

    async def _fill(self, part: Part) -> None:
        """Fetch what is missing of *part*, in as many pieces as the meter makes of it."""
        # A range from the very end is answered in broken ways, so what is whole is not asked for.
        while missing := part.descriptor.size - part.size:
            piece = missing if self._meter is None else await self._meter.allow(missing)
            before = part.size
            await self._fetch(part, piece)
            if part.size < before + piece:
                return  # it broke off; the caller finds that out

    async def _fetch(self, part: Part, piece: int) -> None:
        """Fetch the next *piece* bytes of *part*."""
        wanted, begin = part.descriptor, part.size
        end = begin + piece
        last = "" if end == wanted.size else str(end - 1)
        headers = {"Range": f"bytes={begin}-{last}"} if begin or last else {}
        url = self._url("blobs", check_digest(wanted.digest))
        async with self._get(url, headers, also=frozenset({206, 416})) as response:
            if headers and not resumes_at(response, begin, total=wanted.size):
                await asyncio.to_thread(part.restart)
                if response.status != 200:
                    raise UnreachableError(f"{url.path}: the range was not served; start again")
                end = wanted.size
            refuse_other_size(response, wanted, missing=end - part.size)
            await pour(response, part, self._meter)

    async def _pages(self, url: URL, bytes_max: int) -> AsyncIterator[bytes]:
        for _ in range(PAGES_MAX):
            async with self._get(url, {"Accept": f"{INDEX_TYPE}, application/json"}) as response:
                yield await read_small(response, bytes_max=bytes_max)
                following = _next_page(response)
            if following is None:
                return
            if not self._at_home(following):
                raise RefusedError(f"{url.path}: expected the next page at {self._base.host}")
            url = following
        raise RefusedError(f"{url.path}: expected at most {PAGES_MAX} pages, found more")

    def _url(self, kind: str, reference: str) -> URL:
        return self._base.joinpath("v2", *self._repository.split("/"), kind, reference)

    @asynccontextmanager
    async def _get(
        self, url: URL, headers: dict[str, str], *, also: frozenset[int] = frozenset()
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a GET with status 200 or one of *also*, after redirects."""
        try:
            async with self._followed(url, headers) as response:
                if response.status != 200 and response.status not in also:
                    raise _error(response, url)
                yield response
        except aiohttp.ClientError as error:
            raise UnreachableError(
                f"{url}: {type(error).__name__}: {shown(str(error))}"
            ) from error

    @asynccontextmanager
    async def _followed(
        self, url: URL, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        for _ in range(REDIRECTS_MAX + 1):
            async with self._session.get(
                url,
                headers=self._headers(url, headers),
                allow_redirects=False,
                ssl=self._ssl,
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=STALL_S),
            ) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                url = _redirected(url, response)
        raise RefusedError(f"{url.host}: expected at most {REDIRECTS_MAX} redirects, found more")

    def _at_home(self, url: URL) -> bool:
        return (url.scheme, url.host, url.port) == (
            self._base.scheme,
            self._base.host,
            self._base.port,
        )

    def _headers(self, url: URL, headers: dict[str, str]) -> dict[str, str]:
        # Digests are over the bytes as they are kept, so nothing may be compressed on the way.
        plain = headers | {"Accept-Encoding": "identity"}
        if self._authorization is not None and self._at_home(url):
            plain["Authorization"] = self._authorization()
        return plain


def _base(text: str) -> URL:
    try:
        url = URL(text)
        url.origin()
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or url.user is not None:
        raise RefusedError(f"registry: expected http(s)://host[:port], found {shown(text)}")
    return url


def _next_page(response: aiohttp.ClientResponse) -> URL | None:
    try:
        following = response.links.get("next")
    except ValueError:
        raise RefusedError(f"{response.url.path}: expected a link to the next page") from None
    return URL(str(following["url"])) if following else None


def _redirected(url: URL, response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    try:
        target = url.join(URL(location))
    except ValueError:
        target = URL()
    if target.scheme != url.scheme:
        raise RefusedError(
            f"{url.path}: expected a redirect to {url.scheme}, found {shown(location)}"
        )
    return target


def _error(
    response: aiohttp.ClientResponse, url: URL
) -> NotFoundError | NotPermittedError | UnreachableError | RefusedError:
    status = response.status
    message = f"{url}: status {status}"
    if status == 404:
        return NotFoundError(message)
    if status in {401, 403}:
        return NotPermittedError(message)
    if status in {408, 429} or status >= 500:
        return UnreachableError(message)
    return RefusedError(message)


async def _locked(descriptor: Descriptor, into: Path) -> Part:
    """The part of *into*; who is cancelled meanwhile leaves no lock behind."""
    locking = asyncio.get_running_loop().run_in_executor(None, lock_part, descriptor, into)
    try:
        return await asyncio.shield(locking)
    except asyncio.CancelledError:
        # The thread goes on, and nobody else will know what it opens.
        locking.add_done_callback(_unlock)
        raise


def _unlock(locking: "asyncio.Future[Part]") -> None:
    if not locking.cancelled() and locking.exception() is None:
        locking.result().close()
