"""Decides how a trial and a shadow run stand: exposure in, verdict out; no clock, no network."""

from dataclasses import dataclass
from enum import StrEnum

from edge_core.contracts.gateway import TrialPolicy
from edge_runtime.route import Exposure
from edge_runtime.update.record import Progress

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


class Tally:
    """Adds up what a candidate does, over every route it decided on and every run of the daemon.

    Args:
        before: what it had done when this run began.
    """

    def __init__(self, before: Progress = Progress()) -> None:  # noqa: B008 - frozen
        self._before = before
        self._ended = Exposure()
        self._going_on = Exposure()

    def add(self, exposure: Exposure, elapsed_s: float) -> Progress:
        """What it has done after *elapsed_s* of this run, the present route's *exposure* last."""
        if exposure is not self._going_on:
            self._ended.scored += self._going_on.scored
            self._ended.errors += self._going_on.errors
            self._going_on = exposure
        return self.at(elapsed_s)

    def at(self, elapsed_s: float) -> Progress:
        """The same while it does not decide."""
        counts = (self._before, self._ended, self._going_on)
        return Progress(
            scored=sum(each.scored for each in counts),
            errors=sum(each.errors for each in counts),
            elapsed_s=self._before.elapsed_s + elapsed_s,
        )


def judge(policy: TrialPolicy, progress: Progress, loss: str) -> Standing:
    """How a trial stands.

    Args:
        policy: bounds of the plan.
        progress: what the candidate has scored and failed on in so many seconds of powered time.
        loss: why its process ended, if it did; a process that ended once has failed.
    """
    if loss:
        return Standing(Verdict.FAILED, "crash", loss)
    # As many errors as a whole trial may show are enough, whenever they come.
    allowed = policy.error_share_max * max(policy.inferences_min, progress.scored)
    if progress.errors > allowed:
        return Standing(
            Verdict.FAILED,
            "errors",
            f"expected at most {allowed:.0f} failed windows, found {progress.errors} "
            f"beside {progress.scored} scored",
        )
    if progress.scored >= policy.inferences_min and progress.elapsed_s >= policy.duration_min_s:
        return PASSED
    if progress.elapsed_s > policy.duration_max_s:
        return Standing(
            Verdict.FAILED,
            "timeout",
            f"expected {policy.inferences_min} scored windows within "
            f"{policy.duration_max_s:.0f} s, found {progress.scored}",
        )
    return GOING_ON


def judge_shadow(pairs_min: int, exposure: Exposure, loss: str) -> Standing:
    """How a candidate that only looks on stands; enough pairs is all that is asked of it here."""
    if loss or exposure.lost:
        return Standing(Verdict.FAILED, "crash", loss or exposure.lost)
    if exposure.errors > SHADOW_ERRORS_MAX:
        return Standing(Verdict.FAILED, "errors", f"failed on {exposure.errors} windows in shadow")
    return PASSED if exposure.pairs >= pairs_min else GOING_ON
