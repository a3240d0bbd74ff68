"""How often the gate blames a good release, and how soon it finds a bad one.

`python -m bench.gate [--quick]`: health windows of a plant of 50 gateways whose rates of
errors differ (gamma, coefficient of variation 0.5), 6,000 inferences an hour and gateway, one
error in a thousand, three canaries. The gate is the product's: every canary window goes through
`add`, every look through `judge`, against the other gateways and two weeks of own history. Peers
see the same streams: Kayenta's judge (Mann-Whitney at 0.98 with a tolerance of a quarter of the
Hodges-Lehmann estimate, from 50 points on, once an hour) and five windows over a fixed limit.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.report import report, table
from edge_core.contracts.gates import GateLimits, Verdict
from edge_core.contracts.gateway import HealthWindow
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import EMPTY, Counts, History, Tally, add
from edge_site_proxy.rollout.gates.gate import judge

GATEWAYS, CANARIES = 50, 3
AN_HOUR, ERROR_RATE = 6000, 1e-3
SPREAD = 0.5  # coefficient of variation of the gateways' rates
BURST = 8.0  # errors in one burst, on average
HOURS = 24
HISTORY_DAYS = 14
START = datetime(2026, 11, 23, 6, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
STRATUM = "shift 06:00"
POINTS_MIN = 50  # Kayenta's documentation asks for at least so many
CONFIDENCE, TOLERANCE = 0.98, 0.25
CHECKS_MAX = 5

# Only what is not statistics is set low, so that the time to a verdict is the tests' own.
LIMITS = GateLimits(
    windows_min=1,
    soak_min_s=0.0,
    error_share_max=0.005,
    restarts_per_day_max=24.0,
    shifts=("06:00",),
    shifts_min=0,
)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of stream: windows of so many seconds, a release so many times worse."""

    name: str
    window_s: float
    worse: float = 1.0
    burst: float = 1.0

    @property
    def inferences(self) -> int:
        """In one window of one gateway."""
        return round(AN_HOUR * self.window_s / 3600)

    @property
    def windows(self) -> int:
        """In all."""
        return round(HOURS * 3600 / self.window_s)


@dataclass(frozen=True, slots=True)
class Stream:
    """Errors of each gateway in each window, canaries first, and before: (gateway, window)."""

    load: Load
    errors: Ints
    history: Sequence[Counts]


@dataclass(slots=True)
class Ended:
    """When each judge said FAIL and ours said PASS, in minutes, over all streams of a load."""

    load: Load
    streams: int = 0
    failed: list[float] = field(default_factory=list)
    passed: list[float] = field(default_factory=list)
    mann_whitney: list[float] = field(default_factory=list)
    fixed: list[float] = field(default_factory=list)


def stream(load: Load, rng: np.random.Generator) -> Stream:
    """One plant, its past and a day."""
    rates = ERROR_RATE * load.inferences * rng.gamma(SPREAD**-2, SPREAD**2, GATEWAYS)
    past = np.array([_bad_share(rate, load, rng) for rate in rates])
    before = round(HISTORY_DAYS * 86_400 / load.window_s)
    rates[:CANARIES] *= load.worse
    errors = _errors(rates[:, None], (GATEWAYS, load.windows), load.burst, rng)
    history = [Counts(before, int(rng.binomial(before, share))) for share in past]
    return Stream(load, np.minimum(errors, load.inferences), history)


def _errors(
    rates: NDArray[np.float64], shape: tuple[int, ...], burst: float, rng: np.random.Generator
) -> Ints:
    """Poisson bursts of geometric length; of length one where errors come alone."""
    bursts = rng.poisson(np.broadcast_to(rates / burst, shape))
    if burst == 1:
        return np.asarray(bursts, np.int64)
    longer = rng.negative_binomial(np.maximum(bursts, 1), 1 / burst)
    return np.asarray(bursts + longer * (bursts > 0), np.int64)


def _bad_share(rate: float, load: Load, rng: np.random.Generator) -> float:
    """How many windows of a gateway are bad: what its history is drawn from."""
    errors = _errors(np.array([rate]), (20_000,), load.burst, rng)
    return float(np.mean(_bad(errors, load)))


def _bad(errors: Ints, load: Load) -> NDArray[np.bool_]:
    return np.asarray(errors > LIMITS.error_share_max * load.inferences)


