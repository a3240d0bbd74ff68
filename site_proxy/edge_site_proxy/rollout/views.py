"""A rollout as people see it."""

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import TERMINAL, GateReport, Member, RolloutState, RolloutView
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout import outlook
from edge_site_proxy.rollout.orders import lines_of, touches_safety
from edge_site_proxy.rollout.planner import waits_for
from edge_site_proxy.rollout.records import PENDING, Rollout, etag_of
from edge_site_proxy.rollout.world import World


def view(world: World, rollout: Rollout) -> RolloutView:
    """All of one rollout, with the age of what each member last said."""
    header, plan = rollout.header, rollout.plan
    started = rollout.state not in PENDING and rollout.state not in TERMINAL
    cohort = plan.cohorts[header.cohort].name if started and plan.cohorts else None
    return RolloutView(
        id=header.id,
        etag=etag_of(rollout),
        state=header.state,
        holds=sorted(header.holds),
        release=plan.release,
        rollback_to=plan.rollback_to,
        author=plan.author,
        cohort=cohort,
        cohorts=plan.cohorts,
        members=[
            _member(world, rollout, serial, part.name)
            for part in plan.cohorts
            for serial in part.members
        ],
        gates=_gates(world, rollout),
        approvals=header.approvals,
        approvals_needed=plan.policy.approvals,
        ticket_needed=touches_safety(plan, world.plant.inventory),
        lines=lines_of(plan, world.plant.inventory),
        why=_why(world, rollout)[:500],
        created=header.created,
        changed=header.changed,
        plan_digest=rollout.plan_digest,
    )


def _member(world: World, rollout: Rollout, serial: str, cohort: str) -> Member:
    now = outlook.standing(world, rollout, serial)
    sighting = world.sightings.get(serial)
    update = None if sighting is None else sighting.update(rollout.digest)
    state = now.state
    # Before an attempt is heard of: reached by the rollout is assigned, else it is idle.
    if state is UpdateState.IDLE and rollout.open and rollout.state not in PENDING:
        number = world.cohort_of(rollout, serial)
        reached = number is not None and number <= rollout.header.cohort
        state = UpdateState.ASSIGNED if reached else UpdateState.IDLE
    return Member(
        serial=serial,
        cohort=cohort,
        state=state,
        outcome=now.outcome,
        reason="" if update is None else update.reason,
        permit_live=now.permit_live and now.state not in IN_FLIGHT,
        age_s=world.age_s(serial),
        suspect_s=now.overdue_s if now.suspect else None,
    )


def _gates(world: World, rollout: Rollout) -> list[GateReport]:
    """The newest report of each cohort: live while it moves, else as it was kept."""
    live = world.gates.get(rollout.id, {}) if rollout.open else {}
    found = {report.cohort: report for report in rollout.header.gates}
    if rollout.state is not RolloutState.ROLLING_BACK:
        found |= {report.cohort: report for report in live.values()}
    return [found[part.name] for part in rollout.plan.cohorts if part.name in found]


def _why(world: World, rollout: Rollout) -> str:
    header = rollout.header
    if header.holds:
        return "; ".join(f"{hold.value}: {cause}" for hold, cause in header.holds.items())
    if rollout.state in PENDING:
        other = waits_for(world, rollout)
        if other is not None:
            return f"waits until {other} has ended"
    if rollout.state is RolloutState.SOAKING:
        report = world.gates.get(rollout.id, {}).get(header.cohort)
        if report is not None and report.needs:
            return f"soaking, needs {report.needs}"
    return header.why
