"""How long a plan takes at least, cohort by cohort, and why; a pure function.

The blast radius sets the pace and not the bandwidth: on each line one cell moves at a time, and
the members of a redundancy group one after the other. So a cohort takes as many waves as its
longest line has cells, a cell counting as often as its largest group has members here. A wave is
a permit and a trial; the soak follows the last one. In a safety zone a wave has to fit into a
change window. Partners on different lines that one cohort has both of are not counted twice.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import ChangeWindow, Cohort, Eta, Leg, Plan, Policy
from edge_site_proxy.rollout.permits import retry_s
from edge_site_proxy.rollout.windows import next_span, open_span, planned


@dataclass(frozen=True, slots=True)
class Line:
    """The line of a cohort that takes longest."""

    name: str
    cells: int
    waves: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an estimate depends on beside the plan.

    Attributes:
        places: where each member stands.
        now: wall time.
        health_window_s: how much exposure one health window is.
        cohort: the first cohort that is not through yet.
        done: members that need no wave any more.
        staging_s: how long the download of each cohort takes at least; missing is no time.
    """

    places: Mapping[str, GatewayPlace]
    now: datetime
    health_window_s: float
    cohort: int = 0
    done: frozenset[str] = frozenset()
    staging_s: Sequence[float] = ()


def estimate(plan: Plan, outlook: Outlook) -> Eta:
    """When *plan* ends if nothing is held."""
    legs: list[Leg] = []
    at: datetime | None = outlook.now
    for number, cohort in enumerate(plan.cohorts):
        if number < outlook.cohort:
            continue
        staging_s = outlook.staging_s[number] if number < len(outlook.staging_s) else 0.0
        leg = _leg(plan.policy, cohort, outlook, at, _lag_s(plan, number) + staging_s)
        legs.append(leg)
        at = leg.ends
    return Eta(at=outlook.now, ends=at, why=_reason(legs, outlook.now), legs=legs)


def takes_min(plan: Plan, places: Mapping[str, GatewayPlace], health_window_s: float) -> int:
    """Whole minutes that *plan* takes at least, begun: permits, trials, soak and lag.

    Neither what is over by now, nor downloads or change windows, which depend on when one asks: so
    it stays the same while people read and sign, for as long as plan and inventory do.
    """
    whole_s = 0.0
    for number, cohort in enumerate(plan.cohorts):
        waves = longest(places[serial] for serial in cohort.members).waves
        whole_s += _lag_s(plan, number) + waves * wave_s(plan.policy)
        whole_s += soak_s(plan.policy, len(cohort.members), health_window_s)
    return ceil(whole_s / 60)


def _lag_s(plan: Plan, number: int) -> float:
    """How long a cohort waits for those before it to be stable: the first in a safety zone."""
    first = number > 0 and not plan.cohorts[number - 1].safety
    return plan.policy.safety_lag_s if first and plan.cohorts[number].safety else 0.0


def longest(places: Iterable[GatewayPlace]) -> Line:
    """The line on which *places* need most waves; the first by name where several do."""
    groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for place in places:
        alone = place.redundancy_group is None
        name = "" if alone else f"+{place.redundancy_group}"
        counted = groups[place.position.line, place.position.cell]
        counted[name] = 1 if alone else counted[name] + 1
    waves: Counter[str] = Counter()
    cells: Counter[str] = Counter()
    for (line, _), counted in groups.items():
        waves[line] += max(counted.values())
        cells[line] += 1
    line = min(waves, key=lambda each: (-waves[each], each), default="")
    return Line(line, cells[line], waves[line])


def wave_s(policy: Policy) -> float:
    """One cell's turn: until the next one asks, the permit, and the trial."""
    return retry_s(policy) + policy.trial.duration_min_s


def soak_s(policy: Policy, members: int, health_window_s: float) -> float:
    """How long *members* gateways have to run to have the exposure that the gate asks for."""
    exposure_s = max(policy.gate.soak_min_s, policy.gate.windows_min * health_window_s)
    return exposure_s / max(1, members)


