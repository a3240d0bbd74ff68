"""Channels: the attack table, and what signing has to do with it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.artefact import Channel, ReleaseRef
from edge_core.contracts.errors import RefusedError
from edge_core.trust import (
    CHANNEL_PREDICATE,
    ChannelMark,
    DocumentForkedError,
    DocumentRolledBackError,
    DocumentRule,
    FileSigner,
    Keyring,
    NotVerifiedError,
    Step,
    accept_channel,
    channel_digest,
    channel_statement,
    sign_channel,
    sign_statement,
    statement_of,
    verify_channel,
)

from .made import KEY_IDS, SUBJECT, statement

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ONE = DocumentRule(keys=list(KEY_IDS))
TWO = DocumentRule(keys=list(KEY_IDS), threshold=2)


def channel(sequence: int = 7, **changes: object) -> Channel:
    """The channel of the pump site."""
    plain = Channel(
        site="north",
        sequence=sequence,
        issued="2026-11-20T00:00:00Z",
        expires="2026-12-20T00:00:00Z",
        releases=[ReleaseRef(model="pump-state", version="1.0", release=1, digest=SUBJECT)],
    )
    return msgspec.structs.replace(plain, **changes)


def mark(sequence: int = 7, site: str = "north") -> ChannelMark:
    """What is remembered of the channel with *sequence*."""
    return ChannelMark(site=site, sequence=sequence, digest=channel_digest(channel(sequence)))


@dataclass(frozen=True)
class Case:
    """A row: what was seen, what comes, and what is made of it."""

    seen: ChannelMark | None
    comes: Channel
    refused: type[RefusedError] | None = None
    changed: bool = True
    stale: bool = False


CASES = {
    "the first day takes any": Case(None, channel()),
    "the next one is taken": Case(mark(6), channel(7)),
    "numbers may be left out": Case(mark(2), channel(7)),
    "the same again changes nothing": Case(mark(7), channel(7), changed=False),
    "a lower one is an attack": Case(mark(8), channel(7), refused=DocumentRolledBackError),
    "the same number with other content is an attack": Case(
        mark(7), channel(7, releases=[]), refused=DocumentForkedError
    ),
    "the same number with a later expiry is an attack": Case(
        mark(7), channel(7, expires="2027-12-20T00:00:00Z"), refused=DocumentForkedError
    ),
    "a lower one is an attack even when expired": Case(
        mark(8),
        channel(7, expires="2026-11-21T00:00:00Z"),
        refused=DocumentRolledBackError,
    ),
    "an expired one is taken and marked stale": Case(
        mark(6), channel(7, expires="2026-11-21T00:00:00Z"), stale=True
    ),
    "the one in force goes stale and stays": Case(
        ChannelMark(
            site="north",
            sequence=7,
            digest=channel_digest(channel(7, expires="2026-11-22T12:00:00Z")),
        ),
        channel(7, expires="2026-11-22T12:00:00Z"),
        changed=False,
        stale=True,
    ),
    "that of another site is refused": Case(
        mark(6, site="south"), channel(7), refused=RefusedError
    ),
    "an instant without a zone is refused": Case(
        None, channel(7, expires="2026-12-20T00:00:00"), refused=RefusedError
    ),
    "an instant that is none is refused": Case(
        None, channel(7, issued="yesterday"), refused=RefusedError
    ),
    "expiry at issue is refused": Case(
        None, channel(7, expires="2026-11-20T00:00:00Z"), refused=RefusedError
    ),
    "an instant counts with its zone": Case(
        mark(6), channel(7, expires="2026-11-22T13:30:00+02:00"), stale=True
    ),
    "expiry before issue is refused": Case(
        None, channel(7, expires="2026-11-19T00:00:00Z"), refused=RefusedError
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_accept(case: Case) -> None:
    """A channel goes forward or not at all, and expiry is a flag."""
    if case.refused is not None:
        with pytest.raises(case.refused) as refusal:
            accept_channel(case.seen, case.comes, NOW)
        assert type(refusal.value) is case.refused
        assert str(refusal.value).startswith("channel")
        return
    accepted = accept_channel(case.seen, case.comes, NOW)
    assert (accepted.changed, accepted.stale) == (case.changed, case.stale)
    assert accepted.mark.sequence == case.comes.sequence
    assert accepted.channel == case.comes


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(1, 9), max_size=20))
def test_never_goes_back(sequences: list[int]) -> None:
    """Whatever comes in whatever order, what is accepted never has a lower number."""
    seen: ChannelMark | None = None
    highest = 0
    for sequence in sequences:
        try:
            seen = accept_channel(seen, channel(sequence), NOW).mark
        except DocumentRolledBackError:
            assert sequence < highest
        else:
            assert sequence >= highest
            highest = sequence


def test_signed_and_verified(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """What two keys have signed comes out as it went in, also when it names no release."""
    for document in (channel(), channel(releases=[])):
        bundles = [sign_channel(document, signers[name]) for name in ("release-a", "release-c")]
        assert verify_channel(bundles, TWO, keyring, site="north") == document


def test_the_newest_with_enough_keys(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """An older one beside it does no harm, and a newer one with too few keys is not taken."""
    bundles = [
        *(sign_channel(channel(7), signers[name]) for name in ("release-a", "release-b")),
        *(sign_channel(channel(8), signers[name]) for name in ("release-a", "release-b")),
        sign_channel(channel(9), signers["release-a"]),
    ]
    assert verify_channel(bundles, TWO, keyring, site="north").sequence == 8


def test_signers_must_agree(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """Two keys over two documents are one key each."""
    bundles = [
        sign_channel(channel(7), signers["release-a"]),
        sign_channel(channel(8), signers["release-b"]),
    ]
    with pytest.raises(NotVerifiedError) as refusal:
        verify_channel(bundles, TWO, keyring, site="north")
    assert refusal.value.step is Step.THRESHOLD


def test_a_bad_bundle_harms_no_one(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """Whoever can add a bundle cannot take a good channel away, and too few say how many."""
    good = sign_channel(channel(), signers["release-a"])
    bad = sign_channel(channel(9), signers["stranger"])
    assert verify_channel([bad, good, b"{}"], ONE, keyring, site="north").sequence == 7
    with pytest.raises(NotVerifiedError, match=r"expected 2 distinct keys, found 1$"):
        verify_channel([bad, good], TWO, keyring, site="north")
    with pytest.raises(NotVerifiedError, match=r"expected 2 distinct keys, found 0$"):
        verify_channel([], TWO, keyring, site="north")


def test_the_bundle_that_came_farthest_is_told_of(
    keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """Where every bundle fails, the refusal is that of the one that failed last of all steps."""
    far = sign_channel(channel(site="south"), signers["release-a"])
    foreign = sign_channel(channel(), signers["stranger"])
    for bundles in ([b"{}", far, foreign], [foreign, far, b"{}"]):
        with pytest.raises(NotVerifiedError, match="expected site 'north', found 'south'"):
            verify_channel(bundles, ONE, keyring, site="north")


def test_what_it_is_about() -> None:
    """The channel by its site, and every release that it names."""
    names = [each.name for each in channel_statement(channel()).subject]
    assert names == ["channel/north", "pump-state:1.0"]


def test_what_a_refusal_says(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """It names what was expected and what was found."""
    signer, good = signers["release-a"], channel_statement(channel())
    rows: dict[bytes, str] = {
        sign_statement(statement(), signer): f"expected {CHANNEL_PREDICATE}, found .*provenance",
        sign_statement(
            statement_of(CHANNEL_PREDICATE, good.predicate, subjects={"x": SUBJECT}), signer
        ): f"expected {channel_digest(channel())}, found other subjects",
        sign_statement(
            statement_of(CHANNEL_PREDICATE, {"site": "north"}, subjects={"x": SUBJECT}), signer
        ): "expected a channel document, found channel: .*sequence",
    }
    for raw, said in rows.items():
        with pytest.raises(NotVerifiedError, match=said):
            verify_channel([raw], ONE, keyring, site="north")


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    """The digest of a channel is over compact JSON with sorted keys, as any tool can make it."""
    encoded = json.dumps(
        msgspec.to_builtins(channel()), sort_keys=True, separators=(",", ":")
    ).encode()
    assert channel_digest(channel()) == f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def test_what_is_no_channel(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """Other statements, other sites, other subjects, other shapes and strangers are refused."""
    signer = signers["release-a"]
    good = channel_statement(channel())
    rows: dict[bytes, Step] = {
        sign_statement(statement(), signer): Step.POLICY,
        sign_channel(channel(site="south"), signer): Step.POLICY,
        sign_statement(
            statement_of(CHANNEL_PREDICATE, good.predicate, subjects={"x": SUBJECT}), signer
        ): Step.SUBJECT,
        sign_statement(
            statement_of(CHANNEL_PREDICATE, {"site": "north"}, subjects={"x": SUBJECT}), signer
        ): Step.POLICY,
        sign_channel(channel(), signers["stranger"]): Step.KEYRING,
        b"{}": Step.JSON,
    }
    for raw, step in rows.items():
        with pytest.raises(NotVerifiedError) as refusal:
            verify_channel([raw], ONE, keyring, site="north")
        assert refusal.value.step is step


def test_a_channel_that_nobody_would_accept_is_not_signed(signers: dict[str, FileSigner]) -> None:
    """The signer is told, not the plant."""
    with pytest.raises(RefusedError, match="RFC 3339"):
        sign_channel(channel(expires="soon"), signers["release-a"])
