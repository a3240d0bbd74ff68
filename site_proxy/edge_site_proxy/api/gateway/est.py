"""EST (RFC 7030): a first certificate for a one-time token, the next one for the last.

`cacerts` and `simpleenroll` have a port of their own; everything else demands a certificate.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Callable
from typing import Final

import structlog

from edge_core.contracts.errors import EdgeError, NotPermittedError
from edge_site_proxy.api.gateway.ports import Enrolment, Identity, Peer
from edge_site_proxy.api.gateway.wire import (
    Answer,
    App,
    ClientLeftError,
    Message,
    Receive,
    Request,
    Send,
    WrongRequestError,
    not_allowed,
    problem,
    request_of,
    respond,
)

WELL_KNOWN: Final = "/.well-known/est/"
_REQUEST_BYTES_MAX: Final = 16 * 1024
_PKCS7: Final = b"application/pkcs7-mime; smime-type=certs-only"
_PKCS10: Final = "application/pkcs10"
_BASE64: Final = ((b"content-transfer-encoding", b"base64"),)
_log = structlog.get_logger(__name__)


async def renewal(identity: Identity, request: Request, peer: Peer, now: dt.datetime) -> Answer:
    """`simplereenroll`: the certificate in use asks for its successor."""
    if request.method != "POST":
        return not_allowed(request, "POST")
    return _certificates(await identity.renew(peer.serial, await _pkcs10(request), now=now))


def enrolment_app(enrolment: Enrolment, now: Callable[[], dt.datetime]) -> App:
    """The ASGI application of the enrolment port."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        request = request_of(scope, receive)
        try:
            answer = await _enrolment(enrolment, request, now())
        except ClientLeftError:
            return
        except EdgeError as error:
            _log.warning("enrolment.refused", path=request.path, reason=str(error))
            answer = _challenged(problem(error))
        await respond(send, answer, head_only=request.method == "HEAD")

    return app


async def _enrolment(enrolment: Enrolment, request: Request, now: dt.datetime) -> Answer:
    if request.path == f"{WELL_KNOWN}cacerts":
        if request.method not in {"GET", "HEAD"}:
            return not_allowed(request, "GET")
        return _certificates(enrolment.ca_certificates())
    if request.path == f"{WELL_KNOWN}simpleenroll":
        if request.method != "POST":
            return not_allowed(request, "POST")
        serial, token = _basic(request)
        body = await _pkcs10(request)
        return _certificates(await enrolment.enrol(serial, token, body, now=now))
    raise WrongRequestError(
        f"{request.path[:80]}: expected {WELL_KNOWN}cacerts or {WELL_KNOWN}simpleenroll",
        status=404,
    )


class UnauthorisedError(NotPermittedError):
    """No credentials, or none that can be read; answered with 401 and what is expected."""


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = (request.header("authorization") or "").partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    serial, colon, token = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise UnauthorisedError(
            "authorization: expected Basic with <serial>:<one-time token>, found none of that form"
        )
    return serial, token


def _challenged(answer: Answer) -> Answer:
    if answer.status != 403:
        return answer
    challenge = (b"www-authenticate", b'Basic realm="edge enrolment", charset="UTF-8"')
    return Answer(401, answer.body, answer.content_type, (*answer.headers, challenge))


async def _pkcs10(request: Request) -> bytes:
    found = (request.header("content-type") or "none").partition(";")[0].strip().lower()
    if found != _PKCS10:
        raise WrongRequestError(
            f"{request.path}: expected content-type {_PKCS10}, found {found[:60]!r}", status=415
        )
    return await request.body(_REQUEST_BYTES_MAX)


def _certificates(der: bytes) -> Answer:
    return Answer(200, base64.encodebytes(der), _PKCS7, _BASE64)
