"""The site's own certificate authority: makes the root, signs servers and gateways.

Everything is P-256. The root lives ten years on the site-proxy host; what it signs is short-lived,
so a lost gateway key is worth little. Bytes in, bytes out: the caller reads and writes files.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_site_proxy.identity.errors import AuthorityError
from edge_site_proxy.identity.request import PublicKey

ROOT_LIFE = dt.timedelta(days=3650)
SERVER_LIFE = dt.timedelta(days=398)
# A gateway without a battery-backed clock comes up in the past; an hour forgives a bad RTC.
_BACKDATE = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its certificate, both PEM."""

    key_pem: bytes
    certificate_pem: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """One signed certificate: its number (the X.509 serial), whose it is, and until when."""

    number: str
    serial: str
    not_after: dt.datetime
    der: bytes


def make_root(site: str, *, now: dt.datetime) -> KeyPair:
    """A fresh self-signed root for *site*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{site} edge site CA", site)
    builder = (
        _builder(name, name, key.public_key(), now=now, life=ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return KeyPair(_key_pem(key), certificate.public_bytes(Encoding.PEM))


class Authority:
    """Signs with the site's root.

    Args:
        pair: the root as `make_root` made it.

    Raises:
        AuthorityError: the files are no key and certificate, or do not belong together.
    """

    def __init__(self, pair: KeyPair) -> None:
        try:
            key = load_pem_private_key(pair.key_pem, password=None)
            self._root = x509.load_pem_x509_certificate(pair.certificate_pem)
        except (ValueError, TypeError) as error:
            raise AuthorityError(
                f"site CA: expected a PEM key and a PEM certificate, found neither ({error})"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"site CA: expected an EC key, found {type(key).__name__}")
        if key.public_key() != self._root.public_key():
            raise AuthorityError("site CA: the key and the certificate do not belong together")
        self._key = key
        self._site = _organisation(self._root)

    @property
    def root_pem(self) -> bytes:
        """The root certificate, PEM: what gateways trust, and what their certificates chain to."""
        return self._root.public_bytes(Encoding.PEM)

    def sign_gateway(
        self, serial: str, key: PublicKey, *, now: dt.datetime, life: dt.timedelta
    ) -> Issued:
        """A client certificate for the gateway *serial*, good for *life* from *now*."""
        return self._sign(serial, key, now=now, life=life, names=(), client=True)

    def make_server(self, names: Sequence[str], *, now: dt.datetime) -> KeyPair:
        """A fresh server key and certificate; *names* are host names and addresses, not empty."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self._sign(
            names[0], key.public_key(), now=now, life=SERVER_LIFE, names=names, client=False
        )
        pem = x509.load_der_x509_certificate(issued.der).public_bytes(Encoding.PEM)
        return KeyPair(_key_pem(key), pem)

    def certificates_only(self, ders: Sequence[bytes] = ()) -> bytes:
        """PKCS#7 certs-only DER (RFC 7030 section 4.2.3); the root alone when *ders* is empty."""
        chain = [x509.load_der_x509_certificate(der) for der in ders] or [self._root]
        return pkcs7.serialize_certificates(chain, Encoding.DER)

    def signed(self, certificate_pem: bytes) -> dt.datetime | None:
        """Until when *certificate_pem* is good, or None if this authority did not sign it."""
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            certificate.verify_directly_issued_by(self._root)
        except (ValueError, TypeError, InvalidSignature):
            return None
        return certificate.not_valid_after_utc

    def _sign(
        self,
        common_name: str,
        key: PublicKey,
        *,
        now: dt.datetime,
        life: dt.timedelta,
        names: Sequence[str],
        client: bool,
    ) -> Issued:
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(_name(common_name, self._site), self._root.subject, key, now=now, life=life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(identifier, critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(
            number=certificate_number(certificate.serial_number),
            serial=common_name,
            not_after=certificate.not_valid_after_utc,
            der=certificate.public_bytes(Encoding.DER),
        )


def certificate_number(number: int) -> str:
    """An X.509 serial number as we write it everywhere: upper-case hex, as OpenSSL prints it."""
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else "0" + text


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PublicKey,
    *,
    now: dt.datetime,
    life: dt.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _organisation(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if names else "site"


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
