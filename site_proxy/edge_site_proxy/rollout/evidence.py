"""What health windows add up to: one tally for each gateway, digest and role; a pure fold.

A tally is order-free: the same set of windows gives the same tally, however they arrived. The
limits that make a window "bad" come from the plan, frozen when it was approved.
"""

import operator
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.rollout import GateLimits
from edge_site_proxy.rollout.statistics import BETS, mean_bets

LATENCY_BAD_SHARE = 0.10  # this many windows may exceed the latency limit before it counts
Bets = tuple[float, ...]
_NONE: Bets = (0.0,) * len(BETS)


class Tally(Struct, frozen=True, kw_only=True):
    """Sums over the windows of one model in one role on one gateway.

    `kpi_sum` over `kpi_rows` is the mean of the line's KPI, `cut_short` counts windows in which
    the gateway ended, `dropped` what a shadow model was too slow for.

    `*_bets` have shape (bet,) and are the state of the tests in `statistics`.
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
    bad_windows: int = 0
    slow_windows: int = 0
    latency_p99_us_max: int = 0
    exposure_s: float = 0.0
    first: datetime | None = None
    last: datetime | None = None
    error_bets: Bets = _NONE
    slow_bets: Bets = _NONE
    domain_bets: Bets = _NONE
    disagreement_bets: Bets = _NONE


EMPTY = Tally()
_BETS = ("error_bets", "slow_bets", "domain_bets", "disagreement_bets")
_SUMMED = tuple(
    name
    for name in Tally.__struct_fields__
    if name not in {*_BETS, "latency_p99_us_max", "first", "last"}
)


def add(tally: Tally, window: HealthWindow, limits: GateLimits) -> Tally:
    """*tally* with one more window."""
    tried = window.scored + window.errors
    slow = window.latency_p99_us > limits.latency_p99_us_max
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
        bad_windows=tally.bad_windows + (window.errors > limits.error_share_max * tried),
        slow_windows=tally.slow_windows + slow,
        latency_p99_us_max=max(tally.latency_p99_us_max, window.latency_p99_us),
        exposure_s=tally.exposure_s + max(0.0, (window.ended - window.started).total_seconds()),
        first=window.started if tally.first is None else min(tally.first, window.started),
        last=window.ended if tally.last is None else max(tally.last, window.ended),
        error_bets=_bet(tally.error_bets, window.errors, tried, limits.error_share_max),
        slow_bets=_bet(tally.slow_bets, int(slow), int(tried > 0), LATENCY_BAD_SHARE),
        domain_bets=_bet(
            tally.domain_bets, window.out_of_domain, tried, limits.out_of_domain_share_max
        ),
        disagreement_bets=_bet(
            tally.disagreement_bets,
            window.shadow_disagreed,
            window.shadow_pairs,
            limits.disagreement_share_max,
        ),
    )


def pooled(tallies: Iterable[Tally]) -> Tally:
    """All of *tallies* as one."""
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
    return Tally(
        **sums,
        **bets,  # type: ignore[arg-type]  # the fields named in _BETS are all Bets
        latency_p99_us_max=max(part.latency_p99_us_max for part in parts),
        first=min((part.first for part in parts if part.first is not None), default=None),
        last=max((part.last for part in parts if part.last is not None), default=None),
    )


def _bet(bets: Bets, bad: int, count: int, limit: float) -> Bets:
    if count == 0:
        return bets
    return _added(bets, _mean_bets(min(1.0, bad / count), limit))


@lru_cache(maxsize=4096)
def _mean_bets(share: float, limit: float) -> Bets:
    # Most windows have nothing bad in them, so the same share comes up again and again.
    return tuple(mean_bets(share, limit).tolist())


def _added(left: Bets, right: Bets) -> Bets:
    return tuple(map(operator.add, left, right))  # both have one number a bet
