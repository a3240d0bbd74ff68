"""Things that identity tests need: a site CA, a register on disk, and gateways with keys."""

import base64
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.identity import ledger
from edge_site_proxy.identity.authority import Authority, KeyPair, make_root
from edge_site_proxy.identity.register import Register
from edge_site_proxy.store import Store

T0 = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)
LIFE = dt.timedelta(days=30)


@dataclass
class Clock:
    """A clock that a test moves by hand."""

    at: dt.datetime = T0

    def __call__(self) -> dt.datetime:
        """The instant it shows."""
        return self.at

    def pass_by(self, **duration: float) -> None:
        """Move on, with the keywords of `timedelta`."""
        self.at += dt.timedelta(**duration)


@dataclass
class Gateway:
    """A gateway with its own key."""

    serial: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def request(self, common_name: str | None = None) -> bytes:
        """Base64 PKCS#10, as EST clients send it."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or self.serial)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        der = builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)
        return base64.encodebytes(der)


def certificate_in(answer: bytes) -> x509.Certificate:
    """The one certificate of a PKCS#7 answer."""
    (certificate,) = pkcs7.load_der_pkcs7_certificates(answer)
    return certificate


@asynccontextmanager
async def register_in(
    folder: Path, clock: Callable[[], dt.datetime]
) -> AsyncIterator[tuple[Register, Store]]:
    """A register with its database and drop folder below *folder*; opened again it remembers."""
    drops = folder / "drops"
    drops.mkdir(exist_ok=True)
    authority = _authority(folder)
    store = Store.open(
        folder / "site.db",
        migrations=[ledger.MIGRATIONS],
        observable=[],
        now=clock,
        clock=lambda: ClockQuality(synchronised=True, error_max_us=100),
    )
    async with store:
        register = Register(store, authority, folder=drops, life=LIFE)
        await register.load()
        yield register, store


def _authority(folder: Path) -> Authority:
    key, certificate = folder / "ca.key", folder / "ca.pem"
    if not key.exists():
        pair = make_root("north", now=T0 - dt.timedelta(days=300))
        key.write_bytes(pair.key_pem)
        certificate.write_bytes(pair.certificate_pem)
    return Authority(KeyPair(key.read_bytes(), certificate.read_bytes()))
