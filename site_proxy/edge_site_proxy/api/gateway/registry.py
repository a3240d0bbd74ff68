"""`/v2/`: OCI distribution-spec 1.1, pull and referrers only, over what has been verified."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import msgspec

from edge_core.contracts.artefact import INDEX_TYPE, Descriptor, is_digest
from edge_site_proxy.api.gateway.ports import BlobFile, Shelf
from edge_site_proxy.api.gateway.ranges import Span, parse_range
from edge_site_proxy.api.gateway.wire import JSON, Answer, Request, Send, respond

_WORD: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_WORD}(?:/{_WORD})*\Z")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_PATH: Final = re.compile(
    r"(?P<name>.+)/(?P<kind>manifests|blobs|referrers|tags)/(?P<ref>[^/]+)\Z"
)
_NAME_LENGTH_MAX: Final = 255
_CHUNK: Final = 256 * 1024
_TAGS_MAX: Final = 1000  # one page, whatever was asked for

Found = Answer | tuple[BlobFile, Span | None]


class RegistryError(Exception):
    """An answer of the distribution-spec's own shape; never leaves this module."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def answer(self) -> Answer:
        """As every registry client expects it."""
        body = {"errors": [{"code": self.code, "message": str(self), "detail": None}]}
        allow = ((b"allow", b"GET, HEAD"),) if self.status == 405 else ()
        return Answer(self.status, msgspec.json.encode(body), headers=allow)


_UNMETERED: Final = RegistryError(
    429, "TOOMANYREQUESTS", "downloads are metered here: ask /gateway/v1/pull for these bytes"
)


class RegistryCalls:
    """Answers `/v2/`; the path is what follows it."""

    def __init__(self, shelf: Shelf, may_send: Callable[[str, int], bool]) -> None:
        self._shelf = shelf
        self._may_send = may_send

    async def answer(self, request: Request, serial: str, send: Send) -> None:
        """Answer one request of *serial*, streaming a blob."""
        head_only = request.method == "HEAD"
        try:
            found = self._look(request)
        except RegistryError as error:
            found = error.answer()
        if isinstance(found, Answer):
            await respond(send, found, head_only=head_only)
            return
        blob, span = found
        size = blob.size if span is None else span.length
        if not head_only and not self._may_send(serial, size):
            await respond(send, _UNMETERED.answer())
            return
        await _send_blob(send, blob, span, head_only=head_only)

    def _look(self, request: Request) -> Found:
        if request.method not in {"GET", "HEAD"}:
            raise RegistryError(405, "UNSUPPORTED", "this registry is read-only")
        path = request.path.removeprefix("/v2").strip("/")
        if not path:
            version = (b"docker-distribution-api-version", b"registry/2.0")
            return Answer(200, b"{}", headers=(version,))
        name, kind, reference = _parts(path)
        match kind:
            case "manifests":
                return self._manifest(name, reference)
            case "tags":
                return self._tags(name, request)
            case "blobs":
                return self._blob(name, _digest(reference), request)
            case _:
                return self._referrers(name, _digest(reference), request)

    def _manifest(self, name: str, reference: str) -> Answer:
        if not (is_digest(reference) or _TAG.match(reference)):
            raise RegistryError(404, "MANIFEST_UNKNOWN", "neither a tag nor a digest")
        manifest = self._shelf.manifest(name, reference)
        if manifest is None:
            raise RegistryError(404, "MANIFEST_UNKNOWN", "manifest unknown")
        digest = manifest.digest.encode()
        headers = ((b"docker-content-digest", digest), (b"etag", b'"' + digest + b'"'))
        return Answer(200, manifest.raw, manifest.media_type.encode(), headers)

    def _blob(self, name: str, digest: str, request: Request) -> Found:
        blob = self._shelf.blob(name, digest)
        if blob is None:
            raise RegistryError(404, "BLOB_UNKNOWN", "blob unknown")
        header = request.header("range")
        if header is None:
            return blob, None
        span = parse_range(header, blob.size)
        if span == "unsatisfiable":
            size = f"bytes */{blob.size}".encode()
            return Answer(416, b"", headers=((b"content-range", size),))
        return blob, span

    def _tags(self, name: str, request: Request) -> Answer:
        if not request.path.endswith("/tags/list"):
            raise RegistryError(404, "NAME_UNKNOWN", "no such resource")
        known = self._shelf.tags(name)
        if known is None:
            raise RegistryError(404, "NAME_UNKNOWN", "repository unknown")
        last, count = _first(request, "last"), _first(request, "n")
        if count is not None and not (count.isascii() and count.isdigit() and len(count) < 10):
            raise RegistryError(400, "UNSUPPORTED", "n: expected a number")
        # Sorted by code point, as `last` compares.
        tags = sorted(tag for tag in known if last is None or tag > last)
        most = _TAGS_MAX if count is None else min(int(count), _TAGS_MAX)
        page = tags[:most]
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if page and len(page) < len(tags):
            link = f'</v2/{name}/tags/list?n={most}&last={page[-1]}>; rel="next"'
            headers = ((b"link", link.encode()),)
        return Answer(200, msgspec.json.encode({"name": name, "tags": page}), JSON, headers)

    def _referrers(self, name: str, digest: str, request: Request) -> Answer:
        wanted = _first(request, "artifactType")
        entries = [
            entry
            for entry in self._shelf.referrers(name, digest)
            if wanted is None or entry.artifact_type == wanted
        ]
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if wanted is not None:
            headers = ((b"oci-filters-applied", b"artifactType"),)
        return Answer(200, _index(entries), INDEX_TYPE.encode(), headers)


def _parts(path: str) -> tuple[str, str, str]:
    match = _PATH.match(path)
    if match is None:
        raise RegistryError(404, "NAME_UNKNOWN", "no such resource")
    if _NAME.match(match["name"]) is None or len(match["name"]) > _NAME_LENGTH_MAX:
        raise RegistryError(400, "NAME_INVALID", "invalid repository name")
    return match["name"], match["kind"], match["ref"]


def _digest(reference: str) -> str:
    if not is_digest(reference):
        raise RegistryError(400, "DIGEST_INVALID", "expected sha256: and 64 hex digits")
    return reference


def _index(entries: list[Descriptor]) -> bytes:
    # Index omits its defaults, and these two are what every reader looks for first.
    fields = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return msgspec.json.encode(fields)


async def _send_blob(send: Send, blob: BlobFile, span: Span | None, *, head_only: bool) -> None:
    digest = blob.digest.encode()
    first, length = (0, blob.size) if span is None else (span.first, span.length)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(length).encode()),
        (b"docker-content-digest", digest),
        (b"accept-ranges", b"bytes"),
        (b"etag", b'"' + digest + b'"'),
    ]
    if span is not None:
        where = f"bytes {first}-{first + length - 1}/{blob.size}"
        headers.append((b"content-range", where.encode()))
    status = 200 if span is None else 206
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if not head_only:
        await _send_part(send, blob.path, first, length)
    await send({"type": "http.response.body", "body": b""})


async def _send_part(send: Send, path: Path, first: int, length: int) -> None:
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        file.seek(first)
        while length > 0:
            chunk = await asyncio.to_thread(file.read, min(_CHUNK, length))
            if not chunk:
                # The file is shorter than promised: break off rather than pad.
                raise OSError(f"{path}: ended {length} bytes early")
            length -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


def _first(request: Request, name: str) -> str | None:
    values = parse_qs(request.query.decode("latin-1"), keep_blank_values=True).get(name)
    return values[0] if values else None
