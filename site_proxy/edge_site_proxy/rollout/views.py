"""A rollout as people see it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from edge_core.contracts.gates import GateReport
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import (
    TERMINAL,
    Due,
    Eta,
    Hold,
    Member,
    Plan,
    RolloutState,
    RolloutView,
)
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout import outlook
from edge_site_proxy.rollout.approvals.mandate import (
    RENEWABLE,
    Mandate,
    acknowledged,
    mandate,
    needs_pin,
)
from edge_site_proxy.rollout.approvals.signatures import FOR_A_SHIFT
from edge_site_proxy.rollout.eta import Outlook, estimate, takes_min
from edge_site_proxy.rollout.facts import Standing, green_waiting
from edge_site_proxy.rollout.members import standings_now
from edge_site_proxy.rollout.orders import lines_of, touches_safety
from edge_site_proxy.rollout.planner import waits_for
from edge_site_proxy.rollout.records import MOVING, PENDING, Rollout, etag_of
from edge_site_proxy.rollout.strategies import blue_green
from edge_site_proxy.rollout.why import holds_of, why_not
from edge_site_proxy.rollout.windows import describe
from edge_site_proxy.rollout.world import World


def view(world: World, rollout: Rollout) -> RolloutView:
    """All of one rollout, with the age of what each member last said."""
    header, plan = rollout.header, rollout.plan
    started = rollout.state not in PENDING and rollout.state not in TERMINAL
    safety, now = touches_safety(plan, world.plant.inventory), world.clocks.now()
    stands = mandate(rollout, now)
    waits = _concerns(rollout, stands)
    cohort = plan.cohorts[header.cohort].name if started and plan.cohorts else None
    standings = {
        serial: outlook.standing(world, rollout, serial)
        for part in plan.cohorts
        for serial in part.members
    }
    return RolloutView(
        id=header.id,
        etag=etag_of(rollout),
        state=header.state,
        holds=sorted(holds_of(world, rollout)),
        release=plan.release,
        rollback_to=plan.rollback_to,
        author=plan.author,
        cohort=cohort,
        cohorts=plan.cohorts,
        members=[
            _member(world, rollout, standings[serial], serial, part.name)
            for part in plan.cohorts
            for serial in part.members
        ],
        gates=_gates(world, rollout),
        approvals=header.approvals,
        approvals_needed=stands.needed,
        ticket_needed=safety,
        lines=lines_of(plan, world.plant.inventory),
        why=_why(world, rollout)[:500],
        created=header.created,
        changed=header.changed,
        plan_digest=rollout.plan_digest,
        excluded={**plan.excluded, **_maintenance(world, plan)},
        eta=_eta(world, rollout, standings),
        windows=plan.policy.windows,
        change=stands.change,
        signers_needed=list(stands.open) if waits else [],
        dues=_dues(stands, now) if waits else [],
        next_window=describe(plan.policy.windows, now),
        ticket_pattern=plan.policy.ticket_pattern,
        pin_needed=needs_pin(plan.policy, safety=safety),
        waivers=header.waivers,
        waivers_needed=plan.policy.safety_waivers if safety else 1,
        acknowledgements=header.acknowledgements,
        acknowledgement_needed=safety
        and rollout.state in FOR_A_SHIFT
        and rollout.state is not RolloutState.COMPLETED
        and not acknowledged(rollout, now),
        revocations=header.revocations,
        last_order=header.last_order,
        takes_min=_takes_min(world, plan, standings),
        on_fail=plan.policy.on_fail,
        signed=plan.signed,
    )


def _maintenance(world: World, plan: Plan) -> dict[str, str]:
    """Who is out: when the plan was made, or of its members now."""
    members = {serial for part in plan.cohorts for serial in part.members}
    now = {serial: why for serial, why in world.plant.maintenance.items() if serial in members}
    return {serial: f"maintenance: {why}" for serial, why in {**plan.maintenance, **now}.items()}


def _eta(world: World, rollout: Rollout, standings: Mapping[str, Standing]) -> Eta | None:
    """When it ends at best; None where that is over, or nothing is planned yet."""
    moving = rollout.state in MOVING
    if not (moving or rollout.state in PENDING) or not rollout.plan.cohorts:
        return None
    through = rollout.state in {RolloutState.GATED, RolloutState.SAFETY_LAG}
    first = rollout.header.cohort + through if moving else 0
    if not standings.keys() <= world.plant.places.keys():
        return None  # somebody has left the inventory, and with that the lines it counted on
    over = {serial for serial, now in standings.items() if now.done}
    done = frozenset(over | {*rollout.header.late}) if moving else frozenset()
    return estimate(
        rollout.plan,
        Outlook(
            places=world.plant.places,
            now=world.clocks.now(),
            health_window_s=world.settings.health_window_s,
            cohort=first,
            done=done,
            staging_s=outlook.staging_s(world, rollout),
        ),
    )


def _takes_min(world: World, plan: Plan, members: Mapping[str, Standing]) -> int | None:
    if not plan.cohorts or not members.keys() <= world.plant.places.keys():
        return None
    return takes_min(plan, world.plant.places, world.settings.health_window_s)


def _dues(stands: Mandate, now: datetime) -> list[Due]:
    return [
        msgspec.structs.replace(due, left_s=(due.at - now).total_seconds()) for due in stands.dues
    ]


def _concerns(rollout: Rollout, stands: Mandate) -> bool:
    """Whether signatures under it are still anybody's business."""
    if rollout.state is RolloutState.COMPLETED:
        # That a plain approval grows old once everybody was reached is nothing to look after.
        return Hold.APPROVAL in rollout.header.holds or len(stands.dues) > 1
    return rollout.state is RolloutState.AWAITING_APPROVAL or rollout.state in RENEWABLE


def _member(world: World, rollout: Rollout, now: Standing, serial: str, cohort: str) -> Member:
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
        reason=("" if update is None else update.reason)
        or ("" if now.done or not rollout.open else why_not(world, serial)),
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
    header, holds = rollout.header, holds_of(world, rollout)
    if holds:
        return "; ".join(f"{hold.value}: {cause}" for hold, cause in holds.items())
    if rollout.state in PENDING:
        other = waits_for(world, rollout)
        if other is not None:
            return f"waits until {other} has ended"
    if rollout.state is RolloutState.SOAKING:
        report = world.gates.get(rollout.id, {}).get(header.cohort)
        if report is not None and report.needs:
            return f"soaking, needs {report.needs}"
    if rollout.state is RolloutState.STAGING and blue_green(rollout.plan) and not header.switched:
        judged = world.gates.get(rollout.id, {})
        facts = outlook.facts(world, rollout, standings_now(world, rollout), judged)
        waiting = green_waiting(rollout, facts)
        words = (
            f"waits for {len(waiting)} gateways" if waiting else "all is ready: order the switch"
        )
        return f"blue-green, staged beside the present release; {words}"
    return header.why
