"""Enrolment over HTTP as RFC 7030 writes it: what an EST client sends, and what it gets back."""

import base64
from pathlib import Path

import pytest
from aiohttp import ClientSession, encode_basic_auth
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import Certificate

from edge_site_proxy.api.gateway.est import WELL_KNOWN
from edge_site_proxy.identity.drops import TOKEN_LIFE, make_token, put
from tests.unit.site_proxy.gateway_api.served import Served, served, wall
from tests.unit.site_proxy.identity.made import Gateway

pytestmark = pytest.mark.anyio

Credentials = tuple[str, str]
PKCS10 = {"content-type": "application/pkcs10", "content-transfer-encoding": "base64"}


def token_in(folder: Path, serial: str) -> str:
    """A token for *serial*, left for the daemon."""
    token, drop = make_token(serial, now=wall(), life=TOKEN_LIFE)
    put(folder / "drops", drop)
    return token


async def enrol(
    client: ClientSession,
    auth: Credentials | None,
    body: bytes,
    kind: str = PKCS10["content-type"],
) -> tuple[int, dict[str, str], bytes]:
    """Send a signing request."""
    headers = {"content-type": kind}
    if auth is not None:
        headers["authorization"] = encode_basic_auth(*auth)
    path = f"{WELL_KNOWN}simpleenroll"
    async with client.post(path, data=body, headers=headers) as answer:
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, fields, await answer.read()


async def test_whole_life(tmp_path: Path) -> None:
    """CA, first certificate with a token, renewal with that certificate, and both get in."""
    gateway = Gateway("gw-101")
    async with served(tmp_path) as server, server.enroller() as client:
        async with client.get(f"{WELL_KNOWN}cacerts") as answer:
            assert answer.status == 200
            (root,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(await answer.read()))
            assert root.subject.rfc4514_string() == "CN=north edge site CA,O=north"
        auth = ("gw-101", token_in(tmp_path, "gw-101"))
        status, headers, body = await enrol(client, auth, gateway.request())
        assert status == 200
        assert headers["content-type"].startswith("application/pkcs7-mime")
        assert headers["content-transfer-encoding"] == "base64"
        (first,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
        for certificate in (first, await renewed(server, gateway, first)):
            context = server.holding(gateway, certificate)
            async with (
                server.client(context) as mutual,
                mutual.get("/gateway/v1/desired") as answer,
            ):
                assert answer.status == 200


async def renewed(server: Served, gateway: Gateway, first: Certificate) -> Certificate:
    """The next certificate, asked for with the first."""
    context = server.holding(gateway, first)
    path = f"{WELL_KNOWN}simplereenroll"
    async with (
        server.client(context) as client,
        client.post(path, data=gateway.request(), headers=PKCS10) as answer,
    ):
        assert answer.status == 200
        (second,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(await answer.read()))
        return second


REFUSED = {
    "no credentials": (None, "gw-101", "application/pkcs10", 401),
    "a wrong token": (("gw-101", "guess"), "gw-101", "application/pkcs10", 401),
    "the token of another": (("gw-102", "TOKEN"), "gw-102", "application/pkcs10", 401),
    "a request for another": (("gw-101", "TOKEN"), "gw-102", "application/pkcs10", 422),
    "no signing request": (("gw-101", "TOKEN"), "", "application/pkcs10", 422),
    "another content type": (("gw-101", "TOKEN"), "gw-101", "text/plain", 415),
}


@pytest.mark.parametrize(("auth", "named", "kind", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(
    auth: Credentials | None, named: str, kind: str, status: int, tmp_path: Path
) -> None:
    """Without the right token and request there is no certificate; 401 says what is expected."""
    async with served(tmp_path) as server, server.enroller() as client:
        token = token_in(tmp_path, "gw-101")
        if auth is not None and auth[1] == "TOKEN":
            auth = (auth[0], token)
        body = Gateway(named).request() if named else b"%%%"
        found, headers, said = await enrol(client, auth, body, kind)
        assert found == status
        assert b"expected" in said
        assert ("www-authenticate" in headers) == (status == 401)
        assert not server.register.enrolled("gw-101")


async def test_renewal_of_another(tmp_path: Path) -> None:
    """A certificate renews itself and nobody else."""
    async with served(tmp_path) as server:
        context = await server.enrolled("gw-101")
        path = f"{WELL_KNOWN}simplereenroll"
        request = Gateway("gw-102").request()
        async with (
            server.client(context) as client,
            client.post(path, data=request, headers=PKCS10) as answer,
        ):
            assert answer.status == 422
            assert "gw-101" in (await answer.json())["message"]


async def test_nothing_else_without_certificate(tmp_path: Path) -> None:
    """The enrolment port answers EST and nothing else."""
    async with served(tmp_path) as server, server.enroller() as client:
        for path in ("/gateway/v1/desired", "/v2/", f"{WELL_KNOWN}simplereenroll"):
            async with client.get(path) as answer:
                assert answer.status == 404
