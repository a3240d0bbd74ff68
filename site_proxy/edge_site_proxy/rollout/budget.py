"""May this gateway download now, and how much? Bytes, places and hours of the whole site; pure.

Bytes are given out as tokens and counted when they are given, whether they are used or not. A
period's bytes are kept in slots; a slot counts until a whole period after its end. So in any
period, wherever it begins, at most the budget is given out, and what is pulled in it is at most
that and one token a gateway that had one when it began.

The ledger's clock goes on only while we run: a restart makes a period longer and never shorter.
"""

from dataclasses import dataclass
from datetime import datetime
from math import floor
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from edge_core.contracts.gateway import Count, Share
from edge_core.contracts.rollout import ChangeWindow, Policy
from edge_site_proxy.rollout.windows import describe, download_allowed, next_span, open_span

MIB = 1024 * 1024
SLOTS = 24  # of a period; more would be finer and longer rows
TOKEN_BYTES_MIN = MIB  # less than that is not worth a question
RETRY_S_MAX = 300.0  # the configuration may change, and a period may be long
RETRY_S_MIN = 5.0


class Downloads(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the downloads of gateways may take of the plant's network.

    Attributes:
        budget_bytes: given out in any period; none is no bound.
        period_s: of the budget.
        token_bytes: the most a gateway gets at once; then it asks again.
        pullers_max: gateways that download at the same time; 0 is no bound.
        rate_bytes_s: that each of them keeps to; 0 is no bound.
        stagger_s: between two that begin.
        lease_s: a gateway that asks for no more bytes for so long gives its place to another.
        shift: hours of production, in which downloads hold back.
        shift_share: of the budget, that may be given out in them.
    """

    budget_bytes: Annotated[int, Meta(ge=TOKEN_BYTES_MIN)] | None = None
    period_s: Annotated[float, Meta(ge=60)] = 86_400.0
    token_bytes: Annotated[int, Meta(ge=TOKEN_BYTES_MIN)] = 64 * MIB
    pullers_max: Count = 0
    rate_bytes_s: Annotated[float, Meta(ge=0)] = 0.0
    stagger_s: Annotated[float, Meta(ge=0)] = 0.0
    lease_s: Annotated[float, Meta(gt=0)] = 900.0
    shift: list[ChangeWindow] = []
    shift_share: Share = 0.5

    @property
    def bounded(self) -> bool:
        """Whether anything here holds a download back."""
        return self.budget_bytes is not None or self.pullers_max > 0 or self.rate_bytes_s > 0


class Ledger(Struct, frozen=True, kw_only=True):
    """Bytes that were given out, by slot of the ledger's own clock."""

    clock_s: float = 0.0
    slots: dict[int, int] = {}


class Token(Struct, frozen=True, kw_only=True):
    """One gateway that may download, and how many bytes it was given last."""

    serial: str
    rollout: str
    digest: str
    bytes: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PullAsk:
    """One question for bytes.

    Attributes:
        missing: bytes that the gateway wants.
        pullers: other gateways that download now.
        begins: whether it takes a place that it does not have yet.
        since_last_s: since a place was taken last; none if that never happened.
        ledger: with its clock at this moment.
        now: wall time, for windows.
        clock_trusted: whether that can open one.
    """

    missing: int
    pullers: tuple[str, ...]
    begins: bool
    since_last_s: float | None
    ledger: Ledger
    now: datetime
    clock_trusted: bool


@dataclass(frozen=True, slots=True)
class Pull:
    """So many bytes may come."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: why, in one line, and when to ask again."""

    reason: str
    retry_after_s: float


def metered(limits: Downloads, policy: Policy) -> bool:
    """Whether gateways have to ask before they download."""
    return limits.bounded or bool(policy.download_windows)


def decide(ask: PullAsk, limits: Downloads, policy: Policy) -> Pull | Wait:
    """Whether bytes may come, and how many."""
    waits = _closed(ask, policy)
    if waits is None and ask.begins:
        waits = _crowded(ask, limits) or _staggered(ask, limits)
    return waits or _bytes(ask, limits)


def given(ledger: Ledger, limits: Downloads, size_bytes: int) -> Ledger:
    """*ledger* after a token of *size_bytes*; slots that no longer count are dropped."""
    slot = floor(ledger.clock_s / _width_s(limits))
    slots = {
        each: count
        for each, count in ledger.slots.items()
        if _counts(each, limits, ledger.clock_s)
    }
    slots[slot] = slots.get(slot, 0) + size_bytes
    return replace(ledger, slots=slots)


def used(ledger: Ledger, limits: Downloads, in_s: float = 0.0) -> int:
    """Bytes that will still count *in_s* seconds from now."""
    at_s = ledger.clock_s + in_s
    return sum(count for slot, count in ledger.slots.items() if _counts(slot, limits, at_s))


def obtainable(ask: PullAsk, limits: Downloads, policy: Policy, within_s: float) -> int | None:
    """How many bytes the site can give out in the next *within_s* seconds; None is no bound."""
    open_s = _open_s(policy, ask, within_s)
    bounds: list[float] = []
    if limits.rate_bytes_s > 0 and limits.pullers_max > 0:
        bounds.append(limits.rate_bytes_s * limits.pullers_max * open_s)
    if limits.budget_bytes is not None:
        periods = floor(within_s / limits.period_s)
        rest = used(ask.ledger, limits, within_s % limits.period_s)
        bounds.append(limits.budget_bytes * (periods + 1) - rest if open_s else 0)
    if policy.download_windows and not open_s:
        bounds.append(0)
    return None if not bounds else max(0, floor(min(bounds)))


def takes_s(limits: Downloads, size_bytes: int) -> float:
    """How long the site takes to give out so many bytes, at the pace of its bounds, in seconds."""
    paces = [0.0]
    if limits.budget_bytes is not None:
        paces.append(size_bytes / limits.budget_bytes * limits.period_s)
    if limits.rate_bytes_s > 0 and limits.pullers_max > 0:
        paces.append(size_bytes / (limits.rate_bytes_s * limits.pullers_max))
    return max(paces)


def _closed(ask: PullAsk, policy: Policy) -> Wait | None:
    windows = policy.download_windows
    if download_allowed(windows, ask.now, clock_trusted=ask.clock_trusted):
        return None
    if not ask.clock_trusted:
        words = "the site's clock is not synchronised, so no download window can open"
        return Wait(f"DEFER: {words}", RETRY_S_MAX)
    following = next_span(windows, ask.now)
    wait_s = RETRY_S_MAX if following is None else (following.start - ask.now).total_seconds()
    words = describe(windows, ask.now).replace("change window", "download window")
    return Wait(f"DEFER: {words}", _bounded(wait_s))


def _crowded(ask: PullAsk, limits: Downloads) -> Wait | None:
    if limits.pullers_max == 0 or len(ask.pullers) < limits.pullers_max:
        return None
    named = ", ".join(sorted(ask.pullers)[:3])
    count = f"{len(ask.pullers)} of {limits.pullers_max}"
    return Wait(f"DEFER: {count} gateways download now ({named})", 2 * RETRY_S_MIN)


def _staggered(ask: PullAsk, limits: Downloads) -> Wait | None:
    if ask.since_last_s is None or ask.since_last_s >= limits.stagger_s:
        return None
    left_s = limits.stagger_s - ask.since_last_s
    words = f"another download began {ask.since_last_s:.0f} s ago"
    return Wait(f"DEFER: {words}; one begins every {limits.stagger_s:.0f} s", max(1.0, left_s))


def _bytes(ask: PullAsk, limits: Downloads) -> Pull | Wait:
    wanted = min(max(ask.missing, TOKEN_BYTES_MIN), limits.token_bytes)
    if limits.budget_bytes is None:
        return Pull(wanted)
    shift = bool(limits.shift) and open_span(limits.shift, ask.now) is not None
    allowed = floor(limits.budget_bytes * limits.shift_share) if shift else limits.budget_bytes
    free = allowed - used(ask.ledger, limits)
    if free >= min(wanted, TOKEN_BYTES_MIN):
        return Pull(min(wanted, free))
    during = f", of which {limits.shift_share:.0%} during a shift," if shift else ""
    return Wait(
        f"DEFER: the site's download budget of {size(limits.budget_bytes)} in "
        f"{limits.period_s / 3600:.3g} h{during} is given out",
        _bounded(_frees_s(ask.ledger, limits)),
    )


def _frees_s(ledger: Ledger, limits: Downloads) -> float:
    """How long until the oldest slot no longer counts."""
    counting = [slot for slot in ledger.slots if _counts(slot, limits, ledger.clock_s)]
    if not counting:
        return RETRY_S_MAX
    return _width_s(limits) * (min(counting) + 1) + limits.period_s - ledger.clock_s


def _open_s(policy: Policy, ask: PullAsk, within_s: float) -> float:
    """How much of the next *within_s* seconds lies in download windows, the first one only."""
    windows = policy.download_windows
    if not windows:
        return within_s
    if not ask.clock_trusted:
        return 0.0
    span = open_span(windows, ask.now) or next_span(windows, ask.now)
    if span is None:
        return 0.0
    begins_s = max(0.0, (span.start - ask.now).total_seconds())
    ends_s = min(within_s, (span.end - ask.now).total_seconds())
    return max(0.0, ends_s - begins_s)


def _counts(slot: int, limits: Downloads, clock_s: float) -> bool:
    return _width_s(limits) * (slot + 1) + limits.period_s > clock_s


def _width_s(limits: Downloads) -> float:
    return limits.period_s / SLOTS


def _bounded(seconds: float) -> float:
    return min(RETRY_S_MAX, max(RETRY_S_MIN, seconds))


def size(count: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
