"""A release verifies, or the refusal names the step: every tampering has its row."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.trust import (
    PROVENANCE_PREDICATE,
    SBOM_PREDICATE,
    FileSigner,
    Keyring,
    NotVerifiedError,
    Provenance,
    ResourceDescriptor,
    Rule,
    Step,
    pae,
    sign_payload,
    sign_statement,
    statement_of,
    verify_bundle,
    verify_release,
)

from .made import OTHER, REPOSITORY, SUBJECT, provenance, rule, statement

Bundle = dict[str, Any]  # JSON as the attacker sees it


def test_the_good_release(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """A release signed by a pinned key verifies, and says by whom and how it came to be."""
    bundle = sign_statement(statement(), signers["release-b"])
    verified = verify_release(SUBJECT, [bundle], rule(), keyring)
    assert verified.subject == SUBJECT
    assert verified.signers == ("release-b",)
    assert verified.provenance == provenance()
    assert verified.provenance is not None
    assert verified.provenance.source_uri == f"{REPOSITORY}@refs/tags/v1"


def test_a_bundle_of_other_tools(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """No key id, no list of log entries, or entries nobody asked for: still one good bundle."""
    made: Bundle = json.loads(sign_statement(statement(), signers["release-a"]))
    del made["dsseEnvelope"]["signatures"][0]["keyid"]
    del made["verificationMaterial"]["tlogEntries"]
    verify_release(SUBJECT, [json.dumps(made).encode()], rule(), keyring)
    made["verificationMaterial"]["tlogEntries"] = [{"logIndex": "1"}]
    verify_release(SUBJECT, [json.dumps(made, indent=2).encode()], rule(), keyring)


def _set(*path: str | int, to: object) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        place: Any = bundle
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def _flip_payload(bundle: Bundle) -> None:
    envelope = bundle["dsseEnvelope"]
    text = base64.b64decode(envelope["payload"]).replace(b"pump-state", b"pump-statE")
    envelope["payload"] = base64.b64encode(text).decode()


def _second_signature(bundle: Bundle) -> None:
    signatures = bundle["dsseEnvelope"]["signatures"]
    signatures.append(signatures[0])


def _url_safe(bundle: Bundle) -> None:
    # A payload whose base64 has '+' or '/' would be needed; padding tells just as well.
    bundle["dsseEnvelope"]["payload"] = bundle["dsseEnvelope"]["payload"].rstrip("=") + "==="


def _break_line(bundle: Bundle) -> None:
    bundle["dsseEnvelope"]["payload"] += "\n"


MATERIAL = "verificationMaterial"
DSSE = "dsseEnvelope"
TAMPERED: dict[str, tuple[Callable[[Bundle], None], Step]] = {
    "a byte of the payload": (_flip_payload, Step.SIGNATURE),
    "the media type of another format": (
        _set("mediaType", to="application/vnd.dev.sigstore.bundle.v0.2+json"),
        Step.MEDIA_TYPE,
    ),
    "the payload type": (_set(DSSE, "payloadType", to="application/json"), Step.PAYLOAD_TYPE),
    "an unknown hint": (_set(MATERIAL, "publicKey", "hint", to="bm9ib2R5"), Step.KEYRING),
    "a hint with an escape sequence": (
        _set(MATERIAL, "publicKey", "hint", to="\x1b[2J"),
        Step.KEYRING,
    ),
    "no key": (_set(MATERIAL, "publicKey", to=None), Step.KEY_MATERIAL),
    "a certificate beside the key": (
        _set(MATERIAL, "certificate", to={"rawBytes": ""}),
        Step.KEY_MATERIAL,
    ),
    "a certificate chain beside the key": (
        _set(MATERIAL, "x509CertificateChain", to={"certificates": []}),
        Step.KEY_MATERIAL,
    ),
    "two signatures": (_second_signature, Step.ONE_SIGNATURE),
    "no signature": (_set(DSSE, "signatures", to=[]), Step.ONE_SIGNATURE),
    "another key id": (_set(DSSE, "signatures", 0, "keyid", to="other"), Step.KEY_ID),
    "an empty signature": (_set(DSSE, "signatures", 0, "sig", to=""), Step.SIGNATURE),
    "a signature of rubbish": (_set(DSSE, "signatures", 0, "sig", to="MEUC"), Step.SIGNATURE),
    "a signature that is no base64": (_set(DSSE, "signatures", 0, "sig", to="*"), Step.SIGNATURE),
    "lenient base64: padding": (_url_safe, Step.SIGNATURE),
    "lenient base64: a line break": (_break_line, Step.SIGNATURE),
    "a field nobody knows": (_set("surprise", to=1), Step.JSON),
    "a payload that is no text": (_set(DSSE, "payload", to=7), Step.JSON),
    "a message signature instead": (_set("messageSignature", to={}), Step.JSON),
}


@pytest.mark.parametrize(("change", "step"), TAMPERED.values(), ids=TAMPERED.keys())
def test_tampered(
    change: Callable[[Bundle], None],
    step: Step,
    keyring: Keyring,
    signers: dict[str, FileSigner],
) -> None:
    """Whatever is changed in a bundle, it is refused at the step that is there for it."""
    bundle: Bundle = json.loads(sign_statement(statement(), signers["release-a"]))
    change(bundle)
    with pytest.raises(NotVerifiedError) as refusal:
        verify_release(SUBJECT, [json.dumps(bundle).encode()], rule(), keyring)
    assert refusal.value.step is step
    assert str(refusal.value).isprintable()


TAMPERED_TEXT: dict[str, tuple[Callable[[bytes], bytes], Step]] = {
    "a key twice": (
        lambda raw: raw.replace(b'{"mediaType"', b'{"mediaType":"x","mediaType"', 1),
        Step.JSON,
    ),
    "a NaN": (lambda raw: raw.replace(b'"tlogEntries":[]', b'"tlogEntries":[NaN]'), Step.JSON),
    "cut short": (lambda raw: raw[:-1], Step.JSON),
    "nothing": (lambda raw: raw[:0], Step.JSON),
    "a megabyte of blanks": (lambda raw: raw + b" " * 1024 * 1024, Step.SIZE),
}


@pytest.mark.parametrize(("change", "step"), TAMPERED_TEXT.values(), ids=TAMPERED_TEXT.keys())
def test_tampered_text(
    change: Callable[[bytes], bytes],
    step: Step,
    keyring: Keyring,
    signers: dict[str, FileSigner],
) -> None:
    """JSON that two readers may read in two ways is refused before anything is believed."""
    raw = change(sign_statement(statement(), signers["release-a"]))
    with pytest.raises(NotVerifiedError) as refusal:
        verify_release(SUBJECT, [raw], rule(), keyring)
    assert refusal.value.step is step


SIGNED_RUBBISH: dict[str, tuple[bytes, Step]] = {
    "no JSON": (b"hello", Step.STATEMENT),
    "a key twice": (
        statement().encode().replace(b'"_type"', b'"_type":"x","_type"'),
        Step.STATEMENT,
    ),
    "another statement type": (
        statement().encode().replace(b"Statement/v1", b"Statement/v0.1"),
        Step.STATEMENT,
    ),
    "no subject": (
        json.dumps(json.loads(statement().encode()) | {"subject": []}).encode(),
        Step.STATEMENT,
    ),
    "another subject": (statement(digest=OTHER).encode(), Step.SUBJECT),
    "the digest under another algorithm": (
        statement()
        .encode()
        .replace(b'"sha256":"' + SUBJECT[7:].encode(), b'"sha1":"' + SUBJECT[7:].encode()),
        Step.SUBJECT,
    ),
    "another predicate": (
        statement_of(SBOM_PREDICATE, {}, subjects={"pump": SUBJECT}).encode(),
        Step.POLICY,
    ),
    "no provenance in it": (
        statement_of(PROVENANCE_PREDICATE, {"a": 1}, subjects={"pump": SUBJECT}).encode(),
        Step.POLICY,
    ),
}


@pytest.mark.parametrize(("payload", "step"), SIGNED_RUBBISH.values(), ids=SIGNED_RUBBISH.keys())
def test_signed_rubbish(
    payload: bytes, step: Step, keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """A good signature does not make a good statement."""
    with pytest.raises(NotVerifiedError) as refusal:
        verify_release(SUBJECT, [sign_payload(payload, signers["release-a"])], rule(), keyring)
    assert refusal.value.step is step


def _dependency(name: str, uri: str, **digest: str) -> ResourceDescriptor:
    return ResourceDescriptor(name=name, uri=uri, digest=digest)


_COMMIT = _dependency("source", f"{REPOSITORY}@refs/tags/v1", gitCommit="a1" * 20)
_DATA = _dependency("dataset", "file:field.csv", sha256="0b" * 32)
POLICY: dict[str, tuple[Provenance, Rule, str]] = {
    "another builder": (provenance(), rule(builder_ids=["https://other"]), "builder id among"),
    "another build type": (
        provenance(build_type="https://other"),
        rule(),
        "build type among .*found .*https://other",
    ),
    "a parameter nobody may set": (
        provenance(external_parameters={"shell": "rm"}),
        rule(),
        "external parameter among .*found .*shell",
    ),
    "another repository": (provenance(), rule(sources=["git+https://other"]), "source among"),
    "a repository whose name only begins the same": (
        provenance(
            resolved_dependencies=[
                _dependency("source", f"{REPOSITORY}-evil@v1", gitCommit="a1" * 20),
                _DATA,
            ]
        ),
        rule(),
        "source among .*found .*-evil@v1",
    ),
    "no source": (provenance(resolved_dependencies=[_DATA]), rule(), "found none"),
    "no commit": (
        provenance(resolved_dependencies=[_dependency("source", REPOSITORY), _DATA]),
        rule(),
        "a Git commit of the source, found none$",
    ),
    "a commit cut short": (
        provenance(
            resolved_dependencies=[_dependency("source", REPOSITORY, gitCommit="a1b2c3d"), _DATA]
        ),
        rule(),
        "a Git commit of the source, found .*a1b2c3d",
    ),
    "no data set": (
        provenance(resolved_dependencies=[_COMMIT]),
        rule(),
        "a SHA-256 of the data set",
    ),
    "a data set by another digest": (
        provenance(resolved_dependencies=[_COMMIT, _dependency("dataset", "x", sha1="0b" * 20)]),
        rule(),
        "a SHA-256 of the data set",
    ),
}


@pytest.mark.parametrize(("made", "by", "message"), POLICY.values(), ids=POLICY.keys())
def test_policy(
    made: Provenance,
    by: Rule,
    message: str,
    keyring: Keyring,
    signers: dict[str, FileSigner],
) -> None:
    """A sound signature over a provenance that the rule does not accept is refused at step 12."""
    bundle = sign_statement(statement(made), signers["release-a"])
    with pytest.raises(NotVerifiedError, match=message) as refusal:
        verify_release(SUBJECT, [bundle], by, keyring)
    assert refusal.value.step is Step.POLICY


def test_what_the_rule_does_not_ask_for(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """A rule may do without commit and data set; the source itself it always names."""
    lax = rule(commit_required=False, data_set_required=False)
    made = provenance(resolved_dependencies=[_dependency("source", REPOSITORY)])
    verify_release(SUBJECT, [sign_statement(statement(made), signers["release-a"])], lax, keyring)


THRESHOLD: dict[str, tuple[list[str], bool]] = {
    "two keys": (["release-a", "release-b"], True),
    "three keys": (["release-a", "release-b", "release-c"], True),
    "two keys and a stranger, who harms no one": (["stranger", "release-c", "release-a"], True),
    "one key": (["release-a"], False),
    "the same key twice": (["release-a", "release-a"], False),
    "one key and a stranger": (["release-a", "stranger"], False),
}


@pytest.mark.parametrize(("names", "passes"), THRESHOLD.values(), ids=THRESHOLD.keys())
def test_threshold(
    names: list[str],
    passes: bool,  # noqa: FBT001 - a column of the table
    two_of_three: Rule,
    keyring: Keyring,
    signers: dict[str, FileSigner],
) -> None:
    """Distinct pinned keys count; signing again does not."""
    bundles = [sign_statement(statement(), signers[name]) for name in names]
    if passes:
        verified = verify_release(SUBJECT, bundles, two_of_three, keyring)
        assert verified.signers == tuple(sorted(set(names) - {"stranger"}))
        return
    with pytest.raises(NotVerifiedError, match="expected 2 distinct keys") as refusal:
        verify_release(SUBJECT, bundles, two_of_three, keyring)
    assert refusal.value.step is Step.THRESHOLD


def test_nothing_signed(keyring: Keyring) -> None:
    """No bundle at all is a threshold not met."""
    with pytest.raises(NotVerifiedError, match="found 0"):
        verify_release(SUBJECT, [], rule(), keyring)


def test_a_key_of_another_rule_does_not_count(
    keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """A pinned key that this rule does not name is unknown to it."""
    bundle = sign_statement(statement(), signers["release-a"])
    with pytest.raises(NotVerifiedError) as refusal:
        verify_release(SUBJECT, [bundle], rule(keys=["release-b"]), keyring)
    assert refusal.value.step is Step.KEYRING


def test_every_predicate_needs_its_keys(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """Where an SBOM is required too, two signatures on the provenance do not stand in for it."""
    both = rule(predicate_types=[PROVENANCE_PREDICATE, SBOM_PREDICATE])
    origin = sign_statement(statement(), signers["release-a"])
    bill = sign_statement(
        statement_of(SBOM_PREDICATE, {"bomFormat": "CycloneDX"}, subjects={"pump": SUBJECT}),
        signers["release-b"],
    )
    verify_release(SUBJECT, [bill, origin], both, keyring)
    with pytest.raises(NotVerifiedError, match=SBOM_PREDICATE):
        verify_release(SUBJECT, [origin], both, keyring)


def test_the_bundle_that_came_farthest_is_told_of(
    keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """Where every bundle fails, the refusal is that of the one that failed last of all steps."""
    unwanted = sign_statement(
        statement_of(SBOM_PREDICATE, {}, subjects={"pump": SUBJECT}), signers["release-a"]
    )
    foreign = sign_statement(statement(), signers["stranger"])
    for bundles in ([b"{", unwanted, foreign], [foreign, b"{", unwanted]):
        with pytest.raises(NotVerifiedError, match=f"found .*{SBOM_PREDICATE}") as refusal:
            verify_release(SUBJECT, bundles, rule(), keyring)
        assert refusal.value.step is Step.POLICY


def test_what_is_short_of_a_threshold_says_why(
    two_of_three: Rule, keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """It names the keys that count, and at most three of the bundles that do not."""
    stranger = sign_statement(statement(), signers["stranger"])
    bundles = [sign_statement(statement(), signers["release-a"]), *[stranger] * 4]
    with pytest.raises(NotVerifiedError, match=r"found 1 \(release-a\); one refused") as refusal:
        verify_release(SUBJECT, bundles, two_of_three, keyring)
    assert str(refusal.value).count("; one refused at ") == 3


def test_a_flood_is_refused(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """More bundles than any release has are not looked at."""
    bundle = sign_statement(statement(), signers["release-a"])
    with pytest.raises(NotVerifiedError, match="at most 64 bundles"):
        verify_release(SUBJECT, [bundle] * 65, rule(), keyring)


def test_a_second_signer_signs_the_same_bytes(
    keyring: Keyring, signers: dict[str, FileSigner], two_of_three: Rule
) -> None:
    """Who signs after another signs what that one has signed, and one statement is counted."""
    first = sign_statement(statement(), signers["release-a"])
    seen = verify_bundle(first, keyring, subject=SUBJECT)
    second = sign_payload(seen.payload, signers["release-b"])
    verified = verify_release(SUBJECT, [first, second], two_of_three, keyring)
    assert verified.statements == (seen.digest,)


def test_pae_is_what_the_specification_shows() -> None:
    """The example of the DSSE specification, protocol.md."""
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@settings(max_examples=200, deadline=None)  # a busy machine is no failure
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_no_changed_byte_changes_the_meaning(
    position: int, value: int, keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """One byte changed anywhere: refused, or the very same statement still comes out."""
    raw = bytearray(sign_statement(statement(), signers["release-a"]))
    raw[position % len(raw)] = value
    try:
        seen = verify_bundle(bytes(raw), keyring, subject=SUBJECT)
    except NotVerifiedError:
        return
    assert seen.payload == statement().encode()
