"""What health windows add up to: one tally for each gateway, digest and role; a pure fold.

A tally is order-free: the same set of windows gives the same tally, however they arrived. The
limits that make a window "bad" come from the plan, frozen when it was approved. Whatever a
gateway may send, a tally stays small: of each kind of part only so many are kept, always the
same ones.
"""

import math
import operator
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import HealthWindow
from edge_site_proxy.rollout.gates.shifts import shift_at
from edge_site_proxy.rollout.gates.statistics import BETS, mean_bets

STRATA_MAX = 16  # recipes or shifts; what a hostile gateway invents beyond them is one more
DAYS_MAX = 16  # a history of two weeks, and a day on which limits changed
SHIFTS_MAX = 24  # eight days of three: more than a plan may ask to be soaked through
OVERRIDDEN_MAX = 64
OTHER = "other"
ROLE_COMMITTED = "committed"
Bets = tuple[float, ...]
_NONE: Bets = (0.0,) * len(BETS)
Part = TypeVar("Part")


class Counts(Struct, frozen=True, array_like=True):
    """Windows in which something was tried, and how many of them were bad in which way."""

    windows: int = 0
    errors: int = 0
    slow: int = 0
    outside: int = 0
    overridden: int = 0
    anomalous: int = 0
    kpi: int = 0


ZERO = Counts()
Strata = dict[str, Counts]


class Tally(Struct, frozen=True, kw_only=True):
    """Sums over the windows of one model in one role on one gateway.

    `kpi_sum` over `kpi_rows` is the mean of the line's KPI, `cut_short` counts windows in which
    the gateway ended, `dropped` what a shadow model was too slow for, and `broken` outputs that
    were no numbers. `*_bets` have shape (bet,) and are the state of the tests in `statistics`.

    `strata` are counts by recipe, or by shift where windows tell none; `days` the same for each
    day, of the committed role only: a gateway's own history. `shifts` is exposure in seconds by
    the instant at which a shift began, the earliest ones, and `overridden` the earliest windows
    in which operators overrode a verdict, with how often.
    """

    windows: int = 0
    scored: int = 0
    no_verdict: int = 0
    errors: int = 0
    alarms: int = 0
    out_of_domain: int = 0
    anomalies: int = 0
    overrides: int = 0
    pairs: int = 0
    disagreed: int = 0
    dropped: int = 0
    kpi_sum: float = 0.0
    kpi_rows: int = 0
    cut_short: int = 0
    broken: int = 0
    latency_p99_us_max: int = 0
    exposure_s: float = 0.0
    first: datetime | None = None
    last: datetime | None = None
    error_bets: Bets = _NONE
    slow_bets: Bets = _NONE
    domain_bets: Bets = _NONE
    disagreement_bets: Bets = _NONE
    strata: Strata = {}
    days: dict[str, Strata] = {}
    shifts: dict[str, float] = {}
    overridden: dict[str, int] = {}

    @property
    def counts(self) -> Counts:
        """Over all strata."""
        return summed(self.strata.values())


class History(Struct, frozen=True, kw_only=True):
    """One gateway's past on the release it runs, frozen when a cohort begins to activate.

    `recent` are the windows of the last `days` days on which there were any; `total` and
    `exposure_s` all there ever were, to tell what comes after `at` from them.
    """

    days: int = 0
    recent: Strata = {}
    total: Strata = {}
    exposure_s: float = 0.0
    overrides: int = 0
    restarts: int = 0
    at: datetime | None = None


EMPTY = Tally()
_BETS = ("error_bets", "slow_bets", "domain_bets", "disagreement_bets")
_APART = {*_BETS, "latency_p99_us_max", "first", "last"}
_MERGED = {"strata", "days", "shifts", "overridden"}
_SUMMED = tuple(name for name in Tally.__struct_fields__ if name not in _APART | _MERGED)
_SAME = tuple(  # what is called the same in a window
    name for name in _SUMMED if name in HealthWindow.__struct_fields__ and name != "out_of_domain"
)


def add(tally: Tally, windows: Sequence[HealthWindow], limits: GateLimits) -> Tally:
    """*tally* with more windows, none of which is in it yet."""
    if not windows:
        return tally
    parts = [each for each in (tally, _told(windows, limits)) if each.windows]
    days = _with([each.days for each in parts], _strata)
    return replace(pooled(parts), days=_last(days, DAYS_MAX))


