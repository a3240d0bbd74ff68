"""What a rollout's decisions look at: how each member stands, and what its gates say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_core.contracts.gates import GateReport, Verdict
from edge_core.contracts.gateway import Outcome, UpdateState
from edge_core.contracts.rollout import Cohort, Plan
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout.records import Rollout

STANDING_BY = frozenset({UpdateState.STAGED, UpdateState.AWAITING_PERMIT})
STAGED = frozenset(
    {
        *STANDING_BY,
        UpdateState.ACTIVATING,
        UpdateState.TRIAL,
        UpdateState.COMMITTED,
    }
)
FAILED = frozenset(
    {
        UpdateState.ROLLED_BACK,
        UpdateState.FAILED_NO_CHANGE,
        UpdateState.ROLLBACK_FAILED,
        UpdateState.FAIL_SAFE,
        UpdateState.CANCELLED,
    }
)
SHADOW_GATES = frozenset({"disagreement", "domain"})
PAIRED_GATE = "disagreement"
STUCK = frozenset({UpdateState.ROLLBACK_FAILED, UpdateState.FAIL_SAFE})


@dataclass(frozen=True, slots=True)
class Standing:
    """One member as last seen, with regard to this release and its present attempt.

    `unpaired`: there it can never be seen beside the present model, which has other windows.
    """

    state: UpdateState = UpdateState.IDLE
    outcome: Outcome = Outcome.OPEN
    reachable: bool = False
    runs: bool = False
    permit_live: bool = False
    pairs: int = 0
    unpaired: bool = False
    overdue_s: float = 0.0

    @property
    def in_flight(self) -> bool:
        """Whether it may be changing its model at this moment."""
        return self.permit_live or self.state in IN_FLIGHT

    @property
    def suspect(self) -> bool:
        """Whether it should have moved on by now; nobody else waits for it."""
        return self.overdue_s > 0

    @property
    def done(self) -> bool:
        """Whether this attempt is over."""
        return self.state is UpdateState.COMMITTED or self.state in FAILED


ABSENT = Standing()
GONE = Standing(state=UpdateState.CANCELLED)  # retired: it takes no further part


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen now; nothing else decides.

    Attributes:
        members: standing by serial.
        gates: report by cohort number, for every cohort that has begun.
        phase_s: how long the present state has stood, on the monotonic clock.
        clock_trusted: whether wall time may open a change window.
        waits_for: another rollout of the same model that must end first.
        fresh: what would be planned now, while nothing is approved yet.
        refusal: why nothing can be planned.
        in_service: whether no later release has taken its place everywhere.
        shortfall: why the download budget cannot bring the present cohort its bytes in time.
        vetoes: hard vetoes of the release that have not been told since it was completed.
        steered_away: the signed plan that now names another release of the model.
        epoch: the one that an order to go back would begin now; 0 where no gate has failed.
    """

    members: Mapping[str, Standing] = field(default_factory=dict)
    gates: Mapping[int, GateReport] = field(default_factory=dict)
    phase_s: float = 0.0
    clock_trusted: bool = True
    waits_for: str | None = None
    fresh: Plan | None = None
    refusal: str | None = None
    in_service: bool = True
    shortfall: str | None = None
    vetoes: tuple[str, ...] = ()
    epoch: int = 0
    steered_away: str | None = None

    def standing(self, serial: str) -> Standing:
        """Of a member; one that was never heard of is absent."""
        return self.members.get(serial, ABSENT)


def current(rollout: Rollout) -> Cohort:
    """The cohort that the state speaks of."""
    return rollout.plan.cohorts[rollout.header.cohort]


def quorum(rollout: Rollout) -> int:
    """How many members of the present cohort must succeed: what its rule asks, if it has that."""
    cohort = current(rollout)
    rules = {rule.name: rule.least for rule in rollout.plan.policy.cohorts}
    return min(rules.get(cohort.name, 1), len(cohort.members))


def staged(rollout: Rollout, standing: Standing) -> bool:
    """Downloaded, verified and smoked, and seen beside the present model for long enough."""
    if standing.state in {UpdateState.TRIAL, UpdateState.COMMITTED, UpdateState.ACTIVATING}:
        return True
    waived = rollout.header.cohort in rollout.header.waived
    alone = rollout.plan.rollback_to is None  # there is nothing to be seen beside
    needed = 0 if alone or waived else rollout.plan.policy.shadow_pairs_min
    return standing.state in STAGED and standing.pairs >= needed


def absent(rollout: Rollout, facts: Facts) -> bool:
    """Whether nobody of the present cohort was heard for as long as staging may take.

    Never of the canary: without one there is no evidence. A later cohort that is switched off must
    not keep everybody else waiting; its members catch up when they come back.
    """
    standings = [facts.standing(serial) for serial in current(rollout).members]
    return (
        rollout.header.cohort > 0
        and facts.phase_s >= rollout.plan.policy.stage_deadline_s
        and not any(each.reachable or each.in_flight or each.runs for each in standings)
    )


def looks_bad(report: GateReport | None) -> bool:
    """Whether what was seen beside the present model is over its limit, proved or not yet.

    Such a release is watched for longer and not put in charge meanwhile.
    """
    rows = [] if report is None else report.measurements
    return any(
        row.gate in SHADOW_GATES and row.value is not None and row.value >= row.limit
        for row in rows
    )


def pairs_undecided(report: GateReport | None) -> bool:
    """Whether more pairs beside the present model would still decide something.

    They are cheapest before the release is in charge, so that is when they are waited for.
    """
    rows = [] if report is None else report.measurements
    return any(row.gate == PAIRED_GATE and row.verdict is Verdict.INCONCLUSIVE for row in rows)


def green_waiting(rollout: Rollout, facts: Facts) -> list[str]:
    """Members of a blue-green plan that are heard and not yet ready to take over."""
    members = (serial for part in rollout.plan.cohorts for serial in part.members)
    return [
        serial
        for serial in members
        if (standing := facts.standing(serial)).reachable
        and standing.state not in FAILED
        and not staged(rollout, standing)
    ]


def committed(standing: Standing) -> bool:
    """Whether this attempt ended with the new release in charge."""
    return standing.state is UpdateState.COMMITTED or (
        standing.runs and standing.outcome is Outcome.ALREADY
    )
