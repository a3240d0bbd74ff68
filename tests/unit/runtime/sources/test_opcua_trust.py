"""The trust list: who is believed, and where a stranger's certificate is found."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
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
HOST = "plc-7.line"
OTHERS = "is for other hosts than"
KEY, OTHER_KEY, THIRD_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


def made(
    name: str,
    *,
    issuer: str = "",
    key: ec.EllipticCurvePrivateKey = KEY,
    signed_by: ec.EllipticCurvePrivateKey | None = None,
    authority: bool = False,
    days: int = 30,
    hosts: tuple[str, ...] = (),
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
    named = [
        x509.IPAddress(ip_address(each))
        if each[0].isdigit() or ":" in each
        else x509.DNSName(each)
        for each in hosts
    ]
    if named:
        builder = builder.add_extension(x509.SubjectAlternativeName(named), critical=False)
    return builder.sign(signed_by or key, hashes.SHA256())


def listed(
    issuer: str, *revoked: x509.Certificate, signed_by: ec.EllipticCurvePrivateKey = KEY
) -> bytes:
    """A revocation list, long out of date."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .last_update(NOW - timedelta(days=20))
        .next_update(NOW - timedelta(days=10))
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(each.serial_number)
            .revocation_date(NOW - timedelta(days=20))
            .build()
        )
    return builder.sign(signed_by, hashes.SHA256()).public_bytes(Encoding.DER)


def put(path: Path, content: bytes) -> None:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


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
        trust.check(shown, HOST, NOW)
    with pytest.raises(SourceLostError) as refusal:
        trust.check(shown, HOST, NOW)
    [file] = (tmp_path / "rejected").iterdir()
    assert file.read_bytes() == shown
    assert str(refusal.value).endswith(f"move {file} to {tmp_path / 'trusted'}")
    assert str(refusal.value).isprintable()
    file.rename(tmp_path / "trusted" / file.name)
    trust.check(shown, HOST, NOW)


