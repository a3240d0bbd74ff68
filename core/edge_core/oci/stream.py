"""Reads the body of an HTTP answer: bounded if small, into a part if large."""

import asyncio
import re
from typing import Final

import aiohttp

from edge_core.contracts.artefact import Descriptor
from edge_core.contracts.errors import RefusedError
from edge_core.oci.digest import CHUNK_BYTES
from edge_core.oci.part import Part
from edge_core.oci.source import Meter
from edge_core.trust.strict_json import shown

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z")


async def read_small(response: aiohttp.ClientResponse, *, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        RefusedError: it has more than *bytes_max* bytes, or is compressed.
    """
    _refuse_encoding(response)
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > bytes_max:
            raise RefusedError(
                f"{response.url.path}: expected at most {bytes_max} bytes, found more"
            )
    return bytes(body)


async def pour(response: aiohttp.ClientResponse, part: Part, meter: Meter | None = None) -> None:
    """Append the body to *part*, no faster than *meter* lets; what came before a break is kept."""
    _refuse_encoding(response)
    buffer = bytearray()
    try:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            buffer += chunk
            if meter is not None:
                await meter.took(len(chunk))
            if len(buffer) >= CHUNK_BYTES:
                full, buffer = bytes(buffer), bytearray()
                await asyncio.to_thread(part.write, full)
    finally:
        if buffer:
            part.write(bytes(buffer))


def resumes_at(response: aiohttp.ClientResponse, offset: int, *, total: int) -> bool:
    """Whether the answer goes on at *offset* of a blob of *total* bytes."""
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if response.status != 206 or match is None:
        return False
    first, _, whole = match.groups()
    return int(first) == offset and whole in {"*", str(total)}


def refuse_other_size(
    response: aiohttp.ClientResponse, descriptor: Descriptor, *, missing: int
) -> None:
    """Refuse, before the first byte, a body that cannot be what is missing.

    Raises:
        RefusedError: the answer announces another size than *missing*, in bytes.
    """
    announced = response.content_length
    if announced is not None and announced != missing:
        raise RefusedError(
            f"blob {descriptor.digest}: expected {missing} more bytes, found {announced}"
        )


def _refuse_encoding(response: aiohttp.ClientResponse) -> None:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise RefusedError(f"{response.url.path}: expected plain bytes, found {shown(encoding)}")