def _told(windows: Sequence[HealthWindow], limits: GateLimits) -> Tally:
    """What *windows* alone add up to; there is at least one."""
    by_limits, shift = measure(limits), shift_at(windows[0].started, limits)
    alike: Counter[tuple[str, str, Counts]] = Counter()
    shifts: dict[str, float] = {}
    for window in windows:
        if not shift.start <= window.started < shift.end:
            shift = shift_at(window.started, limits)
        lasted_s = max(0.0, (window.ended - window.started).total_seconds())
        begun = shift.start.isoformat()
        shifts[begun] = shifts.get(begun, 0.0) + lasted_s
        if window.scored + window.errors:
            stratum = f"recipe {window.regime}" if window.regime else f"shift {shift.name}"
            day = f"{_utc(window).date()} {by_limits}" if window.role == ROLE_COMMITTED else ""
            alike[day, stratum, _counts(window, limits)] += 1
    strata: Strata = {}
    days: dict[str, Strata] = {}
    for (day, stratum, counts), times in alike.items():
        some = {stratum: Counts(*(times * each for each in astuple(counts)))}
        strata = _strata(strata, some)
        if day:
            days = _last(_with([days, {day: some}], _strata), DAYS_MAX)
    return Tally(
        **{name: sum(getattr(each, name) for each in windows) for name in _SAME},
        windows=len(windows),
        out_of_domain=sum(min(each.out_of_domain, each.scored + each.errors) for each in windows),
        pairs=sum(each.shadow_pairs for each in windows),
        disagreed=sum(min(each.shadow_disagreed, each.shadow_pairs) for each in windows),
        dropped=sum(each.shadow_dropped for each in windows),
        latency_p99_us_max=max(each.latency_p99_us for each in windows),
        exposure_s=math.fsum(shifts.values()),
        first=min(each.started for each in windows),
        last=max(each.ended for each in windows),
        **_all_bets(windows, summed(strata.values()), limits),  # type: ignore[arg-type]  # all Bets
        strata=strata,
        days=days,
        shifts=_first(shifts, SHIFTS_MAX),
        overridden=_overridden(windows),
    )


def _utc(window: HealthWindow) -> datetime:
    return window.started.astimezone(UTC)


def _overridden(windows: Sequence[HealthWindow]) -> dict[str, int]:
    """The windows in which operators overrode a verdict, by when they began."""
    found: dict[str, int] = {}
    for window in windows:
        if window.overrides:
            begun = _utc(window).isoformat()
            found[begun] = found.get(begun, 0) + window.overrides
    return _first(found, OVERRIDDEN_MAX)


def _all_bets(
    windows: Sequence[HealthWindow], counts: Counts, limits: GateLimits
) -> dict[str, Bets]:
    """What every test has made of *windows*."""
    tried = [each.scored + each.errors for each in windows]
    errors = zip((each.errors for each in windows), tried, strict=True)
    outside = zip((each.out_of_domain for each in windows), tried, strict=True)
    disagreed = ((each.shadow_disagreed, each.shadow_pairs) for each in windows)
    slow = Counter({(1, 1): counts.slow, (0, 1): counts.windows - counts.slow})
    return {
        "error_bets": _bet(Counter(errors), limits.error_share_max),
        "slow_bets": _bet(slow, limits.bad_windows_max),
        "domain_bets": _bet(Counter(outside), limits.out_of_domain_share_max),
        "disagreement_bets": _bet(Counter(disagreed), limits.disagreement_share_max),
    }


def _counts(window: HealthWindow, limits: GateLimits) -> Counts:
    """One window, and in which ways it was bad; nothing where nothing was tried."""
    tried = window.scored + window.errors
    if not tried:
        return ZERO
    anomalies = limits.anomaly_share_max
    return Counts(
        windows=1,
        errors=int(window.errors > limits.error_share_max * tried),
        slow=int(window.latency_p99_us > limits.latency_p99_us_max),
        outside=int(window.out_of_domain > limits.out_of_domain_share_max * tried),
        overridden=int(window.overrides > 0),
        anomalous=int(anomalies is not None and window.anomalies > anomalies * tried),
        kpi=int(_kpi_bad(window, limits)),
    )


def _kpi_bad(window: HealthWindow, limits: GateLimits) -> bool:
    if not window.kpi_rows:
        return False
    mean = window.kpi_sum / window.kpi_rows
    low = limits.kpi_min is not None and mean < limits.kpi_min
    return low or (limits.kpi_max is not None and mean > limits.kpi_max)