def looks(seen: Stream) -> Iterator[tuple[int, Case, bool]]:
    """What the gate knows after each window, and whether the canary got a bad one in it."""
    load = seen.load
    bad = _bad(seen.errors, load)
    others = np.cumsum(bad[CANARIES:], axis=1)
    tallies = [EMPTY] * CANARIES
    histories = [
        History(days=HISTORY_DAYS, recent={STRATUM: counts}, at=START) for counts in seen.history
    ]
    for number in range(load.windows):
        tallies = [
            add(tally, [_window(seen, gateway, number)], LIMITS)
            for gateway, tally in enumerate(tallies)
        ]
        ended = START + timedelta(seconds=load.window_s * (number + 1))
        exposure_s = load.window_s * (number + 1)
        case = Case(
            cohort="canary",
            limits=LIMITS,
            subjects={
                f"g{at}": Subject(running=tally, history=histories[at], activated=True)
                for at, tally in enumerate(tallies)
            },
            controls=[
                Control(
                    history=histories[CANARIES + at],
                    tally=Tally(
                        strata={STRATUM: Counts(number + 1, int(others[at, number]))},
                        exposure_s=exposure_s,
                        last=ended,
                    ),
                )
                for at in range(GATEWAYS - CANARIES)
            ],
            shadow_needed=False,
            window_s=load.window_s,
        )
        yield number, case, bool(bad[:CANARIES, number].any())


def _window(seen: Stream, gateway: int, number: int) -> HealthWindow:
    window_s = seen.load.window_s
    errors = int(seen.errors[gateway, number])
    return HealthWindow(
        epoch=1,
        number=number,
        digest=DIGEST,
        role="committed",
        started=START + timedelta(seconds=window_s * number),
        ended=START + timedelta(seconds=window_s * (number + 1)),
        scored=seen.load.inferences - errors,
        errors=errors,
        latency_p99_us=1000,
    )


def first_fail(seen: Stream) -> float | None:
    """Minutes until FAIL. Only a bad window of the canary can bring it, so others are no looks."""
    for number, case, bad in looks(seen):
        if bad and judge(case).verdict is Verdict.FAIL:
            return (number + 1) * seen.load.window_s / 60
    return None


def first_pass(seen: Stream) -> float | None:
    """Minutes until PASS, looking after each minute; None if FAIL came first or neither did."""
    every = max(1, round(60 / seen.load.window_s))
    for number, case, _ in looks(seen):
        if (number + 1) % every:
            continue
        verdict = judge(case).verdict
        if verdict is not Verdict.INCONCLUSIVE:
            passed = verdict is Verdict.PASS
            return (number + 1) * seen.load.window_s / 60 if passed else None
    return None


def mann_whitney_fail(seen: Stream) -> float | None:
    """Minutes until Kayenta's judge says High, asked once an hour about the arms' mean shares."""
    load = seen.load
    canary = seen.errors[:CANARIES].mean(axis=0) / load.inferences
    control = seen.errors[CANARIES:].mean(axis=0) / load.inferences
    step = max(1, round(300 / load.window_s))  # its usual resolution, and at most 288 points
    points = load.windows // step
    canary, control = (
        arm[: points * step].reshape(points, step).mean(axis=1) for arm in (canary, control)
    )
    for point in range(POINTS_MIN, points + 1):
        if point % 12 == 0 and _high(canary[:point], control[:point]):
            return point * step * load.window_s / 60
    return None


def _high(canary: NDArray[np.float64], control: NDArray[np.float64]) -> bool:
    """Whether the lower end of the shift's confidence interval is beyond the tolerance.

    The interval is between order statistics of all pairwise differences (Hollander and Wolfe,
    "Nonparametric Statistical Methods", section 4.3), as R's `wilcox.test` gives it.
    """
    differences = np.subtract.outer(canary, control).reshape(-1)
    left, right = len(canary), len(control)
    deviation = math.sqrt(left * right * (left + right + 1) / 12)
    rank = int(left * right / 2 - stats.norm.ppf((1 + CONFIDENCE) / 2) * deviation)
    low, middle = max(rank, 0), left * right // 2
    ordered = np.partition(differences, [low, middle])
    return bool(ordered[low] > TOLERANCE * abs(ordered[middle]))


def fixed_fail(seen: Stream) -> float | None:
    """Minutes until the canaries' share was over the limit in so many windows altogether."""
    share = seen.errors[:CANARIES].mean(axis=0) / seen.load.inferences
    over = np.flatnonzero(share > LIMITS.error_share_max)
    return None if len(over) < CHECKS_MAX else (over[CHECKS_MAX - 1] + 1) * seen.load.window_s / 60


