"""Decides how a trial and a shadow run stand: exposure in, verdict out; no clock, no network."""

from dataclasses import dataclass
from enum import StrEnum

from edge_core.contracts.gateway import TrialPolicy
from edge_runtime.scoring import Exposure

SHADOW_ERRORS_MAX = 3  # a newcomer that fails while it only looks on does not get to decide


class Verdict(StrEnum):
    """Where it stands."""

    GOING_ON = "going_on"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict, and for a failure the short and the long reason."""

    verdict: Verdict
    veto: str = ""
    reason: str = ""


GOING_ON = Standing(Verdict.GOING_ON)
PASSED = Standing(Verdict.PASSED)


def judge(policy: TrialPolicy, exposure: Exposure, elapsed_s: float, loss: str) -> Standing:
    """How a trial stands after *elapsed_s* of powered running.

    Args:
        policy: bounds of the plan.
        exposure: what the candidate has scored and failed on.
        elapsed_s: since it began to decide.
        loss: why its process ended, if it did; a process that ended once has failed.
    """
    if loss or exposure.lost:
        return Standing(Verdict.FAILED, "crash", loss or exposure.lost)
    # As many errors as a whole trial may show are enough, whenever they come.
    allowed = policy.error_share_max * max(policy.inferences_min, exposure.scored)
    if exposure.errors > allowed:
        return Standing(
            Verdict.FAILED,
            "errors",
            f"expected at most {allowed:.0f} failed windows, found {exposure.errors} "
            f"beside {exposure.scored} scored",
        )
    if exposure.scored >= policy.inferences_min and elapsed_s >= policy.duration_min_s:
        return PASSED
    if elapsed_s > policy.duration_max_s:
        return Standing(
            Verdict.FAILED,
            "timeout",
            f"expected {policy.inferences_min} scored windows within "
            f"{policy.duration_max_s:.0f} s, found {exposure.scored}",
        )
    return GOING_ON


def judge_shadow(pairs_min: int, exposure: Exposure, loss: str) -> Standing:
    """How a candidate that only looks on stands; enough pairs is all that is asked of it here."""
    if loss or exposure.lost:
        return Standing(Verdict.FAILED, "crash", loss or exposure.lost)
    if exposure.errors > SHADOW_ERRORS_MAX:
        return Standing(Verdict.FAILED, "errors", f"failed on {exposure.errors} windows in shadow")
    return PASSED if exposure.pairs >= pairs_min else GOING_ON