def measure(limits: GateLimits) -> str:
    """A short name of what makes a window bad; a history by other limits is no comparison."""
    seen = (
        limits.error_share_max,
        limits.latency_p99_us_max,
        limits.out_of_domain_share_max,
        limits.anomaly_share_max,
        limits.kpi_min,
        limits.kpi_max,
        limits.shifts,
        limits.shift_zone,
    )
    return f"{zlib.crc32(msgspec.json.encode(seen)):08x}"


def history_of(tally: Tally, limits: GateLimits, at: datetime) -> History:
    """What *tally* says of a gateway's past, by *limits*, as of *at*."""
    name = measure(limits)
    known = sorted(day for day in tally.days if day.endswith(f" {name}"))
    newest = known[-limits.history_days_max :]
    return History(
        days=len(newest),
        recent=_strata(*(tally.days[day] for day in newest)),
        total=tally.strata,
        exposure_s=tally.exposure_s,
        overrides=tally.overrides,
        restarts=tally.cut_short,
        at=at,
    )


def since(tally: Tally, history: History) -> Strata:
    """What came after *history* was frozen."""
    return {
        name: less(counts, history.total.get(name, ZERO))
        for name, counts in tally.strata.items()
        if counts.windows > history.total.get(name, ZERO).windows
    }


def pooled(tallies: Iterable[Tally]) -> Tally:
    """All of *tallies* as one, without their days."""
    parts = [tally for tally in tallies if tally.windows]
    if not parts:
        return EMPTY
    if len(parts) == 1:
        return parts[0]
    sums = {name: sum(getattr(part, name) for part in parts) for name in _SUMMED}
    bets = {
        name: tuple(map(sum, zip(*(getattr(part, name) for part in parts), strict=True)))
        for name in _BETS
    }
    overridden = _with([part.overridden for part in parts], int.__add__)
    shifts = _with([part.shifts for part in parts], float.__add__)
    return Tally(
        **sums,
        **bets,  # type: ignore[arg-type]  # the fields named in _BETS are all Bets
        latency_p99_us_max=max(part.latency_p99_us_max for part in parts),
        first=min((part.first for part in parts if part.first is not None), default=None),
        last=max((part.last for part in parts if part.last is not None), default=None),
        strata=_strata(*(part.strata for part in parts)),
        shifts=_first(shifts, SHIFTS_MAX),
        overridden=_first(overridden, OVERRIDDEN_MAX),
    )


def summed(counts: Iterable[Counts]) -> Counts:
    """All of *counts* as one."""
    rows = [astuple(each) for each in counts]
    return Counts(*map(sum, zip(*rows, strict=True))) if rows else ZERO


def less(left: Counts, right: Counts) -> Counts:
    """*left* without *right*."""
    return Counts(*(a - b for a, b in zip(astuple(left), astuple(right), strict=True)))


def _strata(*parts: Mapping[str, Counts]) -> Strata:
    """All of *parts*; beyond so many names the last in the alphabet are one."""
    found = _with(parts, _plus)
    names = sorted(name for name in found if name != OTHER)
    if len(names) <= STRATA_MAX:
        return found
    kept = names[:STRATA_MAX]
    rest = summed(found[name] for name in found if name not in kept)
    return {name: found[name] for name in kept} | {OTHER: rest}


def _plus(left: Counts, right: Counts) -> Counts:
    return Counts(*(a + b for a, b in zip(astuple(left), astuple(right), strict=True)))


def _with(
    parts: Iterable[Mapping[str, Part]], plus: Callable[[Part, Part], Part]
) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = plus(found[name], value) if name in found else value
    return found


# What was once left out never comes back: whatever is kept only moves away from it. So a bound
# makes nothing depend on the order in which windows came.


def _first(parts: dict[str, Part], most: int) -> dict[str, Part]:
    return parts if len(parts) <= most else {name: parts[name] for name in sorted(parts)[:most]}


def _last(parts: dict[str, Part], most: int) -> dict[str, Part]:
    return parts if len(parts) <= most else {name: parts[name] for name in sorted(parts)[-most:]}


def _bet(alike: Counter[tuple[int, int]], limit: float) -> Bets:
    """Of windows with so many bad ones of so many, by how many windows are alike."""
    made = _NONE
    for (bad, count), times in alike.items():
        if count and times:
            one = _mean_bets(min(1.0, bad / count), limit)
            made = _added(made, tuple(times * each for each in one))
    return made


@lru_cache(maxsize=4096)
def _mean_bets(share: float, limit: float) -> Bets:
    # Most windows have nothing bad in them, so the same share comes up again and again.
    return tuple(mean_bets(share, limit))


def _added(left: Bets, right: Bets) -> Bets:
    return tuple(map(operator.add, left, right))  # both have one number a bet