def test_pem(trust: TrustList, tmp_path: Path) -> None:
    """A certificate may lie there as PEM; an expired one too, since somebody put it there."""
    certificate = made("plc", days=-1)
    (tmp_path / "trusted" / "plc.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "trusted" / "notes.txt").write_text("not a certificate")
    trust.check(der(certificate), HOST, NOW)


def test_authority(trust: TrustList, tmp_path: Path) -> None:
    """What a trusted authority has issued is believed while it holds, and nothing else."""
    authority = made("site ca", authority=True)
    (tmp_path / "trusted" / "ca.der").write_bytes(der(authority))
    trust.check(der(issued()), HOST, NOW)
    for wrong in (
        made("plc", issuer="site ca", key=OTHER_KEY, signed_by=OTHER_KEY),
        made("plc", issuer="other ca", key=OTHER_KEY, signed_by=KEY),
        made("plc", issuer="site ca", key=OTHER_KEY, signed_by=KEY, days=-1),
    ):
        with pytest.raises(SourceLostError, match="not trusted"):
            trust.check(der(wrong), HOST, NOW)


def issued(
    name: str = "plc", by: str = "site ca", hosts: tuple[str, ...] = (HOST,), **more: bool
) -> x509.Certificate:
    """What the authority whose key is `KEY` has issued."""
    return made(name, issuer=by, key=OTHER_KEY, signed_by=KEY, hosts=hosts, **more)


@pytest.mark.parametrize(
    ("hosts", "host", "refusal"),
    [
        pytest.param((HOST,), HOST, "", id="its name"),
        pytest.param((HOST,), "PLC-7.Line", "", id="its name, whatever its case"),
        pytest.param(("10.0.0.7",), "10.0.0.7", "", id="its address"),
        pytest.param(("fd00::7",), "FD00:0::7", "", id="its address, spelled otherwise"),
        pytest.param((HOST,), "plc-8.line", OTHERS, id="another machine of the plant"),
        pytest.param((HOST,), "10.0.0.7", OTHERS, id="an address where a name stands"),
        pytest.param(("10.0.0.7",), "plc-7", OTHERS, id="a name where an address stands"),
        pytest.param((), HOST, OTHERS, id="no host at all"),
    ],
)
def test_host(
    trust: TrustList, tmp_path: Path, hosts: tuple[str, ...], host: str, refusal: str
) -> None:
    """Because of its authority a certificate is believed at its own host only."""
    put(tmp_path / "trusted" / "ca.der", der(made("site ca", authority=True)))
    shown = der(issued(hosts=hosts))
    if not refusal:
        trust.check(shown, host, NOW)
        return
    with pytest.raises(SourceLostError, match=refusal) as said:
        trust.check(shown, host, NOW)
    [file] = (tmp_path / "rejected").iterdir()
    assert str(said.value).endswith(f"move {file} to {tmp_path / 'trusted'}")
    file.rename(tmp_path / "trusted" / file.name)
    trust.check(shown, host, NOW)


def test_a_link_between(trust: TrustList, tmp_path: Path) -> None:
    """An authority in issuers/ makes a chain to a trusted one, and is worth nothing without."""
    root = made("root", authority=True)
    between = made("site ca", issuer="root", key=THIRD_KEY, signed_by=KEY, authority=True)
    plc = made("plc", issuer="site ca", key=OTHER_KEY, signed_by=THIRD_KEY, hosts=(HOST,))
    put(tmp_path / "issuers" / "certs" / "between.der", der(between))
    with pytest.raises(SourceLostError, match="not trusted"):
        trust.check(der(plc), HOST, NOW)
    put(tmp_path / "trusted" / "certs" / "root.der", der(root))
    trust.check(der(plc), HOST, NOW)
    put(tmp_path / "trusted" / "crl" / "root.crl", listed("root", between))
    with pytest.raises(SourceLostError, match="not trusted"):
        trust.check(der(plc), HOST, NOW)


def test_authorities_in_a_circle(trust: TrustList, tmp_path: Path) -> None:
    """Authorities that vouch for each other vouch for nobody, and it ends."""
    for name, by in (("one", "two"), ("two", "one")):
        put(
            tmp_path / "issuers" / f"{name}.der",
            der(made(name, issuer=by, signed_by=KEY, authority=True)),
        )
    with pytest.raises(SourceLostError, match="not trusted"):
        trust.check(der(issued(by="one")), HOST, NOW)


@pytest.mark.parametrize("folder", ["trusted", "issuers"])
@pytest.mark.parametrize("trusted", [["ca.der"], ["ca.der", "plc.der"]], ids=", ".join)
def test_revoked(trust: TrustList, tmp_path: Path, folder: str, trusted: list[str]) -> None:
    """What its authority has taken back is refused, however old the list and however trusted."""
    plc, other = issued(), issued("other")
    files = {"ca.der": made("site ca", authority=True), "plc.der": plc}
    for name in trusted:
        put(tmp_path / "trusted" / name, der(files[name]))
    put(tmp_path / folder / "crl" / "site.crl", listed("site ca", plc))
    with pytest.raises(SourceLostError, match="was revoked by its authority: give the server"):
        trust.check(der(plc), HOST, NOW)
    trust.check(der(other), HOST, NOW)
    assert not list((tmp_path / "rejected").iterdir())


def test_a_list_of_a_stranger(trust: TrustList, tmp_path: Path) -> None:
    """Who does not have the authority's key revokes nothing in its name."""
    put(tmp_path / "trusted" / "ca.der", der(made("site ca", authority=True)))
    put(tmp_path / "trusted" / "crl" / "x.crl", listed("site ca", issued(), signed_by=OTHER_KEY))
    trust.check(der(issued()), HOST, NOW)


def test_a_list_that_is_none(trust: TrustList, tmp_path: Path) -> None:
    """A file in crl/ that cannot be read might name anybody: by name."""
    put(tmp_path / "trusted" / "crl" / "site.crl", b"nonsense")
    with pytest.raises(ConfigurationError, match=r"site\.crl: expected a revocation list"):
        trust.check(der(made("plc")), HOST, NOW)


def test_no_authority(trust: TrustList, tmp_path: Path) -> None:
    """A trusted server is no authority: what its key signed is a stranger's."""
    (tmp_path / "trusted" / "plc.der").write_bytes(der(made("plc")))
    with pytest.raises(SourceLostError, match="not trusted"):
        trust.check(der(made("other", issuer="plc", key=OTHER_KEY, signed_by=KEY)), HOST, NOW)


def test_many_strangers(trust: TrustList, tmp_path: Path) -> None:
    """However many strangers answer, the folder stays small."""
    for number in range(REJECTED_MAX + 5):
        with pytest.raises(SourceLostError):
            trust.check(der(made(f"plc {number}")), HOST, NOW)
    assert len(list((tmp_path / "rejected").iterdir())) == REJECTED_MAX


def test_unreadable(trust: TrustList, tmp_path: Path) -> None:
    """A file in trusted/ that is no certificate is a mistake of ours, by name."""
    (tmp_path / "trusted" / "plc.der").write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"plc\.der"):
        trust.check(der(made("plc")), HOST, NOW)


def test_not_a_certificate(trust: TrustList) -> None:
    """What a server shows may be anything."""
    with pytest.raises(SourceLostError, match="server certificate"):
        trust.check(b"0\x82\x00\x01x", HOST, NOW)


def test_chain() -> None:
    """Of a chain the first is the server's own."""
    own, authority = der(made("plc")), der(made("ca", authority=True))
    assert own_of(own + authority) == own
    for wrong in (b"", b"0\x82", b"\x31\x82\x00\x01x"):
        with pytest.raises(SourceLostError):
            own_of(wrong)
