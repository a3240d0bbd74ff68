"""A registry on loopback with switches for everything that goes wrong with one."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from edge_core.contracts.artefact import INDEX_TYPE, Descriptor, Index
from edge_core.oci import (
    Layout,
    decode_document,
    digest_of,
    encode_document,
    fallback_tag,
    fetched,
)

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass(slots=True)
class Faults:
    """What goes wrong; everything is off at first.

    Attributes:
        cut_after: a blob's answer breaks off after so many bytes of body.
        cuts: how many answers still break off.
        wrong_bytes: every blob has a flipped first byte.
        ignores_range: answers 200 with the whole.
        refuses_range: answers 416.
        lies_about_range: answers 206 from byte 0, whatever was asked.
        no_referrers: has no referrers API.
        status: answers everything with this status.
        redirect_to: sends whoever wants a blob there.
        content_type: of every manifest.
        size_off: so many bytes are appended to every blob.
        compresses: says that the body is compressed.
        stall_after: a blob's answer stops after so many bytes and never ends.
        link: the Link header of every list of tags.
        page: so many tags a page; None is all on one.
    """

    cut_after: int | None = None
    cuts: int = 1
    wrong_bytes: bool = False
    ignores_range: bool = False
    refuses_range: bool = False
    lies_about_range: bool = False
    no_referrers: bool = False
    status: int | None = None
    redirect_to: str | None = None
    content_type: str | None = None
    size_off: int = 0
    compresses: bool = False
    page: int | None = None
    stall_after: int | None = None
    link: str | None = None


@dataclass(slots=True)
class SimulatedRegistry:
    """One repository, whatever it is called, in memory.

    Attributes:
        faults: what goes wrong from now on.
        requests: method, path and Range of every request so far.
        stalled: is set when an answer stops for `stall_after`.
        authorizations: the Authorization header of every request, None where there was none.
    """

    faults: Faults = field(default_factory=Faults)
    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    referrers: dict[str, list[Descriptor]] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)

    def put_blob(self, content: bytes) -> str:
        """Keep *content*; its digest."""
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    def put_manifest(self, raw: bytes, *, tag: str | None = None) -> str:
        """Keep a manifest or index, and what it refers to; its digest."""
        digest = self.put_blob(raw)
        if tag is not None:
            self.tags[tag] = digest
        document = decode_document(raw)
        if document.subject is not None:
            listed = self.referrers.setdefault(document.subject.digest, [])
            listed.append(
                Descriptor(
                    media_type=document.media_type,
                    digest=digest,
                    size=len(raw),
                    artifact_type=document.artifact_type,
                )
            )
            index = self.put_blob(encode_document(Index(manifests=listed)))
            self.tags[fallback_tag(document.subject.digest)] = index
        return digest

    async def publish(self, layout: Layout, tag: str) -> None:
        """Take over what *layout* has at *tag*, with all blobs and referrers."""
        for digest in layout.blobs.digests():
            self.put_blob(layout.blobs.path(digest).read_bytes())
        release = await layout.manifest(tag)
        for referrer in await layout.referrers(release.digest):
            self.put_manifest(self.blobs[referrer.digest])
        self.put_manifest(release.raw, tag=tag)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The base URL, while it lasts."""
        app = web.Application()
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._blob)
        app.router.add_get("/v2/{name:.+}/referrers/{digest}", self._referrers)
        app.router.add_get("/v2/{name:.+}/tags/list", self._tags)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()

    def _note(self, request: web.Request) -> None:
        self.requests.append((request.method, request.path, request.headers.get("Range")))
        self.authorizations.append(request.headers.get("Authorization"))
        if self.faults.status is not None:
            raise _StatusError(self.faults.status)

    async def _manifest(self, request: web.Request) -> web.Response:
        self._note(request)
        reference = request.match_info["reference"]
        raw = self.blobs.get(self.tags.get(reference, reference))
        if raw is None:
            raise web.HTTPNotFound
        found = fetched(raw) if self.faults.content_type is None else None
        headers = {"Docker-Content-Digest": digest_of(raw)}
        kind = found.media_type if found is not None else self.faults.content_type
        return web.Response(body=raw, content_type=kind, headers=headers)

    async def _referrers(self, request: web.Request) -> web.Response:
        self._note(request)
        if self.faults.no_referrers:
            raise web.HTTPNotFound(text="404 page not found")
        listed = self.referrers.get(request.match_info["digest"], [])
        raw = encode_document(Index(manifests=listed))
        return web.Response(body=raw, content_type=INDEX_TYPE)

    async def _tags(self, request: web.Request) -> web.Response:
        self._note(request)
        names = sorted(self.tags, reverse=True)
        first = int(request.query.get("first", "0"))
        page = names[first:][: self.faults.page]
        headers = {}
        if first + len(page) < len(names):
            url = request.url.with_query(first=first + len(page))
            headers["Link"] = f'<{url}>; rel="next"'
        if self.faults.link is not None:
            headers["Link"] = self.faults.link
        return web.json_response({"name": "x", "tags": page}, headers=headers)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if self.faults.redirect_to is not None:
            raise web.HTTPTemporaryRedirect(self.faults.redirect_to)
        content = self.blobs.get(request.match_info["digest"])
        if content is None:
            raise web.HTTPNotFound
        content += b"+" * self.faults.size_off
        if self.faults.wrong_bytes and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        return await self._body(request, content)

    async def _body(self, request: web.Request, content: bytes) -> web.StreamResponse:
        wanted = _RANGE.match(request.headers.get("Range", ""))
        first, end, status, headers = 0, len(content), 200, {}
        if wanted is not None and not self.faults.ignores_range:
            first, status = int(wanted[1]), 206
            if self.faults.refuses_range or first >= len(content):
                raise web.HTTPRequestRangeNotSatisfiable
            if self.faults.lies_about_range:
                first = 0
            end = min(end, int(wanted[2]) + 1) if wanted[2] else end
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        if self.faults.compresses:
            headers["Content-Encoding"] = "gzip"
        body = content[first:end]
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if self.faults.cut_after is not None and self.faults.cuts > 0:
            self.faults.cuts -= 1
            await response.write(body[: self.faults.cut_after])
            if request.transport is not None:
                request.transport.close()  # what was written still goes out
            return response
        if self.faults.stall_after is not None:
            await response.write(body[: self.faults.stall_after])
            self.stalled.set()
            await asyncio.Event().wait()  # until the client hangs up
        await response.write(body)
        return response


class _StatusError(web.HTTPException):
    """Any status at all."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        super().__init__()
