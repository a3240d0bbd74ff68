"""The rollout machine: one transition at a time, from what is kept and what is seen; pure.

`step` answers the next transition or None. The reconciler carries it out in one transaction and
asks again until None. Holds are a set; while any stands nothing advances and no permit is given,
and each goes only with its own cause. An order to roll back is exempt from every hold.
"""

from collections.abc import Callable
from datetime import datetime

from edge_core.contracts.api import Priority
from edge_core.contracts.gates import Verdict
from edge_core.contracts.rollout import Hold, OnFail, Plan, RolloutState
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.facts import (
    STUCK,
    Facts,
    absent,
    committed,
    current,
    looks_bad,
    pairs_undecided,
    quorum,
    staged,
)
from edge_site_proxy.rollout.holds import (
    BY_GATE,
    approval_hold,
    gate_failed,
    hold_key,
    numbers,
    own_holds,
    takes_itself_back,
)
from edge_site_proxy.rollout.orders import Sender, roll_back, supersede
from edge_site_proxy.rollout.records import (
    MOVING,
    SITE,
    AlarmCall,
    Rollout,
    Step,
    moved,
    plan_digest,
)
from edge_site_proxy.rollout.strategies import blue_green


def step(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """The next transition of *rollout*, or None while there is nothing to do."""
    if rollout.state in MOVING:
        return (
            gate_failed(rollout, facts, now)
            or _taken_back(rollout, facts, now)
            or own_holds(rollout, facts, now)
            or (None if rollout.header.holds else _MOVES[rollout.state](rollout, facts, now))
        )
    if rollout.state in {RolloutState.APPROVED, RolloutState.COMPLETED}:
        held = approval_hold(rollout, facts, now)
        if held is not None:
            return held
    move = _MOVES.get(rollout.state)
    return None if move is None else move(rollout, facts, now)


def _taken_back(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """The site's own order to roll back what failed its gate, where the plan says so.

    A gate that cannot tell is no reason, nor is one that people have waived.
    """
    failed = rollout.header.holds.get(Hold.GATE_FAIL)
    if failed is None or not takes_itself_back(rollout):
        return None
    reason = f"on_fail is {OnFail.AUTO_ROLLBACK.value}: {failed}"[:500]
    return roll_back(rollout, reason, Sender(SITE, None), facts.epoch, now)


def _verify(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    if facts.waits_for is not None:
        return None
    if facts.refusal is not None:
        alarm = AlarmCall(
            key=f"rollout/{rollout.id}/rejected",
            priority=Priority.P2,
            what=f"rollout {rollout.id} cannot be planned: {facts.refusal}"[:500],
            consequence="the release is not rolled out; every gateway keeps its model",
            runbook="rollout-rejected",
        )
        made = _to(rollout, now, RolloutState.REJECTED, "rejected", why=facts.refusal)
        return Step(made.rollout, made.event, (alarm,))
    return None if facts.fresh is None else _planned(rollout, facts.fresh, now)


def _planned(rollout: Rollout, plan: Plan, now: datetime) -> Step:
    digest = plan_digest(plan)
    return moved(
        Rollout(header=rollout.header, plan=plan),
        now,
        Event(
            "rollout.planned",
            rollout.id,
            {
                "plan": digest,
                "release": plan.release.digest,
                "rollback_to": plan.rollback_to.digest if plan.rollback_to else None,
                "cohorts": {part.name: part.members for part in plan.cohorts},
                "signed_plan": plan.signed.digest if plan.signed else None,
            },
        ),
        state=RolloutState.AWAITING_APPROVAL,
        plan_digest=digest,
        approvals=[],
        why="",
    )


def _await_approval(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    if facts.steered_away is not None:
        return supersede(rollout, facts.steered_away, now)
    if facts.waits_for is not None:
        why = f"must be planned again when {facts.waits_for} has ended"
        return _to(rollout, now, RolloutState.VERIFYING, "deferred", why=why, approvals=[])
    if facts.fresh is not None and _differs(rollout.plan, facts.fresh):
        return _planned(rollout, facts.fresh, now)
    return None


def _differs(plan: Plan, fresh: Plan) -> bool:
    """Whether it is another plan; who is silent at this moment does not make it one."""
    return _substance(plan) != _substance(fresh)


def _substance(plan: Plan) -> tuple[object, ...]:
    members = _members(plan)
    return plan.rollback_to, members, plan.policy, plan.excluded, plan.maintenance, plan.signed


def _members(plan: Plan) -> list[str]:
    return sorted(serial for cohort in plan.cohorts for serial in cohort.members)


def _start(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    if facts.steered_away is not None:
        return supersede(rollout, facts.steered_away, now)
    if facts.waits_for is not None or rollout.header.holds:
        return None
    return _to(rollout, now, RolloutState.STAGING, "staging", cohort=0, why="")


def _stage(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    cohort, policy = current(rollout), rollout.plan.policy
    if absent(rollout, facts):
        late = [*rollout.header.late, *cohort.members]
        return _to(rollout, now, RolloutState.GATED, "cohort_absent", late=late, why="")
    ready = [serial for serial in cohort.members if staged(rollout, facts.standing(serial))]
    waiting = [
        serial
        for serial in cohort.members
        if serial not in ready and not facts.standing(serial).done
    ]
    reachable = [serial for serial in waiting if facts.standing(serial).reachable]
    enough = len(ready) >= quorum(rollout)
    overdue = facts.phase_s >= policy.stage_deadline_s
    report = facts.gates.get(rollout.header.cohort)
    watched = looks_bad(report) or (pairs_undecided(report) and not overdue)
    if watched and rollout.header.cohort not in rollout.header.waived:
        return None
    if blue_green(rollout.plan) and not rollout.header.switched:
        return None
    if enough and (overdue or not reachable):
        late = [*rollout.header.late, *waiting]
        return _to(rollout, now, RolloutState.ACTIVATING, "activating", late=late, why="")
    return None


def _activate(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    cohort = current(rollout)
    counted = [serial for serial in cohort.members if serial not in rollout.header.late]
    done = [serial for serial in counted if committed(facts.standing(serial))]
    open_ = [
        serial
        for serial in counted
        if not facts.standing(serial).done
        and (facts.standing(serial).reachable or facts.standing(serial).in_flight)
    ]
    suspect = [serial for serial in open_ if facts.standing(serial).suspect]
    if len(suspect) < len(open_) or len(done) < quorum(rollout):
        return None
    late = [*rollout.header.late, *suspect]
    return _to(rollout, now, RolloutState.SOAKING, "soaking", late=late, why="")


def _soak(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    number = rollout.header.cohort
    report = facts.gates.get(number)
    waived = number in rollout.header.waived
    if not waived and (report is None or report.verdict is not Verdict.PASS):
        return None
    gates = list(rollout.header.gates)
    if report is not None:
        gates.append(report)
    made = _to(rollout, now, RolloutState.GATED, "gated", gates=gates, why="")
    evidence = {"verdict": report.verdict.value, "by": report.by} if report else {}
    made.event.facts.update(evidence, waived=waived, measurements=numbers(report))
    return made


def _advance(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    following = rollout.header.cohort + 1
    if following == len(rollout.plan.cohorts):
        # Whatever spoke against it until now was waived by name; only what comes later is told.
        vetoes = [*rollout.header.vetoes, *facts.vetoes]
        return _to(rollout, now, RolloutState.COMPLETED, "completed", vetoes=vetoes, why="")
    lag = rollout.plan.policy.safety_lag_s
    if rollout.plan.cohorts[following].safety and not current(rollout).safety and lag > 0:
        return _to(rollout, now, RolloutState.SAFETY_LAG, "lagging", why="")
    return _to(rollout, now, RolloutState.STAGING, "staging", cohort=following, why="")


def _lag(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    if facts.phase_s < rollout.plan.policy.safety_lag_s:
        return None
    following = rollout.header.cohort + 1
    return _to(rollout, now, RolloutState.STAGING, "staging", cohort=following, why="")


def _roll_back(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    standings = [
        facts.standing(serial) for part in rollout.plan.cohorts for serial in part.members
    ]
    reachable = [each for each in standings if each.reachable and (each.runs or each.in_flight)]
    overdue = [each for each in reachable if each.state not in STUCK]
    if not all(each.suspect for each in overdue):
        return None
    if any(each.state in STUCK for each in standings) or overdue:
        made = _to(rollout, now, RolloutState.ROLLBACK_INCOMPLETE, "rollback_incomplete")
        # One that is stuck has said so, and that is an alarm of its own.
        alarms = (_kept(rollout, len(overdue), len(standings)),) if overdue else ()
        return Step(made.rollout, made.event, alarms)
    made = _to(rollout, now, RolloutState.ROLLED_BACK, "rolled_back")
    return Step(
        made.rollout, made.event, (), tuple(hold_key(rollout, each) for each in sorted(BY_GATE))
    )


def _kept(rollout: Rollout, overdue: int, members: int) -> AlarmCall:
    return AlarmCall(
        key=f"rollout/{rollout.id}/rollback",
        priority=Priority.P1,
        what=f"rollback of {rollout.id}: long overdue on {overdue} of {members} gateways",
        consequence="they are heard and keep the release that was ordered back; they may be "
        "given another one",
        runbook="rollback-failed",
    )


def _watch_over(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """A hard veto that comes when everybody has the release: no further gateway, one page."""
    if not facts.vetoes:
        return None
    stood = rollout.header.holds.get(Hold.GATE_FAIL)
    why = "; ".join([*([] if stood is None else [stood]), *facts.vetoes])[:500]
    made = moved(
        rollout,
        now,
        Event("rollout.vetoed_late", rollout.id, {"vetoes": list(facts.vetoes)}),
        holds={**rollout.header.holds, Hold.GATE_FAIL: why},
        vetoes=[*rollout.header.vetoes, *facts.vetoes],
        why=why,
    )
    alarm = AlarmCall(
        key=hold_key(rollout, Hold.GATE_FAIL),
        priority=Priority.P1,
        what=f"rollout {rollout.id}, completed: {why}"[:500],
        consequence="no further gateway takes the release; those that run it keep it until it "
        "is rolled back",
        runbook="release-vetoed",
    )
    return Step(made.rollout, made.event, (alarm,))


def _to(
    rollout: Rollout, now: datetime, state: RolloutState, verb: str, **changes: object
) -> Step:
    number = changes.get("cohort", rollout.header.cohort)
    names = [part.name for part in rollout.plan.cohorts]
    facts: dict[str, object] = {"from": rollout.state.value, "to": state.value}
    if isinstance(number, int) and number < len(names):
        facts["cohort"] = names[number]
    if changes.get("why"):
        facts["why"] = changes["why"]
    return moved(rollout, now, Event(f"rollout.{verb}", rollout.id, facts), state=state, **changes)


_MOVES: dict[RolloutState, Callable[[Rollout, Facts, datetime], Step | None]] = {
    RolloutState.VERIFYING: _verify,
    RolloutState.AWAITING_APPROVAL: _await_approval,
    RolloutState.APPROVED: _start,
    RolloutState.STAGING: _stage,
    RolloutState.ACTIVATING: _activate,
    RolloutState.SOAKING: _soak,
    RolloutState.GATED: _advance,
    RolloutState.SAFETY_LAG: _lag,
    RolloutState.ROLLING_BACK: _roll_back,
    RolloutState.COMPLETED: _watch_over,
}
