"""Signing requests from outside: what is signed, and what gets one clear line."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.identity.errors import SigningRequestError
from edge_site_proxy.identity.request import read_request, requested_serial, signable_key
from tests.unit.site_proxy.identity.made import Gateway

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def request_with(key: Key, *names: str) -> bytes:
    """A request of *key* with common names."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return base64.b64encode(builder.sign(key, algorithm).public_bytes(Encoding.DER))


def spoiled() -> bytes:
    """A request whose signature was changed."""
    der = bytearray(base64.b64decode(Gateway("gw-1").request()))
    der[-1] ^= 1
    return base64.b64encode(bytes(der))


REFUSED = {
    "nothing": b"",
    "no base64": b"\xff\xfe",
    "base64 of something else": base64.b64encode(b"hello"),
    "a signature that is not of its own key": spoiled(),
    "no name": request_with(ec.generate_private_key(ec.SECP256R1())),
    "two names": request_with(ec.generate_private_key(ec.SECP256R1()), "gw-1", "gw-2"),
    "an unusual curve": request_with(ec.generate_private_key(ec.SECP521R1()), "gw-1"),
    "a short RSA key": request_with(rsa.generate_private_key(65537, 1024), "gw-1"),  # noqa: S505 - refused
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_refused(body: bytes) -> None:
    """What we do not sign is refused with a line that says what was expected."""
    with pytest.raises(SigningRequestError, match=r"expected|signature"):
        _whole(body)


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate()], ids=["Ed25519"])
def test_signed(key: Key) -> None:
    """Keys that we accept."""
    assert _whole(request_with(key, "gw-1")) == "gw-1"


def test_openssl(tmp_path: Path) -> None:
    """What `openssl req` makes is accepted, as DER in base64 and as PEM."""
    made = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-keyout", str(tmp_path / "key.pem"), "-subj", "/CN=gw-101"]
    pem = subprocess.run(made, check=True, capture_output=True).stdout
    assert _whole(pem) == "gw-101"
    der = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    assert _whole(base64.encodebytes(der)) == "gw-101"


@given(st.binary(max_size=300))
def test_noise(body: bytes) -> None:
    """Noise is refused, never a crash."""
    with pytest.raises(SigningRequestError):
        _whole(body)


def _whole(body: bytes) -> str:
    request = read_request(body)
    serial = requested_serial(request)
    signable_key(request)
    return serial
