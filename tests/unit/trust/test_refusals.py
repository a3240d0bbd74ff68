"""What a refused bundle is told: the step, what was expected, and what was found instead."""

import hashlib
import json
from typing import Any

import pytest

from edge_core.trust import (
    PROVENANCE_PREDICATE,
    FileSigner,
    Keyring,
    NotVerifiedError,
    sign_payload,
    sign_statement,
    statement_of,
    verify_bundle,
    verify_release,
)
from edge_core.trust.bundle import BUNDLE_BYTES_MAX, BUNDLES_MAX, refuse_flood

from .made import OTHER, SUBJECT, rule, statement

Changes = dict[str, Any]  # JSON as the attacker sees it
DSSE = "dsseEnvelope"

TAMPERED: dict[str, tuple[Changes, str]] = {
    "another bundle": ({"mediaType": "x"}, r"expected application/vnd\.dev\.sigstore.*found .*x"),
    "a field of its own": ({"surprise": 1}, "strict JSON of a bundle, found bundle: .*surprise"),
    "another payload type": ({"payloadType": "text/plain"}, "found .*text/plain"),
    "another key id": ({"keyid": "somebody"}, "expected none or .*found .*somebody"),
    "a payload that is no base64": ({"payload": "*" * 50}, r"expected payload in .*\*{40}\W*$"),
    "a signature that is no base64": ({"sig": "*"}, "expected signature in canonical base64"),
}


def tampered(raw: bytes, changes: Changes) -> bytes:
    """The bundle with other values, wherever in it they stand."""
    bundle = json.loads(raw)
    for name, value in changes.items():
        envelope = bundle[DSSE]
        places = (envelope["signatures"][0], envelope, bundle)
        next((place for place in places if name in place), bundle)[name] = value
    return json.dumps(bundle).encode()


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered(name: str, keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """Each part that was changed is named, with what stood there."""
    changes, said = TAMPERED[name]
    raw = tampered(sign_statement(statement(), signers["release-a"]), changes)
    with pytest.raises(NotVerifiedError, match=said):
        verify_bundle(raw, keyring, subject=SUBJECT)


STATEMENTS: dict[str, tuple[bytes, str]] = {
    "of no kind": (b"{}", "expected an in-toto statement, found statement: .*subject"),
    "of another kind": (
        statement().encode().replace(b"Statement/v1", b"Statement/v0.1"),
        r"found .*Statement/v0\.1",
    ),
    "about something else": (statement(digest=OTHER).encode(), f"{SUBJECT}, found .*{OTHER[7:]}"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_signed(name: str, keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """A statement that was signed and does not fit is named as well."""
    payload, said = STATEMENTS[name]
    with pytest.raises(NotVerifiedError, match=said):
        verify_bundle(sign_payload(payload, signers["release-a"]), keyring, subject=SUBJECT)


def test_a_provenance_that_is_none(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """What a provenance lacks is named, and each bundle that was refused beside another."""
    hollow = statement_of(PROVENANCE_PREDICATE, {"a": 1}, subjects={"pump": SUBJECT})
    bad = sign_statement(hollow, signers["release-a"])
    said = "expected SLSA provenance v1, found provenance: .*buildDefinition"
    with pytest.raises(NotVerifiedError, match=said):
        verify_release(SUBJECT, [bad], rule(), keyring)
    good = sign_statement(statement(), signers["release-b"])
    said = r"found 1 \(release-b\); one refused at step 12.*; one refused at step 12"
    with pytest.raises(NotVerifiedError, match=said) as refusal:
        verify_release(SUBJECT, [bad, good, bad], rule(threshold=2), keyring)
    first, second = str(refusal.value).split("; one refused at ")[1:]
    assert first == second


def test_a_statement_is_known_by_its_digest(
    keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """The digest is that of the very bytes that were signed."""
    seen = verify_bundle(
        sign_statement(statement(), signers["release-a"]), keyring, subject=SUBJECT
    )
    assert seen.digest == f"sha256:{hashlib.sha256(statement().encode()).hexdigest()}"


def test_as_large_as_it_may_be(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """A bundle may have its full size and not a byte more."""
    raw = sign_statement(statement(), signers["release-a"])
    full = raw + b" " * (BUNDLE_BYTES_MAX - len(raw))
    assert verify_bundle(full, keyring, subject=SUBJECT).payload == statement().encode()
    with pytest.raises(NotVerifiedError, match=f"found {BUNDLE_BYTES_MAX + 1}$"):
        verify_bundle(full + b" ", keyring, subject=SUBJECT)


def test_as_many_as_there_may_be() -> None:
    """So many bundles are looked at, and not one more."""
    refuse_flood([b""] * BUNDLES_MAX)
    with pytest.raises(NotVerifiedError, match=f"found {BUNDLES_MAX + 1}$"):
        refuse_flood([b""] * (BUNDLES_MAX + 1))
