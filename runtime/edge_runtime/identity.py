"""The gateway's key and certificate on disk: one PEM file, mode 0600, replaced as a whole.

The key is made here and never leaves. A renewed pair waits in `next.pem` until it has worked
once; until then the old pair stays what it is.
"""

import os
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
)
from cryptography.x509.oid import NameOID

from edge_core.contracts.errors import ConfigurationError, RefusedError
from edge_core.contracts.plant import Serial
from edge_core.oci.disk import sync_folder, temporary_file, writing

CURRENT: Final = "identity.pem"
NEXT: Final = "next.pem"
RENEW_AT: Final = 2 / 3  # of a certificate's life
PAIR_BYTES: Final = 4096  # one block, more than key and certificate need


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A fresh key, and the PKCS#10 request for its certificate; neither is on disk yet."""

    key: ec.EllipticCurvePrivateKey
    der: bytes


@dataclass(frozen=True, slots=True)
class IdentityFolder:
    """Where a gateway's identity lies."""

    path: Path
    serial: Serial

    @property
    def current(self) -> Path:
        """The pair in use."""
        return self.path / CURRENT

    @property
    def next(self) -> Path:
        """The pair that has yet to work."""
        return self.path / NEXT

    def enrolled(self) -> bool:
        """Whether there is a pair to use; one that cannot be read is no reason to enrol anew."""
        try:
            return self.current.is_file()
        except OSError:
            return True

    def certificate(self) -> x509.Certificate:
        """The certificate in use.

        Raises:
            ConfigurationError: the file is not what we wrote.
        """
        try:
            return x509.load_pem_x509_certificates(self.current.read_bytes())[0]
        except (OSError, ValueError, IndexError) as error:
            raise ConfigurationError(
                f"{self.current}: expected our key and certificate, found none: {error}; "
                "remove it and enrol again with a new token"
            ) from None

    def due(self, now: datetime) -> bool:
        """Whether two thirds of the certificate's life are over."""
        certificate = self.certificate()
        begun, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return now >= begun + RENEW_AT * (ends - begun)

    def life_left(self, now: datetime) -> timedelta:
        """Until the certificate ends."""
        return self.certificate().not_valid_after_utc - now

    def prepare(self) -> None:
        """See that the disk takes a pair, before the site is asked for one. Blocks.

        A token is spent and a certificate signed for nothing where it does not.

        Raises:
            TryAgainError: it does not.
        """
        with writing(str(self.path)):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary_file(self.path) as (file, _):
                file.write(bytes(PAIR_BYTES))
                file.flush()
                os.fsync(file.fileno())

    def write(self, path: Path, request: SigningRequest, certificate: x509.Certificate) -> None:
        """Keep a pair at *path*, readable by us alone; the folder was prepared. Blocks.

        Raises:
            TryAgainError: the disk does not take it; what was at *path* is there.
        """
        with writing(str(path)):
            temporary = path.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_key_pem(request.key) + certificate.public_bytes(Encoding.PEM))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(self.path)

    def promote(self) -> None:
        """The next pair has worked: it becomes the current one. Blocks.

        Raises:
            TryAgainError: the disk does not take that.
        """
        with writing(str(self.current)):
            self.next.replace(self.current)
            sync_folder(self.path)


def signing_request(serial: Serial) -> SigningRequest:
    """A new key and a request for the certificate of *serial*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return SigningRequest(key, request.public_bytes(Encoding.DER))


def issued(answer_der: bytes, request: SigningRequest, serial: Serial) -> x509.Certificate:
    """The certificate in a PKCS#7 certs-only answer (RFC 7030, 4.2.3) that is ours.

    Raises:
        RefusedError: none of them is for our key and our serial.
    """
    try:
        found = pkcs7.load_der_pkcs7_certificates(answer_der)
    except ValueError as error:
        raise RefusedError(
            f"enrolment: expected PKCS#7 certificates, found none: {error}"
        ) from None
    wanted = _spki(request.key.public_key())
    for certificate in found:
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey) and _spki(key) == wanted:
            _check_name(certificate, serial)
            return certificate
    raise RefusedError(
        f"enrolment: expected a certificate for our own key, found {len(found)} others"
    )


def client_context(ca: Path, pair: Path | None) -> ssl.SSLContext:
    """TLS 1.3 towards the site proxy, trusting the site's own CA alone.

    Args:
        ca: PEM bundle.
        pair: our key and certificate in one file; None to enrol.

    Raises:
        ConfigurationError: a file is missing or is not what it must be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=ca)
    except OSError as error:  # SSLError is one
        raise ConfigurationError(f"proxy.ca {ca}: expected a PEM bundle: {error}") from None
    if pair is not None:
        try:
            context.load_cert_chain(pair)
        except OSError as error:
            raise ConfigurationError(f"{pair}: expected key and certificate: {error}") from None
    return context


def _check_name(certificate: x509.Certificate, serial: Serial) -> None:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [str(name.value) for name in names] != [serial]:
        raise RefusedError(f"enrolment: expected a certificate for {serial!r}, found another name")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
