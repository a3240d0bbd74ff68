"""Signed documents that only go forward: what channels and plans have in common.

A document travels as key-signed bundles like any other statement. It is the predicate, and its
digest is among the subjects: SHA-256 over compact JSON with sorted keys, of the document as it was
written, so that a reader which knows more settings than the signer comes to the same digest.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import RefusedError
from edge_core.trust.bundle import refuse_flood, sign_statement, verify_bundle
from edge_core.trust.errors import (
    DocumentForkedError,
    DocumentRolledBackError,
    NotVerifiedError,
    Step,
)
from edge_core.trust.keys import Keyring, Signer
from edge_core.trust.policy import DocumentRule
from edge_core.trust.statement import Statement, statement_of
from edge_core.trust.strict_json import convert, shown


class Document(Protocol):
    """What every such document has: a number that only grows, and two instants (RFC 3339)."""

    @property
    def sequence(self) -> int:
        """Higher than that of every document before it."""
        ...

    @property
    def issued(self) -> str:
        """When it was signed."""
        ...

    @property
    def expires(self) -> str:
        """Until when it may begin something new."""
        ...


D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Kind(Generic[D]):
    """One kind of document.

    Attributes:
        what: how messages call it, for example `channel`.
        predicate: the type of the statement.
        shape: what the predicate is decoded into; unknown fields are refused.
        subjects: what else the statement is about: names and digests.
    """

    what: str
    predicate: str
    shape: type[D]
    subjects: Callable[[D], Mapping[str, Digest]]


@dataclass(frozen=True, slots=True)
class Signed(Generic[D]):
    """A document that enough distinct keys have signed.

    Attributes:
        document: what they signed.
        digest: of it, as it was written.
        signers: ids of the keys.
    """

    document: D
    digest: Digest
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of the newest document: its number, and its digest."""

    sequence: int
    digest: Digest


def document_digest(document: object) -> Digest:
    """Digest of *document* in its one canonical form: compact JSON with sorted keys."""
    encoded = msgspec.json.encode(document, order="sorted")
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def document_statement(kind: Kind[D], document: D, name: str) -> Statement:
    """The statement a signer of *document* signs; *name* is for people."""
    subjects = {name: document_digest(document), **kind.subjects(document)}
    return statement_of(kind.predicate, msgspec.to_builtins(document), subjects=subjects)


def sign_document(kind: Kind[D], document: D, name: str, signer: Signer) -> bytes:
    """A bundle in which *signer* signs *document*.

    Raises:
        RefusedError: a name, a number or an instant makes no sense, so no one would accept it.
    """
    convert(msgspec.to_builtins(document), kind.shape, what=kind.what)
    instants(kind.what, document)
    return sign_statement(document_statement(kind, document, name), signer)


def verify_documents(
    bundles: Sequence[bytes],
    rule: DocumentRule,
    keyring: Keyring,
    kind: Kind[D],
    check: Callable[[D], None],
) -> Signed[D]:
    """The newest document that enough distinct keys have signed.

    Args:
        bundles: one signature each.
        rule: whose signatures count, and how many it takes.
        keyring: all keys of the policy.
        kind: what is looked for.
        check: raises NotVerifiedError for a document that is not for us.

    Raises:
        NotVerifiedError: names the step: of the threshold if some bundles passed and too few,
            else of the bundle that came farthest.
    """
    refuse_flood(bundles)
    trusted = keyring.only(rule.keys)
    signers: defaultdict[Digest, set[str]] = defaultdict(set)
    documents: dict[Digest, D] = {}
    failures: list[NotVerifiedError] = []
    for raw in bundles:
        try:
            signer, digest, document = _document(raw, trusted, kind)
            check(document)
        except NotVerifiedError as failure:
            failures.append(failure)
        else:
            documents[digest] = document
            signers[digest].add(signer)
    if failures and not documents:
        raise max(failures, key=lambda failure: failure.step)
    enough = [each for each in documents if len(signers[each]) >= rule.threshold]
    if not enough:
        most = max((len(ids) for ids in signers.values()), default=0)
        raise NotVerifiedError(
            Step.THRESHOLD, expected=f"{rule.threshold} distinct keys", found=f"{most}"
        )
    newest = max(enough, key=lambda digest: documents[digest].sequence)
    return Signed(documents[newest], newest, tuple(sorted(signers[newest])))


def refuse_step_back(what: str, seen: Seen, comes: Seen) -> None:
    """See that what *comes* may follow what was *seen*; the same again may.

    Raises:
        DocumentRolledBackError: a lower sequence than seen.
        DocumentForkedError: the sequence seen, with other content.
    """
    if comes.sequence < seen.sequence:
        raise DocumentRolledBackError(
            f"{what}: expected sequence {seen.sequence} or higher, found {comes.sequence}"
        )
    if comes.sequence == seen.sequence and comes.digest != seen.digest:
        raise DocumentForkedError(
            f"{what}: sequence {comes.sequence} was {seen.digest}, "
            f"found it again as {comes.digest}"
        )


def instants(what: str, document: Document) -> tuple[datetime, datetime]:
    """When *document* was issued and when it expires, in UTC.

    Raises:
        RefusedError: one is no instant with a zone, or it expires before it was issued.
    """
    issued, expires = _instant(what, document.issued), _instant(what, document.expires)
    if expires <= issued:
        raise RefusedError(f"{what}: expected expires after {document.issued}, found earlier")
    return issued, expires


def _document(raw: bytes, keyring: Keyring, kind: Kind[D]) -> tuple[str, Digest, D]:
    signed = verify_bundle(raw, keyring, subject=None)
    statement = signed.statement
    if statement.predicate_type != kind.predicate:
        raise NotVerifiedError(
            Step.POLICY, expected=kind.predicate, found=shown(statement.predicate_type)
        )
    try:
        document = convert(statement.predicate, kind.shape, what=kind.what)
        instants(kind.what, document)
    except RefusedError as error:
        raise NotVerifiedError(
            Step.POLICY, expected=f"a {kind.what} document", found=str(error)
        ) from None
    digest = document_digest(statement.predicate)
    if not statement.covers(digest):
        raise NotVerifiedError(Step.SUBJECT, expected=digest, found="other subjects")
    return signed.signer.id, digest, document


def _instant(what: str, text: str) -> datetime:
    try:
        instant = msgspec.convert(text, type=datetime)
    except msgspec.ValidationError:
        raise RefusedError(f"{what}: expected an RFC 3339 instant, found {shown(text)}") from None
    if instant.tzinfo is None:
        raise RefusedError(f"{what}: expected an instant with its zone, found {shown(text)}")
    return instant.astimezone(UTC)
