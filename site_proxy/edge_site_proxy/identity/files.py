"""The CA's files on disk: made once by `init`, read at start, the server's own renewed in time.

Private keys are written with mode 0600 and are refused when others can read them.
"""

import datetime as dt
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_site_proxy.identity.authority import SERVER_LIFE, Authority, KeyPair, make_root
from edge_site_proxy.identity.errors import AuthorityError

_PRIVATE = 0o600
_PUBLIC = 0o644


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Where they lie."""

    folder: Path

    @property
    def ca_certificate(self) -> Path:
        """The root: what gateways trust, and what client certificates chain to."""
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The root's key."""
        return self.folder / "ca.key"

    @property
    def server_certificate(self) -> Path:
        """This server's certificate."""
        return self.folder / "server.pem"

    @property
    def server_key(self) -> Path:
        """Its key."""
        return self.folder / "server.key"

    def make(self, site: str, names: Sequence[str], *, now: dt.datetime) -> None:
        """A new CA and a server certificate for *names*.

        Raises:
            AuthorityError: there is one already; it is never overwritten.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.ca_key.exists() or self.ca_certificate.exists():
            raise AuthorityError(
                f"{self.folder}: expected no site CA, found one; every gateway trusts it"
            )
        root = make_root(site, now=now)
        _write(self.ca_key, root.key_pem, _PRIVATE)
        _write(self.ca_certificate, root.certificate_pem, _PUBLIC)
        self._write_server(Authority(root), names, now)

    def authority(self) -> Authority:
        """The CA.

        Raises:
            AuthorityError: a file is missing, readable by others, or not what it should be.
        """
        check_private(self.ca_key)
        return Authority(KeyPair(_read(self.ca_key), _read(self.ca_certificate)))

    def renew_server(
        self, authority: Authority, names: Sequence[str], *, now: dt.datetime
    ) -> bool:
        """Make the server a new certificate if its last third has begun; whether it did."""
        certificate = self.server_certificate
        known = certificate.read_bytes() if certificate.exists() else b""
        end = authority.signed(known)
        if end is not None and end - now > SERVER_LIFE / 3 and self.server_key.exists():
            return False
        self._write_server(authority, names, now)
        return True

    def _write_server(self, authority: Authority, names: Sequence[str], now: dt.datetime) -> None:
        pair = authority.make_server(names, now=now)
        _write(self.server_key, pair.key_pem, _PRIVATE)
        _write(self.server_certificate, pair.certificate_pem, _PUBLIC)


def check_private(path: Path) -> None:
    """See that nobody else can read *path*.

    Raises:
        AuthorityError: it is missing, or others can read it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise AuthorityError(f"{path}: expected a private file, found: {error.strerror}") from None
    if mode & 0o077:
        raise AuthorityError(
            f"{path}: expected mode 0600, found {mode:04o}; others can read it: chmod 600 it"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AuthorityError(f"{path}: expected a PEM file, found: {error.strerror}") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.part")
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(opened, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