def run(load: Load, streams: int, *, passes: bool) -> Ended:
    """So many plants under *load*; with *passes* until ours passes, else until it fails."""
    found = Ended(load)
    for seed in range(streams):
        seen = stream(load, np.random.default_rng([seed, round(load.window_s)]))
        ours, kept = (first_pass, found.passed) if passes else (first_fail, found.failed)
        for judged, times in (
            (ours, kept),
            (mann_whitney_fail, found.mann_whitney),
            (fixed_fail, found.fixed),
        ):
            minutes = judged(seen)
            if minutes is not None:
                times.append(minutes)
        found.streams += 1
    return found


def main() -> None:
    """Run all of it and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few plants of each kind")
    few, many = (3, 8) if parser.parse_args().quick else (40, 200)
    still = run(Load("as good, bursts of 8, 5 min", 300, burst=BURST), many, passes=False)
    alone = run(Load("as good, errors alone, 5 min", 300), many, passes=False)
    good = run(Load("as good, windows of 20 s", 20), few, passes=True)
    harm = [
        run(Load(f"{worse:g}x worse, windows of {words}", window_s, worse), few, passes=False)
        for worse, window_s, words in (
            (2.0, 20, "20 s"),
            (3.0, 20, "20 s"),
            (10.0, 20, "20 s"),
            (3.0, 60, "1 min"),
            (3.0, 300, "5 min"),
        )
    ]
    harm.append(run(Load("3x worse, bursts of 8, 5 min", 300, 3.0, BURST), few, passes=False))
    _show([still, alone, good, *harm])
    _report(still, alone, good, harm)


def _show(rows: Sequence[Ended]) -> None:
    cells = [
        (
            row.load.name,
            row.streams,
            _share(row.failed, row),
            _median(row.failed),
            _share(row.passed, row),
            _median(row.passed),
            _share(row.mann_whitney, row),
            _median(row.mann_whitney),
            _share(row.fixed, row),
            _median(row.fixed),
        )
        for row in rows
    ]
    heads = ["release", "plants", "FAIL", "min", "PASS", "min"]
    heads += ["Mann-Whitney", "min", "fixed", "min"]
    table("Verdicts within a day, and the median time to them", heads, cells)


def _share(times: Sequence[float], row: Ended) -> float:
    return round(len(times) / row.streams, 4)


def _median(times: Sequence[float]) -> float | None:
    return round(statistics.median(times), 1) if times else None


def _report(still: Ended, alone: Ended, good: Ended, harm: Sequence[Ended]) -> None:
    three = next(row for row in harm if row.load.worse == 3 and row.load.window_s == 20)
    ours, theirs = (max(map(_blamed(of), (still, alone))) for of in ("failed", "mann_whitney"))
    mine_min, their_min = _median(three.failed), _median(three.mann_whitney)
    figures = {
        "false_fail": ours,
        "false_fail_bursts": _share(still.failed, still),
        "false_fail_alone": _share(alone.failed, alone),
        "harm3x_minutes": mine_min,
        "harm3x_found": _share(three.failed, three),
        "good_pass_minutes": _median(good.passed),
        "good_passed": _share(good.passed, good),
        "harm_minutes": {row.load.name: _median(row.failed) for row in harm},
        "plants": still.streams,
    }
    peer = {
        "name": "Kayenta's Mann-Whitney judge once an hour; five windows over a fixed limit",
        "false_fail_mann_whitney": theirs,
        "false_fail_mann_whitney_bursts": _share(still.mann_whitney, still),
        "harm3x_found_mann_whitney_bursts": _share(harm[-1].mann_whitney, harm[-1]),
        "false_fail_fixed": max(_share(row.fixed, row) for row in (still, alone)),
        "harm3x_minutes_mann_whitney": their_min,
        "harm3x_minutes_fixed": _median(three.fixed),
    }
    ratio = {
        "false_fail_vs_mann_whitney": round(ours / theirs, 4) if theirs else None,
        "harm3x_speed_vs_mann_whitney": round(their_min / mine_min, 2)
        if mine_min and their_min
        else None,
    }
    report("gate", figures, peer, ratio)


def _blamed(of: str) -> Callable[[Ended], float]:
    return lambda row: _share(getattr(row, of), row)


if __name__ == "__main__":
    main()
