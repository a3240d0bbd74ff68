"""Key-signed Sigstore bundles v0.3: made by a signer, verified offline against pinned keys.

Formats: Sigstore bundle v0.3 (protobuf JSON), DSSE v1.0.2, in-toto Statement v1. A bundle has
one DSSE envelope with exactly one signature and names its key by a hint. Transparency-log
entries and timestamps may be there; with a pinned key they prove nothing we ask for, so they are
not looked at, and a bundle without them is complete.

The steps of `verify_bundle`, in order, each labelled in the code:

 1. size            the bundle is at most BUNDLE_BYTES_MAX long
 2. json            strict JSON of the known shape, no field we do not know
 3. media type      Sigstore bundle v0.3
 4. key material    a public key hint, and neither certificate nor chain
 5. keyring         the hint is that of a pinned key
 6. one signature   the DSSE envelope has exactly one
 7. payload type    in-toto
 8. key id          absent, or equal to the hint
 9. signature       over the PAE, with the hash that the key's curve fixes
10. statement       strict JSON of an in-toto Statement v1
11. subject         one of its subjects is the digest in question

Steps 12 (policy) and 13 (threshold) look at several bundles together: see `release`.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from edge_core.contracts.artefact import BUNDLE_TYPE, Digest
from edge_core.contracts.errors import RefusedError
from edge_core.trust.errors import NotVerifiedError, Step
from edge_core.trust.keys import Keyring, PinnedKey, Signer
from edge_core.trust.statement import STATEMENT_PAYLOAD_TYPE, STATEMENT_TYPE, Statement
from edge_core.trust.strict_json import decode, shown

BUNDLE_BYTES_MAX: Final = 1024 * 1024  # provenance of a large build is some 20 kB
BUNDLES_MAX: Final = 64  # more bundles than signers is a flood, not a release
_MEDIA_TYPES: Final = frozenset(
    {BUNDLE_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3"}
)


class _KeyHint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hint: str


class _Material(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    public_key: _KeyHint | None = None
    certificate: object = None
    x509_certificate_chain: object = None
    # Written even when empty: some readers demand the key.
    tlog_entries: list[object] | None = None
    timestamp_verification_data: object = None


class _Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sig: str
    keyid: str = ""


class _Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _Bundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement that one pinned key has signed.

    Attributes:
        signer: the pinned key.
        statement: what was signed, decoded.
        payload: what was signed, verbatim; another signer signs these very bytes.
        digest: of *payload*.
    """

    signer: PinnedKey
    statement: Statement
    payload: bytes
    digest: Digest


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_payload(payload: bytes, signer: Signer) -> bytes:
    """A bundle in which *signer* signs *payload*, the bytes of an in-toto statement.

    The same bytes go to every signer of a threshold, so that all say the same.
    """
    signature = signer.sign(pae(STATEMENT_PAYLOAD_TYPE, payload))
    bundle = _Bundle(
        media_type=BUNDLE_TYPE,
        verification_material=_Material(public_key=_KeyHint(hint=signer.hint), tlog_entries=[]),
        dsse_envelope=_Envelope(
            payload=base64.b64encode(payload).decode("ascii"),
            payload_type=STATEMENT_PAYLOAD_TYPE,
            signatures=[
                _Signature(sig=base64.b64encode(signature).decode("ascii"), keyid=signer.hint)
            ],
        ),
    )
    return msgspec.json.encode(bundle)


def sign_statement(statement: Statement, signer: Signer) -> bytes:
    """A bundle in which *signer* signs *statement*."""
    return sign_payload(statement.encode(), signer)


def verify_bundle(raw: bytes, keyring: Keyring, *, subject: Digest | None) -> SignedStatement:
    """What a pinned key has signed about *subject*.

    Args:
        raw: the bundle as it came.
        keyring: the pinned keys.
        subject: the digest the statement must be about; None where the predicate itself is the
            subject, as in a channel.

    Raises:
        NotVerifiedError: names the numbered step that failed.
    """
    bundle = _open(raw)  # steps 1 to 3
    signer = _pinned(bundle.verification_material, keyring)  # steps 4 and 5
    payload = _signed(bundle.dsse_envelope, signer)  # steps 6 to 9
    statement = _statement(payload)  # step 10
    # Step 11: subject.
    if subject is not None and not statement.covers(subject):
        found = ", ".join(shown(str(each.digest)) for each in statement.subject[:3])
        raise NotVerifiedError(Step.SUBJECT, expected=subject, found=found)
    digest = f"sha256:{hashlib.sha256(payload).hexdigest()}"
    return SignedStatement(signer=signer, statement=statement, payload=payload, digest=digest)


