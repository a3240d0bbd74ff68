"""The four references of the store and every way they may change; pure and total.

    golden          the first version that was ever committed here; the last resort
    previous_good   what was committed before, to go back to
    committed       what runs unless a trial is on; a trial never moves it
    candidate       what is being tried; effective while it is set

With a separate `candidate` and a `golden`, no order of power cuts, failed trials and forced
rollbacks leaves a gateway without a verified version to go back to; with fewer references one
does. The test walks every reachable state of this very code.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Count, References

REFUNDS_MAX = 5  # tries given back for ends nobody is blamed for; bounded, so every attempt ends
BAD_MAX = 256  # failed digests remembered; the oldest is forgotten first


class Slots(Struct, frozen=True, kw_only=True):
    """The references, and what the candidate has left.

    `bad` maps a digest to the attempt that failed: only a later attempt, which an operator must
    order, may activate it again.
    """

    golden: Digest | None = None
    previous_good: Digest | None = None
    committed: Digest | None = None
    candidate: Digest | None = None
    tries_left: Count = 0
    refunds: Annotated[int, Meta(ge=0, le=REFUNDS_MAX)] = 0
    bad: dict[Digest, Count] = {}

    @property
    def effective(self) -> Digest | None:
        """What runs: the candidate while there is one, else what is committed."""
        return self.candidate if self.candidate is not None else self.committed

    @property
    def referenced(self) -> frozenset[Digest]:
        """What may be neither overwritten nor collected."""
        every = (self.golden, self.previous_good, self.committed, self.candidate)
        return frozenset(digest for digest in every if digest is not None)

    @property
    def shown(self) -> References:
        """As reported to the site."""
        return References(
            golden=self.golden,
            previous_good=self.previous_good,
            committed=self.committed,
            candidate=self.candidate,
        )


class Cause(StrEnum):
    """Why we are starting, as far as anything tells."""

    PROCESS = "process"  # the daemon ended and the kernel did not: held against the candidate
    WATCHDOG = "watchdog"  # the hardware watchdog bit: held against the candidate
    POWER = "power"  # the kernel started anew and no watchdog bit: held against nobody
    ORDERLY = "orderly"  # the daemon was told to stop, and did: held against nobody

    @property
    def blames(self) -> bool:
        """Whether the end of the last run is held against the model that was being tried."""
        return self in {Cause.PROCESS, Cause.WATCHDOG}


@dataclass(frozen=True, slots=True)
class Activate:
    """Try *digest*: it becomes the candidate, with *tries* loads, and the first is paid for."""

    digest: Digest
    attempt: int
    tries: int


@dataclass(frozen=True, slots=True)
class TakeTry:
    """The candidate is about to be loaded again: pay for that first, or give up."""

    cause: Cause = Cause.PROCESS
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Commit:
    """The trial was passed."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """Leave the effective version, which failed in *attempt*; 0 holds nothing against it."""

    attempt: int = 1


Event = Activate | TakeTry | Commit | RollBack


@dataclass(frozen=True, slots=True)
class Refusal:
    """The event does not apply; the record stays as it is."""

    reason: str


def step(slots: Slots, event: Event, verified: AbstractSet[Digest]) -> Slots | Refusal:
    """The references after *event*.

    Args:
        slots: before.
        event: what happens.
        verified: digests whose bytes on this gateway's disk have been verified.
    """
    match event:
        case Activate():
            return _activate(slots, event, verified)
        case TakeTry():
            return _take_try(slots, event)
        case Commit():
            return _commit(slots)
        case RollBack():
            return _roll_back(slots, event, verified)


def rollback_target(slots: Slots, verified: AbstractSet[Digest]) -> Digest | None:
    """Where a rollback of the committed version would go; None if there is nowhere to go."""
    for digest in (slots.previous_good, slots.golden):
        if digest is not None and digest != slots.committed and digest in verified:
            return digest
    return None


def barred(slots: Slots, digest: Digest, attempt: int) -> bool:
    """Whether *digest* failed here in this attempt or a later one."""
    return slots.bad.get(digest, 0) >= attempt


def forbid(slots: Slots, digest: Digest, attempt: int) -> Slots:
    """The same references, with *digest* barred up to and including *attempt*."""
    return msgspec.structs.replace(slots, bad=_with_bad(slots.bad, digest, attempt))


def abandon(slots: Slots, verified: AbstractSet[Digest]) -> Slots:
    """The same references without those whose bytes are gone: what can run begins anew."""

    def kept(digest: Digest | None) -> Digest | None:
        return digest if digest in verified else None

    return msgspec.structs.replace(
        slots,
        golden=kept(slots.golden),
        previous_good=kept(slots.previous_good),
        committed=kept(slots.committed),
    )


def _activate(slots: Slots, event: Activate, verified: AbstractSet[Digest]) -> Slots | Refusal:
    if slots.candidate is not None:
        return Refusal("another candidate is being tried")
    if event.digest == slots.committed:
        return Refusal("already committed")
    if event.digest not in verified:
        return Refusal("not verified")
    if barred(slots, event.digest, event.attempt):
        return Refusal(f"failed here in attempt {slots.bad[event.digest]}; needs a later one")
    if slots.committed is not None and slots.committed not in verified:
        return Refusal("the committed version, to which a failed trial returns, is not verified")
    return msgspec.structs.replace(
        slots,
        candidate=event.digest,
        tries_left=event.tries - 1,
        refunds=0,
        bad={digest: attempt for digest, attempt in slots.bad.items() if digest != event.digest},
    )


def _take_try(slots: Slots, event: TakeTry) -> Slots | Refusal:
    if slots.candidate is None:
        return Refusal("no candidate")
    if not event.cause.blames and slots.refunds < REFUNDS_MAX:
        # Refunding the try and taking the next one leaves the count as it is.
        return msgspec.structs.replace(slots, refunds=slots.refunds + 1)
    if slots.tries_left == 0:
        return _drop_candidate(slots, slots.candidate, event.attempt)
    return msgspec.structs.replace(slots, tries_left=slots.tries_left - 1)


def _commit(slots: Slots) -> Slots | Refusal:
    if slots.candidate is None:
        return Refusal("no candidate")
    return msgspec.structs.replace(
        slots,
        golden=slots.golden or slots.candidate,
        previous_good=slots.committed,
        committed=slots.candidate,
        candidate=None,
        tries_left=0,
        refunds=0,
    )


def _roll_back(slots: Slots, event: RollBack, verified: AbstractSet[Digest]) -> Slots | Refusal:
    if slots.candidate is not None:
        return _drop_candidate(slots, slots.candidate, event.attempt)
    if slots.committed is None:
        return Refusal("no model is committed")
    target = rollback_target(slots, verified)
    if target is None:
        return Refusal("no other verified version on this gateway")
    bad = _with_bad(slots.bad, slots.committed, event.attempt)
    # Whoever orders a return to a version that once failed here has said that it may run.
    bad.pop(target, None)
    return msgspec.structs.replace(slots, committed=target, previous_good=None, bad=bad)


def _drop_candidate(slots: Slots, candidate: Digest, attempt: int) -> Slots:
    # A failed candidate is no target, even if it was the previous good version.
    keeps = slots.previous_good if slots.previous_good != candidate else None
    return msgspec.structs.replace(
        slots,
        candidate=None,
        previous_good=keeps,
        tries_left=0,
        refunds=0,
        bad=_with_bad(slots.bad, candidate, attempt),
    )


def _with_bad(bad: dict[Digest, Count], digest: Digest, attempt: int) -> dict[Digest, Count]:
    if attempt == 0:
        return dict(bad)
    latest = max(attempt, bad.get(digest, 0))
    kept = {other: failed for other, failed in bad.items() if other != digest}
    kept[digest] = latest
    return dict(list(kept.items())[-BAD_MAX:])