def _leg(
    policy: Policy, cohort: Cohort, outlook: Outlook, begins: datetime | None, before_s: float
) -> Leg:
    left = [outlook.places[each] for each in cohort.members if each not in outlook.done]
    line = longest(place for place in left)
    each_s, soaking_s = (
        wave_s(policy),
        soak_s(policy, len(cohort.members), outlook.health_window_s),
    )
    windows, ended, activating_s = 0, begins, line.waves * each_s
    if begins is not None:
        ready = begins + timedelta(seconds=before_s)
        ended = ready + timedelta(seconds=activating_s)
        if cohort.safety and line.waves:
            windows, ended = _in_windows(policy, line.waves, ready)
            activating_s = (ended - ready).total_seconds() if ended else activating_s
    return Leg(
        cohort=cohort.name,
        line=line.name,
        cells=line.cells,
        waves=line.waves,
        windows=windows,
        staging_s=before_s,
        activating_s=activating_s,
        soaking_s=soaking_s,
        ends=ended + timedelta(seconds=soaking_s) if ended else None,
        why=_words(policy, cohort, line, windows, soaking_s, ended)[:500],
    )


def _in_windows(policy: Policy, waves: int, begins: datetime) -> tuple[int, datetime | None]:
    """How many change windows *waves* fill from *begins* on, and when the last wave is over."""
    windows, needed = policy.windows, planned(policy)
    each = timedelta(seconds=wave_s(policy))
    at, used, idle = begins, 0, 0
    # What fits into no window of two weeks never will: they repeat every week.
    idle_max = 14 * (len(windows) + 1)
    while idle <= idle_max:
        span = open_span(windows, at)
        room = timedelta() if span is None else span.end - at
        if room >= needed:
            fitting = min(waves, (room - needed) // each + 1)
            waves, used, idle = waves - fitting, used + 1, 0
            at += fitting * each
            if not waves:
                return used, at
        following = next_span(windows, at)
        if following is None:
            break
        at, idle = following.start, idle + 1
    return used, None


def _words(
    policy: Policy,
    cohort: Cohort,
    line: Line,
    windows: int,
    soaking_s: float,
    ended: datetime | None,
) -> str:
    soak = f"then {_long(soaking_s)} of soak"
    if not line.waves:
        return f"nobody left to move; {soak}"
    cells = f"{line.cells} cells" if line.cells > 1 else "1 cell"
    groups = f" in {line.waves} waves for its pairs" if line.waves > line.cells else ""
    turns = ", one at a time" if line.waves > 1 else ""
    each = f", {_long(wave_s(policy))} each" if line.waves > 1 else f", {_long(wave_s(policy))}"
    what = f"{cells} of line {line.name}{groups}{turns}{each}"
    if not cohort.safety:
        return f"{what}; {soak}"
    if ended is None:
        needed = _long(planned(policy).total_seconds())
        return f"{what}; no change window is long enough for {needed}"
    count = "1 window" if windows == 1 else f"{windows} windows"
    return f"{what}, {_window_words(policy.windows)}: {count}; {soak}"


def _window_words(windows: Sequence[ChangeWindow]) -> str:
    lengths = sorted({_length_s(window) for window in windows})
    return f"{' or '.join(_long(length) for length in lengths)} windows"


def _length_s(window: ChangeWindow) -> int:
    """From start to end by the clock on the wall; equal ends are a whole day."""
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (window.start, window.end)]
    return ((minutes[1] - minutes[0]) % 1440 or 1440) * 60


def _reason(legs: Sequence[Leg], now: datetime) -> str:
    """The leg that takes longest, or the first that never ends, in its own words."""
    begun, found, most_s = now, "", -1.0
    for leg in legs:
        if leg.ends is None:
            return f"never: cohort {leg.cohort}: {leg.why}"[:500]
        took_s = (leg.ends - begun).total_seconds()
        if took_s > most_s:
            found, most_s = f"cohort {leg.cohort}: {leg.why}", took_s
        begun = leg.ends
    return found[:500]


def _long(seconds: float) -> str:
    """A duration in the unit that people would say it in."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"
