"""How a trial stands, and how what a candidate did is added up over routes and restarts."""

import pytest

from edge_core.contracts.gateway import TrialPolicy
from edge_runtime.route import Exposure
from edge_runtime.update.record import Progress
from edge_runtime.update.trial import Tally, Verdict, judge, judge_shadow

POLICY = TrialPolicy(
    inferences_min=100, duration_min_s=60.0, duration_max_s=600.0, error_share_max=0.02
)

TRIALS: dict[str, tuple[Progress, str, Verdict, str]] = {
    "enough windows and enough time": (
        Progress(scored=100, elapsed_s=60.0),
        "",
        Verdict.PASSED,
        "",
    ),
    "enough windows, too soon": (
        Progress(scored=500, elapsed_s=59.9),
        "",
        Verdict.GOING_ON,
        "",
    ),
    "time has passed, too few windows": (
        Progress(scored=99, elapsed_s=600.0),
        "",
        Verdict.GOING_ON,
        "",
    ),
    "and it does not go on for ever": (
        Progress(scored=99, elapsed_s=600.1),
        "",
        Verdict.FAILED,
        "timeout",
    ),
    "as many errors as allowed": (
        Progress(scored=100, errors=2, elapsed_s=60.0),
        "",
        Verdict.PASSED,
        "",
    ),
    "one error too many, at once": (
        Progress(scored=0, errors=3, elapsed_s=0.1),
        "",
        Verdict.FAILED,
        "errors",
    ),
    "a process that ended": (
        Progress(scored=100, elapsed_s=60.0),
        "died",
        Verdict.FAILED,
        "crash",
    ),
}


@pytest.mark.parametrize("name", TRIALS)
def test_judge(name: str) -> None:
    """Both bounds must be reached in healthy running, and L2: every trial ends."""
    progress, loss, verdict, veto = TRIALS[name]
    standing = judge(POLICY, progress, loss)
    assert (standing.verdict, standing.veto) == (verdict, veto)


def test_tally() -> None:
    """Windows of every route on which it decided count, and what it did before the restart."""
    tally = Tally(Progress(scored=10, errors=1, elapsed_s=5.0))
    first, second = Exposure(scored=3), Exposure(scored=1, errors=2)
    assert tally.add(first, 1.0) == Progress(scored=13, errors=1, elapsed_s=6.0)
    first.scored = 4
    assert tally.add(first, 2.0) == Progress(scored=14, errors=1, elapsed_s=7.0)
    assert tally.at(3.0) == Progress(scored=14, errors=1, elapsed_s=8.0)
    assert tally.add(second, 4.0) == Progress(scored=15, errors=3, elapsed_s=9.0)


def test_shadow() -> None:
    """Enough pairs are all that is asked of one that looks on; to die or to fail is not."""
    assert judge_shadow(2, Exposure(pairs=1), "").verdict is Verdict.GOING_ON
    assert judge_shadow(2, Exposure(pairs=2), "").verdict is Verdict.PASSED
    assert judge_shadow(2, Exposure(pairs=2), "died").veto == "crash"
    assert judge_shadow(2, Exposure(pairs=2, errors=4), "").veto == "errors"
