"""The trust list: who is believed, and where a stranger's certificate is found."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import SourceLostError
from edge_runtime.sources.opcua_trust import REJECTED_MAX, TrustList, own_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def made(
    name: str,
    *,
    issuer: str = "",
    key: ec.EllipticCurvePrivateKey = KEY,
    signed_by: ec.EllipticCurvePrivateKey | None = None,
    authority: bool = False,
    days: int = 30,
) -> x509.Certificate:
    """A certificate, its own issuer unless there is another."""
    attribute = x509.NameAttribute
    subject = x509.Name([attribute(x509.NameOID.COMMON_NAME, name)])
    by = x509.Name([attribute(x509.NameOID.COMMON_NAME, issuer or name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    return builder.sign(signed_by or key, hashes.SHA256())


def der(certificate: x509.Certificate) -> bytes:
    """As a server shows it."""
    return certificate.public_bytes(Encoding.DER)


@pytest.fixture
def trust(tmp_path: Path) -> TrustList:
    """An empty list."""
    (tmp_path / "trusted").mkdir()
    return TrustList(tmp_path)


def test_stranger(trust: TrustList, tmp_path: Path) -> None:
    """A stranger is refused, and the line says what to move where; there it is believed."""
    shown = der(made("plc ../7\x1b"))
    with pytest.raises(SourceLostError):
        trust.check(shown, NOW)
    with pytest.raises(SourceLostError) as refusal:
        trust.check(shown, NOW)
    [file] = (tmp_path / "rejected").iterdir()
    assert file.read_bytes() == shown
    assert str(refusal.value).endswith(f"move {file} to {tmp_path / 'trusted'}")
    assert str(refusal.value).isprintable()
    file.rename(tmp_path / "trusted" / file.name)
    trust.check(shown, NOW)


def test_pem(trust: TrustList, tmp_path: Path) -> None:
    """A certificate may lie there as PEM; an expired one too, since somebody put it there."""
    certificate = made("plc", days=-1)
    (tmp_path / "trusted" / "plc.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "trusted" / "notes.txt").write_text("not a certificate")
    trust.check(der(certificate), NOW)


def test_authority(trust: TrustList, tmp_path: Path) -> None:
    """What a trusted authority has issued is believed while it holds, and nothing else."""
    authority = made("site ca", authority=True)
    (tmp_path / "trusted" / "ca.der").write_bytes(der(authority))
    trust.check(der(made("plc", issuer="site ca", key=OTHER_KEY, signed_by=KEY)), NOW)
    for wrong in (
        made("plc", issuer="site ca", key=OTHER_KEY, signed_by=OTHER_KEY),
        made("plc", issuer="other ca", key=OTHER_KEY, signed_by=KEY),
        made("plc", issuer="site ca", key=OTHER_KEY, signed_by=KEY, days=-1),
    ):
        with pytest.raises(SourceLostError, match="not trusted"):
            trust.check(der(wrong), NOW)


def test_no_authority(trust: TrustList, tmp_path: Path) -> None:
    """A trusted server is no authority: what its key signed is a stranger's."""
    (tmp_path / "trusted" / "plc.der").write_bytes(der(made("plc")))
    with pytest.raises(SourceLostError, match="not trusted"):
        trust.check(der(made("other", issuer="plc", key=OTHER_KEY, signed_by=KEY)), NOW)


def test_many_strangers(trust: TrustList, tmp_path: Path) -> None:
    """However many strangers answer, the folder stays small."""
    for number in range(REJECTED_MAX + 5):
        with pytest.raises(SourceLostError):
            trust.check(der(made(f"plc {number}")), NOW)
    assert len(list((tmp_path / "rejected").iterdir())) == REJECTED_MAX


def test_unreadable(trust: TrustList, tmp_path: Path) -> None:
    """A file in trusted/ that is no certificate is a mistake of ours, by name."""
    (tmp_path / "trusted" / "plc.der").write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"plc\.der"):
        trust.check(der(made("plc")), NOW)


def test_not_a_certificate(trust: TrustList) -> None:
    """What a server shows may be anything."""
    with pytest.raises(SourceLostError, match="server certificate"):
        trust.check(b"0\x82\x00\x01x", NOW)


def test_chain() -> None:
    """Of a chain the first is the server's own."""
    own, authority = der(made("plc")), der(made("ca", authority=True))
    assert own_of(own + authority) == own
    for wrong in (b"", b"0\x82", b"\x31\x82\x00\x01x"):
        with pytest.raises(SourceLostError):
            own_of(wrong)
