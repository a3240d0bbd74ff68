"""`/v1/{metrics,logs,traces}`: take an OTLP/HTTP protobuf batch as it is, durable before 200.

The body is never parsed and never changed (OTLP 1.10, section OTLP/HTTP). What is looked at is
what protects us: length, also after decompression, content coding, declared checksum, and whose
the batch claims to be.
"""

import re
from typing import Final

from edge_core.contracts.gateway import OTLP_BYTES_MAX
from edge_core.contracts.telemetry import (
    BATCH_CRC_HEADER,
    BATCH_ID_HEADER,
    BatchId,
    Signal,
    parse_batch_id,
)
from edge_site_proxy.api.gateway.calls import same_serial
from edge_site_proxy.api.gateway.ports import Peer, Received, Receiver
from edge_site_proxy.api.gateway.wire import Answer, Request, WrongRequestError, not_allowed
from edge_site_proxy.telemetry.errors import EncodingError, InflatedError

PROTOBUF: Final = b"application/x-protobuf"
# An empty Export*ServiceResponse encodes to no bytes at all.
_TAKEN: Final = Answer(200, b"", content_type=PROTOBUF)
_CRC = re.compile(r"[0-9a-f]{8}\Z")


class OtlpCalls:
    """Answers the three OTLP paths."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def take(self, signal: Signal, request: Request, peer: Peer) -> Answer:
        """One batch."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        _check_type(request)
        encoding = (request.header("content-encoding") or "identity").strip().lower()
        batch, crc32c = _declared(request, peer)
        body = await request.body(OTLP_BYTES_MAX)
        received = Received(signal, peer.serial, batch, crc32c, encoding, body)
        try:
            await self._receiver.take(received)
        except EncodingError as error:
            raise WrongRequestError(str(error), status=415) from None
        except InflatedError as error:
            raise WrongRequestError(str(error), status=413) from None
        return _TAKEN


def _check_type(request: Request) -> None:
    found = (request.header("content-type") or "none").partition(";")[0].strip().lower()
    if found.encode() != PROTOBUF:
        raise WrongRequestError(
            f"{request.path}: expected content-type {PROTOBUF.decode()}, found {found[:60]!r}",
            status=415,
        )


def _declared(request: Request, peer: Peer) -> tuple[BatchId | None, int | None]:
    """Batch id and checksum as declared; a stock SDK declares neither."""
    text, crc = request.header(BATCH_ID_HEADER), request.header(BATCH_CRC_HEADER)
    if text is None:
        return None, None if crc is None else _crc32c(crc)
    batch = parse_batch_id(text)
    if batch is None:
        raise WrongRequestError(
            f"{BATCH_ID_HEADER}: expected <serial>/<epoch>/<sequence>, found {text[:80]!r}"
        )
    same_serial(batch.serial, peer, where=BATCH_ID_HEADER)
    if crc is None:
        raise WrongRequestError(
            f"{BATCH_CRC_HEADER}: expected the CRC-32C of the body beside {BATCH_ID_HEADER}, "
            "found none"
        )
    return batch, _crc32c(crc)


def _crc32c(text: str) -> int:
    if _CRC.match(text) is None:
        raise WrongRequestError(
            f"{BATCH_CRC_HEADER}: expected eight lower-case hex digits, found {text[:20]!r}"
        )
    return int(text, 16)
