"""Holds that the machine itself sets and clears, each with its own cause; pure.

A failed gate is set here and goes only by a person's word. Clock, window and blast radius come and
go with what is seen. An undecided gate waits for a person too.
"""

from datetime import datetime

from edge_core.contracts.api import Priority
from edge_core.contracts.gates import GateReport, Measurement, Verdict
from edge_core.contracts.rollout import Hold, OnFail, RolloutState
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.approvals.mandate import Lapse, mandate
from edge_site_proxy.rollout.facts import (
    FAILED,
    STAGED,
    Facts,
    absent,
    current,
    looks_bad,
    quorum,
    staged,
)
from edge_site_proxy.rollout.records import AlarmCall, Rollout, Step, moved
from edge_site_proxy.rollout.windows import describe, open_span

BY_GATE = frozenset({Hold.GATE_FAIL, Hold.GATE_INCONCLUSIVE})
_ALARMED = frozenset({Hold.BLAST, Hold.GATE_INCONCLUSIVE, Hold.APPROVAL})
_KEYS = {
    Hold.GATE_FAIL: "gate",
    Hold.GATE_INCONCLUSIVE: "inconclusive",
    Hold.BLAST: "blast",
    Hold.APPROVAL: "approval",
}


def gate_failed(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """Hold, and page once, when a cohort that has begun fails its gate."""
    if Hold.GATE_FAIL in rollout.header.holds:
        return None
    for number, report in sorted(facts.gates.items()):
        if report.verdict is not Verdict.FAIL or number in rollout.header.waived:
            continue
        why = _fail_words(report)
        made = moved(
            rollout,
            now,
            Event(
                "rollout.gate_failed",
                rollout.id,
                {"cohort": report.cohort, "by": report.by, "measurements": numbers(report)},
            ),
            holds={**rollout.header.holds, Hold.GATE_FAIL: why},
            gates=[*rollout.header.gates, report],
            why=why,
        )
        alarm = AlarmCall(
            key=hold_key(rollout, Hold.GATE_FAIL),
            priority=Priority.P1,
            what=f"rollout {rollout.id}: {why}"[:500],
            consequence=_consequence(rollout),
            runbook="gate-failed",
        )
        return Step(made.rollout, made.event, (alarm,))
    return None


def takes_itself_back(rollout: Rollout) -> bool:
    """Whether the site orders everybody back once a gate of *rollout* has failed."""
    back = rollout.plan.rollback_to
    return rollout.plan.policy.on_fail is OnFail.AUTO_ROLLBACK and back is not None


def _consequence(rollout: Rollout) -> str:
    if takes_itself_back(rollout):
        return "no further gateway changes; the site takes back those that are on the new model"
    return (
        "the rollout is held and no further gateway changes; "
        "gateways already on the new model keep it until it is rolled back"
    )


def _fail_words(report: GateReport) -> str:
    rows = [row for row in report.measurements if row.gate in report.by]
    said = "; ".join(f"{row.gate}: {row.explanation}" for row in rows)
    return f"cohort {report.cohort} failed its gate ({said})"[:500]


def own_holds(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """Set or clear the holds whose cause the machine itself sees, one at a time."""
    for hold, cause in _causes(rollout, facts, now).items():
        stands = rollout.header.holds.get(hold)
        if cause is not None and stands is None:
            return _held(rollout, now, hold, cause)
        if cause is None and stands is not None and hold is not Hold.GATE_INCONCLUSIVE:
            return cleared(rollout, now, hold)
    return None


def _causes(rollout: Rollout, facts: Facts, now: datetime) -> dict[Hold, str | None]:
    windows = rollout.plan.policy.windows
    guarded = rollout.state is RolloutState.ACTIVATING and current(rollout).safety
    shut = guarded and facts.clock_trusted and open_span(windows, now) is None
    return {
        Hold.CLOCK: "the site's clock is not synchronised"
        if guarded and not facts.clock_trusted
        else None,
        Hold.WINDOW: describe(windows, now) if shut else None,
        Hold.BUDGET: _budget(rollout, facts),
        Hold.BLAST: _blast(rollout, facts),
        Hold.GATE_INCONCLUSIVE: _undecided(rollout, facts),
        Hold.APPROVAL: _lapsed(rollout, now),
    }


def approval_hold(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """Set or clear the hold of a rollout that is approved and waits, or has reached everybody.

    Of one that has, an approval that merely grew old stops late gateways and nothing else; what
    was signed for a time, in an emergency or not at all any more is somebody's to do.
    """
    cause = _lapsed(rollout, now)
    done = rollout.state is RolloutState.COMPLETED
    old = mandate(rollout, now).lapse is Lapse.EXPIRED
    if done and (old or not facts.in_service):
        cause = None
    stands = rollout.header.holds.get(Hold.APPROVAL)
    if cause is not None and stands is None:
        return _held(rollout, now, Hold.APPROVAL, cause)
    if cause is None and stands is not None:
        return cleared(rollout, now, Hold.APPROVAL)
    return None


def _lapsed(rollout: Rollout, now: datetime) -> str | None:
    """Why what was signed no longer stands; what never was signed moved nothing."""
    found = mandate(rollout, now)
    return found.words if found.lapse not in {None, Lapse.UNSIGNED} else None


def _blast(rollout: Rollout, facts: Facts) -> str | None:
    """A cohort that cannot be formed, or that lost too many members, is never made smaller."""
    cohort, needed = current(rollout), quorum(rollout)
    standings = [facts.standing(serial) for serial in cohort.members]
    alive = [each for each in standings if each.state not in FAILED]
    if rollout.state is RolloutState.STAGING and not absent(rollout, facts):
        staged = [each for each in standings if each.state in STAGED]
        overdue = facts.phase_s >= rollout.plan.policy.stage_deadline_s
        if len(alive) < needed or (overdue and len(staged) < needed):
            return (
                f"cohort {cohort.name} needs {needed} gateways staged, has {len(staged)}, "
                f"{len(standings) - len(alive)} failed"
            )
    sound = [each for each in alive if not each.suspect]
    if rollout.state is RolloutState.ACTIVATING and len(sound) < needed:
        return (
            f"cohort {cohort.name} needs {needed} gateways, {len(sound)} are left, "
            f"{len(alive) - len(sound)} suspect"
        )
    return None


def _budget(rollout: Rollout, facts: Facts) -> str | None:
    """Told while there is time to do something about it; after the deadline the others go on."""
    overdue = facts.phase_s >= rollout.plan.policy.stage_deadline_s
    return facts.shortfall if rollout.state is RolloutState.STAGING and not overdue else None


def _undecided(rollout: Rollout, facts: Facts) -> str | None:
    number, policy = rollout.header.cohort, rollout.plan.policy
    if number in rollout.header.waived:
        return None
    if rollout.state is RolloutState.SOAKING and facts.phase_s >= policy.gate.soak_max_s:
        report = facts.gates.get(number)
        if report is None or report.verdict is Verdict.INCONCLUSIVE:
            return f"the longest soak is over and the gate cannot tell: {_needs(report)}"[:500]
    staging = rollout.state is RolloutState.STAGING
    if staging and (unlike := _unlike(rollout, facts)) is not None:
        return unlike
    if staging and facts.phase_s >= policy.stage_deadline_s:
        standings = [facts.standing(serial) for serial in current(rollout).members]
        unseen = [each for each in standings if each.state in STAGED]
        if looks_bad(facts.gates.get(number)):
            return "beside the present model it is over a limit, and nothing proves it good or bad"
        if len(unseen) >= quorum(rollout) and not any(staged(rollout, each) for each in unseen):
            return f"too few shadow pairs: {policy.shadow_pairs_min} wanted on each gateway"
    return None


def _unlike(rollout: Rollout, facts: Facts) -> str | None:
    """Why pairs will never be enough: known at once, so nobody waits for a deadline to hear it."""
    cohort = current(rollout)
    alive = [each for each in cohort.members if facts.standing(each).state not in FAILED]
    never = [each for each in alive if facts.standing(each).unpaired]
    if not never or len(alive) - len(never) >= quorum(rollout):
        return None
    return (
        f"no shadow pairs possible on {', '.join(never[:8])}: the release's windows differ from "
        "the present model's; to go on without pairs is a person's decision"
    )


def _needs(report: GateReport | None) -> str:
    return "no evidence" if report is None else report.needs


def _held(rollout: Rollout, now: datetime, hold: Hold, cause: str) -> Step:
    made = moved(
        rollout,
        now,
        Event("rollout.held", rollout.id, {"hold": hold.value, "cause": cause}),
        holds={**rollout.header.holds, hold: cause},
    )
    if hold not in _ALARMED:
        return made
    alarm = AlarmCall(
        key=hold_key(rollout, hold),
        priority=Priority.P2,
        what=f"rollout {rollout.id} is held: {cause}"[:500],
        consequence="no further gateway changes until a person looks",
        runbook="rollout-held",
    )
    return Step(made.rollout, made.event, (alarm,))


def cleared(rollout: Rollout, now: datetime, hold: Hold) -> Step:
    """*hold* goes with its cause; every guard is looked at again."""
    left = {each: cause for each, cause in rollout.header.holds.items() if each is not hold}
    made = moved(
        rollout, now, Event("rollout.hold_cleared", rollout.id, {"hold": hold.value}), holds=left
    )
    return Step(
        made.rollout, made.event, (), (hold_key(rollout, hold),) if hold in _ALARMED else ()
    )


def hold_key(rollout: Rollout, hold: Hold) -> str:
    """The key of the alarm about *hold*, of those that have one."""
    return f"rollout/{rollout.id}/{_KEYS[hold]}"


def numbers(report: GateReport | None) -> list[dict[str, object]]:
    """What the audit log keeps of a report: all that the verdict can be worked out again from."""
    rows = report.measurements if report is not None else []
    return [_number(row) for row in rows]


def _number(row: Measurement) -> dict[str, object]:
    found: dict[str, object] = {
        "gate": row.gate,
        "verdict": row.verdict.value,
        "value": row.value,
        "limit": row.limit,
        "n": row.n,
        "log_e": row.log_e,
        "log_e_good": row.log_e_good,
    }
    if row.strata:
        found["strata"] = [
            [each.name, each.bad, each.both, each.expected, each.expected_control]
            for each in row.strata
        ]
        found |= {"worse": row.worse, "better": row.better}
    return found
