"""The channel: which releases are current for a site, signed, monotonic, expiring.

A channel travels as key-signed bundles like any other statement. Its predicate is the document;
its subjects are the document itself and the releases it names. What was accepted is remembered as
a `ChannelMark`; a caller keeps that on disk before acting on the channel.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from edge_core.contracts.artefact import Channel, Digest
from edge_core.contracts.errors import RefusedError
from edge_core.trust.bundle import refuse_flood, sign_statement, verify_bundle
from edge_core.trust.errors import (
    ChannelForkedError,
    ChannelRolledBackError,
    NotVerifiedError,
    Step,
)
from edge_core.trust.keys import Keyring, Signer
from edge_core.trust.policy import ChannelRule
from edge_core.trust.statement import CHANNEL_PREDICATE, Statement, statement_of
from edge_core.trust.strict_json import convert, shown


class ChannelMark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The highest channel accepted so far for a site: what must survive a power cut."""

    site: str
    sequence: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Accepted:
    """A channel that may be acted on.

    Attributes:
        channel: the document.
        mark: what to remember, on disk, before acting.
        changed: it is not the one accepted before.
        stale: it has expired. That stops new rollouts and raises an alarm; it never stops a
            running model and never a rollback.
    """

    channel: Channel
    mark: ChannelMark
    changed: bool
    stale: bool


def channel_digest(channel: Channel) -> Digest:
    """Digest of the document in its one canonical form: compact JSON with sorted keys."""
    encoded = msgspec.json.encode(channel, order="sorted")
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def channel_statement(channel: Channel) -> Statement:
    """The statement a signer of *channel* signs."""
    releases = {
        f"{release.model}:{release.version}": release.digest for release in channel.releases
    }
    return statement_of(
        CHANNEL_PREDICATE,
        msgspec.to_builtins(channel),
        subjects={f"channel/{channel.site}": channel_digest(channel), **releases},
    )


def sign_channel(channel: Channel, signer: Signer) -> bytes:
    """A bundle in which *signer* signs *channel*.

    Raises:
        RefusedError: its instants make no sense, so no one would accept it.
    """
    _instants(channel)
    return sign_statement(channel_statement(channel), signer)


def verify_channel(
    bundles: Sequence[bytes], rule: ChannelRule, keyring: Keyring, *, site: str
) -> Channel:
    """The newest document for *site* that enough distinct keys have signed.

    Raises:
        NotVerifiedError: names the step: of the threshold if some bundles passed and too few,
            else of the bundle that came farthest.
    """
    refuse_flood(bundles)
    trusted = keyring.only(rule.keys)
    signers: defaultdict[Digest, set[str]] = defaultdict(set)
    documents: dict[Digest, Channel] = {}
    failures: list[NotVerifiedError] = []
    for raw in bundles:
        try:
            signer, channel = _document(raw, trusted, site=site)
        except NotVerifiedError as failure:
            failures.append(failure)
        else:
            digest = channel_digest(channel)
            documents[digest] = channel
            signers[digest].add(signer)
    if failures and not documents:
        raise max(failures, key=lambda failure: failure.step)
    enough = [documents[each] for each in documents if len(signers[each]) >= rule.threshold]
    if not enough:
        most = max((len(ids) for ids in signers.values()), default=0)
        raise NotVerifiedError(
            Step.THRESHOLD, expected=f"{rule.threshold} distinct keys", found=f"{most}"
        )
    return max(enough, key=lambda channel: channel.sequence)


def accept_channel(seen: ChannelMark | None, channel: Channel, now: datetime) -> Accepted:
    """Whether a verified *channel* may follow what was *seen*.

    Args:
        seen: the mark of the last accepted one, None on a site's first day.
        channel: verified by `verify_channel`.
        now: decides about `stale` alone, so that a wrong clock stops nothing that runs.

    Raises:
        ChannelRolledBackError: a lower sequence than seen.
        ChannelForkedError: the sequence seen, with other content.
        RefusedError: the mark is of another site, or an instant makes no sense.
    """
    mark = ChannelMark(
        site=channel.site, sequence=channel.sequence, digest=channel_digest(channel)
    )
    if seen is not None:
        _refuse_step_back(seen, mark)
    _, expires = _instants(channel)
    return Accepted(channel=channel, mark=mark, changed=mark != seen, stale=now >= expires)


def _refuse_step_back(seen: ChannelMark, mark: ChannelMark) -> None:
    if mark.site != seen.site:
        raise RefusedError(f"channel: expected site {seen.site!r}, found {mark.site!r}")
    if mark.sequence < seen.sequence:
        raise ChannelRolledBackError(
            f"channel of {mark.site}: expected sequence {seen.sequence} or higher, "
            f"found {mark.sequence}"
        )
    if mark.sequence == seen.sequence and mark.digest != seen.digest:
        raise ChannelForkedError(
            f"channel of {mark.site}: sequence {mark.sequence} was {seen.digest}, "
            f"found it again as {mark.digest}"
        )


def _document(raw: bytes, keyring: Keyring, *, site: str) -> tuple[str, Channel]:
    signed = verify_bundle(raw, keyring, subject=None)
    statement = signed.statement
    if statement.predicate_type != CHANNEL_PREDICATE:
        raise NotVerifiedError(
            Step.POLICY, expected=CHANNEL_PREDICATE, found=shown(statement.predicate_type)
        )
    try:
        channel = convert(statement.predicate, Channel, what="channel")
        _instants(channel)
    except RefusedError as error:
        raise NotVerifiedError(
            Step.POLICY, expected="a channel document", found=str(error)
        ) from None
    if not statement.covers(channel_digest(channel)):
        raise NotVerifiedError(
            Step.SUBJECT, expected=channel_digest(channel), found="other subjects"
        )
    if channel.site != site:
        raise NotVerifiedError(Step.POLICY, expected=f"site {site!r}", found=repr(channel.site))
    return signed.signer.id, channel


def _instants(channel: Channel) -> tuple[datetime, datetime]:
    issued, expires = _instant(channel.issued), _instant(channel.expires)
    if expires <= issued:
        raise RefusedError(f"channel: expected expires after {channel.issued}, found earlier")
    return issued, expires


def _instant(text: str) -> datetime:
    try:
        instant = msgspec.convert(text, type=datetime)
    except msgspec.ValidationError:
        raise RefusedError(f"channel: expected an RFC 3339 instant, found {shown(text)}") from None
    if instant.tzinfo is None:
        raise RefusedError(f"channel: expected an instant with its zone, found {shown(text)}")
    return instant.astimezone(UTC)