def refuse_flood(bundles: Sequence[bytes]) -> None:
    """Refuse more bundles than any release or channel has.

    Raises:
        NotVerifiedError: there are more than BUNDLES_MAX.
    """
    if len(bundles) > BUNDLES_MAX:
        raise NotVerifiedError(
            Step.SIZE, expected=f"at most {BUNDLES_MAX} bundles", found=f"{len(bundles)}"
        )


def _open(raw: bytes) -> _Bundle:
    # Step 1: size.
    if len(raw) > BUNDLE_BYTES_MAX:
        raise NotVerifiedError(
            Step.SIZE, expected=f"at most {BUNDLE_BYTES_MAX} bytes", found=f"{len(raw)}"
        )
    # Step 2: json.
    try:
        bundle = decode(raw, _Bundle, what="bundle", bytes_max=BUNDLE_BYTES_MAX)
    except RefusedError as error:
        raise NotVerifiedError(
            Step.JSON, expected="strict JSON of a bundle", found=str(error)
        ) from None
    # Step 3: media type.
    if bundle.media_type not in _MEDIA_TYPES:
        raise NotVerifiedError(
            Step.MEDIA_TYPE, expected=BUNDLE_TYPE, found=shown(bundle.media_type)
        )
    return bundle


def _pinned(material: _Material, keyring: Keyring) -> PinnedKey:
    # Step 4: key material.
    if material.certificate is not None or material.x509_certificate_chain is not None:
        raise NotVerifiedError(
            Step.KEY_MATERIAL, expected="a public key hint alone", found="a certificate"
        )
    if material.public_key is None:
        raise NotVerifiedError(Step.KEY_MATERIAL, expected="a public key hint", found="no key")
    # Step 5: keyring.
    pinned = keyring.by_hint.get(material.public_key.hint)
    if pinned is None:
        raise NotVerifiedError(
            Step.KEYRING,
            expected=f"a key among {', '.join(sorted(keyring.ids)) or 'none'}",
            found=f"hint {shown(material.public_key.hint)}",
        )
    return pinned


def _signed(envelope: _Envelope, signer: PinnedKey) -> bytes:
    # Step 6: one signature.
    if len(envelope.signatures) != 1:
        raise NotVerifiedError(
            Step.ONE_SIGNATURE, expected="1 signature", found=f"{len(envelope.signatures)}"
        )
    # Step 7: payload type.
    if envelope.payload_type != STATEMENT_PAYLOAD_TYPE:
        raise NotVerifiedError(
            Step.PAYLOAD_TYPE, expected=STATEMENT_PAYLOAD_TYPE, found=shown(envelope.payload_type)
        )
    # Step 8: key id.
    (signature,) = envelope.signatures
    if signature.keyid not in {"", signer.key.hint}:
        raise NotVerifiedError(
            Step.KEY_ID, expected=f"none or {signer.key.hint}", found=shown(signature.keyid)
        )
    # Step 9: signature.
    payload = _base64(envelope.payload, what="payload")
    message = pae(envelope.payload_type, payload)
    if not signer.key.verifies(_base64(signature.sig, what="signature"), message):
        raise NotVerifiedError(
            Step.SIGNATURE, expected=f"a signature by {signer.id}", found="one that does not match"
        )
    return payload


def _base64(text: str, *, what: str) -> bytes:
    """Canonical standard base64 only: a lenient reader would accept many texts for one value."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = None
    if decoded is None or base64.b64encode(decoded).decode("ascii") != text:
        raise NotVerifiedError(
            Step.SIGNATURE, expected=f"{what} in canonical base64", found=shown(text[:40])
        )
    return decoded


def _statement(payload: bytes) -> Statement:
    # Step 10: statement.
    try:
        statement = decode(payload, Statement, what="statement", bytes_max=BUNDLE_BYTES_MAX)
    except RefusedError as error:
        raise NotVerifiedError(
            Step.STATEMENT, expected="an in-toto statement", found=str(error)
        ) from None
    if statement.type_ != STATEMENT_TYPE:
        raise NotVerifiedError(
            Step.STATEMENT, expected=STATEMENT_TYPE, found=shown(statement.type_)
        )
    return statement
