"""What health windows add up to: one tally for each gateway, digest and role; a pure fold.

A tally is order-free: the same set of windows gives the same tally, however they arrived. The
limits that make a window "bad" come from the plan, frozen when it was approved. Whatever a
gateway may send, a tally stays small: of each kind of part only so many are kept, always the
same ones.
"""

import operator
import zlib
from collections.abc import Callable, Iterable, Mapping
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


def add(tally: Tally, window: HealthWindow, limits: GateLimits) -> Tally:
    """*tally* with one more window."""
    tried = window.scored + window.errors
    seen = _counts(window, limits)
    exposure_s = max(0.0, (window.ended - window.started).total_seconds())
    shift = shift_at(window.started, limits)
    stratum = f"recipe {window.regime}" if window.regime else f"shift {shift.name}"
    started = window.started.astimezone(UTC)
    days = tally.days
    if tried and window.role == ROLE_COMMITTED:
        day = {f"{started:%Y-%m-%d} {measure(limits)}": {stratum: seen}}
        days = _last(_with([days, day], _strata), DAYS_MAX)
    overridden = tally.overridden
    if window.overrides:
        said = {started.isoformat(): window.overrides}
        overridden = _first(_with([overridden, said], int.__add__), OVERRIDDEN_MAX)
    return replace(
        tally,
        windows=tally.windows + 1,
        scored=tally.scored + window.scored,
        no_verdict=tally.no_verdict + window.no_verdict,
        errors=tally.errors + window.errors,
        alarms=tally.alarms + window.alarms,
        out_of_domain=tally.out_of_domain + min(window.out_of_domain, tried),
        anomalies=tally.anomalies + window.anomalies,
        overrides=tally.overrides + window.overrides,
        pairs=tally.pairs + window.shadow_pairs,
        disagreed=tally.disagreed + min(window.shadow_disagreed, window.shadow_pairs),
        dropped=tally.dropped + window.shadow_dropped,
        kpi_sum=tally.kpi_sum + window.kpi_sum,
        kpi_rows=tally.kpi_rows + window.kpi_rows,
        cut_short=tally.cut_short + window.cut_short,
        broken=tally.broken + window.broken,
        latency_p99_us_max=max(tally.latency_p99_us_max, window.latency_p99_us),
        exposure_s=tally.exposure_s + exposure_s,
        first=window.started if tally.first is None else min(tally.first, window.started),
        last=window.ended if tally.last is None else max(tally.last, window.ended),
        error_bets=_bet(tally.error_bets, window.errors, tried, limits.error_share_max),
        slow_bets=_bet(tally.slow_bets, seen.slow, seen.windows, limits.bad_windows_max),
        domain_bets=_bet(
            tally.domain_bets, window.out_of_domain, tried, limits.out_of_domain_share_max
        ),
        disagreement_bets=_bet(
            tally.disagreement_bets,
            window.shadow_disagreed,
            window.shadow_pairs,
            limits.disagreement_share_max,
        ),
        strata=_strata(tally.strata, {stratum: seen}) if tried else tally.strata,
        days=days,
        shifts=_first(
            _with([tally.shifts, {shift.start.isoformat(): exposure_s}], float.__add__),
            SHIFTS_MAX,
        ),
        overridden=overridden,
    )


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


def _bet(bets: Bets, bad: int, count: int, limit: float) -> Bets:
    if count == 0:
        return bets
    return _added(bets, _mean_bets(min(1.0, bad / count), limit))


@lru_cache(maxsize=4096)
def _mean_bets(share: float, limit: float) -> Bets:
    # Most windows have nothing bad in them, so the same share comes up again and again.
    return tuple(mean_bets(share, limit))


def _added(left: Bets, right: Bets) -> Bets:
    return tuple(map(operator.add, left, right))  # both have one number a bet
