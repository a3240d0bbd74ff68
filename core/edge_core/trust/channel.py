"""The channel: which releases are current for a site, signed, monotonic, expiring.

Its subjects are the document itself and the releases it names. What was accepted is remembered as
a `ChannelMark`; a caller keeps that on disk before acting on the channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from edge_core.contracts.artefact import Channel, Digest
from edge_core.contracts.errors import RefusedError
from edge_core.trust.documents import (
    Kind,
    Seen,
    document_digest,
    document_statement,
    instants,
    refuse_step_back,
    sign_document,
    verify_documents,
)
from edge_core.trust.errors import NotVerifiedError, Step
from edge_core.trust.keys import Keyring, Signer
from edge_core.trust.policy import DocumentRule
from edge_core.trust.statement import CHANNEL_PREDICATE, Statement


def _subjects(channel: Channel) -> dict[str, Digest]:
    return {f"{release.model}:{release.version}": release.digest for release in channel.releases}


_KIND: Final = Kind("channel", CHANNEL_PREDICATE, Channel, _subjects)


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
    return document_digest(channel)


def channel_statement(channel: Channel) -> Statement:
    """The statement a signer of *channel* signs."""
    return document_statement(_KIND, channel, f"channel/{channel.site}")


def sign_channel(channel: Channel, signer: Signer) -> bytes:
    """A bundle in which *signer* signs *channel*.

    Raises:
        RefusedError: a name, a number or an instant makes no sense, so no one would accept it.
    """
    return sign_document(_KIND, channel, f"channel/{channel.site}", signer)


def verify_channel(
    bundles: Sequence[bytes], rule: DocumentRule, keyring: Keyring, *, site: str
) -> Channel:
    """The newest document for *site* that enough distinct keys have signed.

    Raises:
        NotVerifiedError: names the step: of the threshold if some bundles passed and too few,
            else of the bundle that came farthest.
    """

    def check(channel: Channel) -> None:
        if channel.site != site:
            expected, found = f"site {site!r}", repr(channel.site)
            raise NotVerifiedError(Step.POLICY, expected=expected, found=found)

    return verify_documents(bundles, rule, keyring, _KIND, check).document


def accept_channel(seen: ChannelMark | None, channel: Channel, now: datetime) -> Accepted:
    """Whether a verified *channel* may follow what was *seen*.

    Args:
        seen: the mark of the last accepted one, None on a site's first day.
        channel: verified by `verify_channel`.
        now: decides about `stale` alone, so that a wrong clock stops nothing that runs.

    Raises:
        DocumentRolledBackError: a lower sequence than seen.
        DocumentForkedError: the sequence seen, with other content.
        RefusedError: the mark is of another site, or an instant makes no sense.
    """
    mark = ChannelMark(
        site=channel.site, sequence=channel.sequence, digest=channel_digest(channel)
    )
    if seen is not None:
        if mark.site != seen.site:
            raise RefusedError(f"channel: expected site {seen.site!r}, found {mark.site!r}")
        before, comes = Seen(seen.sequence, seen.digest), Seen(mark.sequence, mark.digest)
        refuse_step_back(f"channel of {mark.site}", before, comes)
    _, expires = instants("channel", channel)
    return Accepted(channel=channel, mark=mark, changed=mark != seen, stale=now >= expires)
