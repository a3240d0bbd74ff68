"""The site CA, judged by another implementation."""

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from edge_site_proxy.identity.authority import Authority, KeyPair, make_root
from edge_site_proxy.identity.errors import AuthorityError

NOW = dt.datetime.now(dt.UTC)  # openssl compares with the real clock


def test_openssl_verifies(tmp_path: Path) -> None:
    """OpenSSL accepts server and gateway certificates for their own purpose and no other."""
    root = make_root("north", now=NOW)
    authority = Authority(root)
    (tmp_path / "ca.pem").write_bytes(root.certificate_pem)
    server = authority.make_server(["proxy.north", "127.0.0.1"], now=NOW)
    (tmp_path / "server.pem").write_bytes(server.certificate_pem)
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.pem")]
    leaf = str(tmp_path / "server.pem")
    good = [*verify, "-purpose", "sslserver", "-verify_ip", "127.0.0.1", leaf]
    assert subprocess.run(good, check=False, capture_output=True).returncode == 0
    bad = [*verify, "-purpose", "sslclient", leaf]
    assert subprocess.run(bad, check=False, capture_output=True).returncode != 0


def test_certificates_only() -> None:
    """`cacerts` gives the root alone."""
    authority = Authority(make_root("north", now=NOW))
    (root,) = pkcs7.load_der_pkcs7_certificates(authority.certificates_only())
    assert root.subject.rfc4514_string() == "CN=north edge site CA,O=north"


def test_number() -> None:
    """The number is written as OpenSSL prints it: upper-case hex with an even length."""
    authority = Authority(make_root("north", now=NOW))
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    issued = authority.sign_gateway("gw-1", key, now=NOW, life=dt.timedelta(days=1))
    assert len(issued.number) % 2 == 0
    assert issued.number == issued.number.upper()


def test_other_pair() -> None:
    """A key and a certificate that do not belong together stop the daemon with one line."""
    one, other = make_root("north", now=NOW), make_root("north", now=NOW)
    with pytest.raises(AuthorityError, match="belong together"):
        Authority(KeyPair(one.key_pem, other.certificate_pem))
    with pytest.raises(AuthorityError, match="expected a PEM key"):
        Authority(KeyPair(b"", b""))


def test_own_certificates() -> None:
    """An authority knows its own certificates, and says None of others."""
    authority = Authority(make_root("north", now=NOW))
    other = Authority(make_root("north", now=NOW))
    pair = authority.make_server(["proxy"], now=NOW)
    assert authority.signed(pair.certificate_pem) is not None
    assert other.signed(pair.certificate_pem) is None
    assert authority.signed(b"nothing") is None
