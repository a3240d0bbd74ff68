"""Which server certificates are believed: a folder that people keep, as UaExpert has it.

trusted/     certificates of servers, or of authorities that issue them; DER or PEM
issuers/     authorities between a trusted one and a server; nobody is believed for them alone
rejected/    what a server showed and nobody has looked at yet: move it to trusted/

Certificates may lie in `certs/` below trusted/ and issuers/, and what authorities have revoked
lies in `crl/` there, so a folder of UaExpert's can be copied as it is. A revocation list counts
for what it names however old it is: a list that nobody renewed must not stop a line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1, sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import SourceLostError

REJECTED_MAX: Final = 50  # whoever answers on that port must not fill our disk
_CERTIFICATES: Final = frozenset({".der", ".pem", ".crt", ".cer"})
_LISTS: Final = frozenset({".crl", ".der", ".pem"})
_DEEP: Final = 4  # authorities between a server and the trusted one, itself included


def own_of(chain: bytes) -> bytes:
    """A server may show its chain; its own certificate comes first (OPC 10000-6, 6.2.6).

    Raises:
        SourceLostError: it is no certificate.
    """
    # Tag, the two bytes of a length of two bytes, and then that many.
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] != 0x82:
        raise SourceLostError("server certificate: expected DER, found something else")
    return chain[: 4 + int.from_bytes(chain[2:4], "big")]


@dataclass(frozen=True, slots=True)
class Believed:
    """What lies in the folder.

    Attributes:
        trusted: servers and authorities.
        issuers: authorities that are a link of a chain only.
        revoked: the lists of any of them.
    """

    trusted: list[x509.Certificate]
    issuers: list[x509.Certificate]
    revoked: list[x509.CertificateRevocationList]


class TrustList:
    """The folder of one source."""

    def __init__(self, folder: Path) -> None:
        self._trusted = folder / "trusted"
        self._issuers = folder / "issuers"
        self._rejected = folder / "rejected"

    def check(self, shown: bytes, host: str, now: datetime) -> None:
        """Believe a certificate, or put it where people find it.

        Args:
            shown: DER.
            host: name or address at which it was shown; who is believed only because of an
                authority must be certified for that, or any other machine of the plant would do.
            now: a certificate that lies in trusted/ itself is believed at any time.

        Raises:
            SourceLostError: it is not trusted; says which file to move where.
            ConfigurationError: the folder cannot be used.
        """
        try:
            certificate = x509.load_der_x509_certificate(shown)
        except ValueError as error:
            raise SourceLostError(f"server certificate: {error}") from None
        try:
            for folder in (self._trusted, self._rejected):
                folder.mkdir(parents=True, exist_ok=True)
            known = self._believed()
            if _revoked(certificate, known):
                why = "was revoked by its authority: give the server a new one"
            elif certificate in known.trusted:
                return
            elif not _vouched(certificate, known, now, _DEEP):
                why = f"is not trusted: {self._reject(certificate, shown)}"
            elif not _is_for(certificate, host):
                why = f"is for other hosts than {host!a}: {self._reject(certificate, shown)}"
            else:
                return
        except OSError as error:
            raise ConfigurationError(f"trust: expected a folder to use: {error}") from None
        raise SourceLostError(
            f"server certificate {words(certificate)} (SHA-256 {sha256(shown).hexdigest()}) {why}"
        )

    def _believed(self) -> Believed:
        both = (self._trusted, self._issuers)
        lists = [each / "crl" for each in both if (each / "crl").is_dir()]
        return Believed(
            trusted=list(_certificates(self._trusted)),
            issuers=list(_certificates(self._issuers)),
            revoked=[each for folder in lists for each in _revocations(folder)],
        )

    def _reject(self, certificate: x509.Certificate, shown: bytes) -> str:
        """Keep it for people; what they can do about it."""
        file = self._kept(certificate, shown)
        return f"if it is the right server, move {file} to {self._trusted}"

    def _kept(self, certificate: x509.Certificate, shown: bytes) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", words(certificate))[:60].strip("._-") or "server"
        thumbprint = sha1(shown, usedforsecurity=False).hexdigest().upper()
        file = self._rejected / f"{name} [{thumbprint}].der"
        if file.exists():
            return file
        oldest = sorted(self._rejected.glob("*.der"), key=lambda path: path.stat().st_mtime)
        for path in oldest[: max(0, len(oldest) - REJECTED_MAX + 1)]:
            path.unlink(missing_ok=True)
        file.write_bytes(shown)
        return file


def words(certificate: x509.Certificate) -> str:
    """Whom a certificate is of, for people, in printable characters."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return ascii(str(names[0].value) if names else "without a name")[1:-1][:80]


def _certificates(folder: Path) -> Iterator[x509.Certificate]:
    for path, raw in _files(_CERTIFICATES, folder, folder / "certs"):
        pem = b"-----" in raw
        load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
        try:
            yield load(raw)
        except ValueError as error:
            raise ConfigurationError(f"{path}: expected a certificate: {error}") from None


def _revocations(folder: Path) -> Iterator[x509.CertificateRevocationList]:
    for path, raw in _files(_LISTS, folder):
        load = x509.load_pem_x509_crl if b"-----" in raw else x509.load_der_x509_crl
        try:
            yield load(raw)
        except ValueError as error:
            raise ConfigurationError(f"{path}: expected a revocation list: {error}") from None


def _files(suffixes: frozenset[str], *folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and path.suffix.lower() in suffixes:
                yield path, path.read_bytes()


def _vouched(certificate: x509.Certificate, known: Believed, now: datetime, deep: int) -> bool:
    """Whether a chain leads from *certificate* to an authority that is trusted."""
    for by in [*known.trusted, *known.issuers] if deep else ():
        if not _issued(certificate, by, now) or _revoked(by, known):
            continue
        if by in known.trusted or _vouched(by, known, now, deep - 1):
            return True
    return False


def _revoked(certificate: x509.Certificate, known: Believed) -> bool:
    """Whether its issuer, whose key is known, has taken *certificate* back."""
    named = (
        each
        for each in known.revoked
        if each.issuer == certificate.issuer
        and each.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    )
    authorities = [*known.trusted, *known.issuers]
    return any(_signed(each, by) for each in named for by in authorities)


def _signed(revoked: x509.CertificateRevocationList, by: x509.Certificate) -> bool:
    key = by.public_key()
    if by.subject != revoked.issuer or not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        return False
    return revoked.is_signature_valid(key)


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether *host* stands in a certificate as name or address (OPC 10000-4, 6.1.3)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        address = ip_address(host)
    except ValueError:
        known = names.get_values_for_type(x509.DNSName)
        return host.lower() in {each.lower() for each in known}
    return address in names.get_values_for_type(x509.IPAddress)


def _issued(certificate: x509.Certificate, by: x509.Certificate, now: datetime) -> bool:
    """Whether an authority that we trust has issued it, and both hold now."""
    try:
        authority = by.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
    each_holds = all(
        each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in (certificate, by)
    )
    if not (authority and each_holds):
        return False
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
