"""Which server certificates are believed: a folder that people keep, as UaExpert has it.

trusted/     certificates of servers, or of authorities that issue them; DER or PEM
rejected/    what a server showed and nobody has looked at yet: move it to trusted/
"""

import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha1, sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import SourceLostError

REJECTED_MAX: Final = 50  # whoever answers on that port must not fill our disk
_SUFFIXES: Final = frozenset({".der", ".pem", ".crt", ".cer"})


def own_of(chain: bytes) -> bytes:
    """A server may show its chain; its own certificate comes first (OPC 10000-6, 6.2.6).

    Raises:
        SourceLostError: it is no certificate.
    """
    # Tag, the two bytes of a length of two bytes, and then that many.
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] != 0x82:
        raise SourceLostError("server certificate: expected DER, found something else")
    return chain[: 4 + int.from_bytes(chain[2:4], "big")]


class TrustList:
    """The folder of one source."""

    def __init__(self, folder: Path) -> None:
        self._trusted = folder / "trusted"
        self._rejected = folder / "rejected"

    def check(self, shown: bytes, now: datetime) -> None:
        """Believe a certificate, or put it where people find it.

        Args:
            shown: DER.
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
            known = list(_certificates(self._trusted))
            if any(each.public_bytes(Encoding.DER) == shown for each in known):
                return
            if any(_issued(certificate, by, now) for by in known):
                return
            file = self._reject(certificate, shown)
        except OSError as error:
            raise ConfigurationError(f"trust: expected a folder to use: {error}") from None
        raise SourceLostError(
            f"server certificate {words(certificate)} (SHA-256 {sha256(shown).hexdigest()}) is "
            f"not trusted: if it is the right server, move {file} to {self._trusted}"
        )

    def _reject(self, certificate: x509.Certificate, shown: bytes) -> Path:
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
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        raw = path.read_bytes()
        load = (
            x509.load_pem_x509_certificate if b"-----" in raw else x509.load_der_x509_certificate
        )
        try:
            yield load(raw)
        except ValueError as error:
            raise ConfigurationError(f"{path}: expected a certificate: {error}") from None


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
