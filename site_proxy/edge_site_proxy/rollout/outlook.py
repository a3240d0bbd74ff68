"""From the state in memory to what the machine and the permits look at; reads only."""

from collections.abc import Mapping
from dataclasses import replace

from edge_core.contracts.gateway import Outcome, PermitRequest, UpdateReport, UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import GateReport, RolloutState
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout.apart import held
from edge_site_proxy.rollout.deadlines import overdue_s
from edge_site_proxy.rollout.evidence import EMPTY, Tally, pooled
from edge_site_proxy.rollout.facts import ABSENT, FAILED, GONE, STUCK, Facts, Standing
from edge_site_proxy.rollout.gate import Case, Control, History, Subject, judge
from edge_site_proxy.rollout.permits import Ask, CatchUp, Neighbour, lease_s
from edge_site_proxy.rollout.planner import prospect, waits_for
from edge_site_proxy.rollout.records import IN_PROGRESS, MOVING, PENDING, Rollout
from edge_site_proxy.rollout.wanted import assigned, rollback_order
from edge_site_proxy.rollout.world import World

# Why a gateway refused a release, but no word about it: its disk, its record, an order.
LOCAL_VETOES = frozenset(
    {
        "space",
        "no_target",
        "known_bad",
        "below_floor",
        "rollback_target",
        "activation",
        "integrity",
        "ordered",
    }
)


def facts(world: World, rollout: Rollout) -> Facts:
    """What the machine decides on, for one rollout."""
    pending = rollout.state in PENDING
    blocked_by = waits_for(world, rollout) if pending else None
    plan = prospect(world, rollout) if pending and blocked_by is None else None
    return Facts(
        members={
            serial: standing(world, rollout, serial) if serial in world.plant.places else GONE
            for part in rollout.plan.cohorts
            for serial in part.members
        },
        gates=gates(world, rollout),
        phase_s=world.phase_s(rollout),
        clock_trusted=world.clocks.quality().synchronised,
        waits_for=blocked_by,
        fresh=None if plan is None else plan.plan,
        refusal=None if plan is None else plan.refusal,
        vetoes=late_vetoes(world, rollout),
    )


def standing(world: World, rollout: Rollout, serial: str) -> Standing:
    """How one member stands with regard to the release of *rollout*."""
    sighting = world.sightings.get(serial)
    grant = world.grants.get(serial)
    permit_live = grant is not None and grant.digest == rollout.digest
    if sighting is None:
        unheard_s = _overdue_s(world, rollout, serial, UpdateState.IDLE, None)
        return replace(ABSENT, permit_live=permit_live, overdue_s=unheard_s)
    report, update = sighting.report, sighting.update(rollout.digest)
    state, outcome = UpdateState.IDLE, Outcome.OPEN
    attempt = rollout.header.attempts.get(serial, 1)
    gone = update is not None and update.state in IN_FLIGHT and not sighting.flying(rollout.digest)
    if (
        update is not None
        and not gone
        and (update.attempt >= attempt or sighting.flying(rollout.digest))
    ):
        state, outcome = update.state, update.outcome
    elif report.references.committed == rollout.digest:
        state, outcome = UpdateState.COMMITTED, Outcome.ALREADY
    return Standing(
        state=state,
        outcome=outcome,
        reachable=world.reachable(serial),
        runs=rollout.digest in {report.effective, report.references.committed},
        permit_live=permit_live,
        pairs=_tally(world, serial, rollout.digest, "shadow").pairs,
        overdue_s=_overdue_s(world, rollout, serial, state, update),
    )


def _overdue_s(
    world: World, rollout: Rollout, serial: str, state: UpdateState, update: UpdateReport | None
) -> float:
    number = world.cohort_of(rollout, serial)
    leaving = rollout.state is RolloutState.ROLLING_BACK
    if leaving and state is UpdateState.COMMITTED:
        return overdue_s(UpdateState.ROLLING_BACK, world.phase_s(rollout), rollout.plan.policy)
    if number is None or number > rollout.header.cohort or rollout.state not in IN_PROGRESS:
        return 0.0
    if state in {UpdateState.STAGED, UpdateState.AWAITING_PERMIT}:
        stood_s = _unasked_s(world, rollout, serial)
    elif update is None or state is UpdateState.IDLE:
        stood_s = world.phase_s(rollout)
    else:
        stood_s = update.since_s + (world.age_s(serial) or 0.0)
    return overdue_s(state, stood_s, rollout.plan.policy)


def _unasked_s(world: World, rollout: Rollout, serial: str) -> float:
    """How long a gateway that may activate has not asked whether it may."""
    if rollout.state is not RolloutState.ACTIVATING or rollout.header.holds:
        return 0.0
    asked = world.asked.get(serial, world.started)
    return min(world.phase_s(rollout), world.clocks.monotonic() - asked)


def gates(world: World, rollout: Rollout) -> dict[int, GateReport]:
    """The report of every cohort that has begun."""
    if rollout.state not in MOVING:
        return {}
    begun = range(rollout.header.cohort + 1)
    return {number: judge(case(world, rollout, number)) for number in begun}


def case(world: World, rollout: Rollout, number: int) -> Case:
    """The evidence for one cohort."""
    cohort, plan = rollout.plan.cohorts[number], rollout.plan
    baseline = world.baselines.get((rollout.id, number), {})
    return Case(
        cohort=cohort.name,
        limits=plan.policy.gate,
        subjects={
            serial: _subject(world, rollout, serial, baseline)
            for serial in cohort.members
            if world.noted(serial).drift is None and serial in world.plant.places
        },
        controls=_controls(world, rollout, baseline),
        shadow_needed=plan.rollback_to is not None and plan.policy.shadow_pairs_min > 0,
    )


def veto_of(world: World, rollout: Rollout, serial: str) -> str | None:
    """A deterministic refusal of this release by *serial*, in words."""
    sighting = world.sightings.get(serial)
    if sighting is None:
        return None
    digest, report = rollout.digest, sighting.report
    if digest in sighting.vetoes:
        return sighting.vetoes[digest]
    update = sighting.update(digest)
    if update is None:
        return None
    # Once committed it is no word about the release: somebody has swapped the model by hand.
    if (
        update.state is UpdateState.TRIAL
        and report.effective == digest
        and report.running not in {None, digest}
    ):
        return f"digest_mismatch: the worker says it loaded {report.running}"
    ordered = rollout.state is RolloutState.ROLLING_BACK or world.wish(serial).rollback is not None
    if update.state in {UpdateState.ROLLED_BACK, *STUCK} and not ordered:
        return f"trial_failed: {update.reason or update.state.value}"
    return None


def vetoed(world: World, rollout: Rollout) -> str:
    """The first veto of this release that no person has waived, or nothing."""
    for serial in sorted(world.suspects):
        number = world.cohort_of(rollout, serial)
        if number is None or number in rollout.header.waived:
            continue
        veto = veto_of(world, rollout, serial)
        if veto is not None:
            return f"{serial}: {veto}"
    return ""


def late_vetoes(world: World, rollout: Rollout) -> tuple[str, ...]:
    """Hard vetoes of a release in service that its rollout has not yet been told.

    They are looked for when its last cohort is through, and from then on.
    """
    last = rollout.header.cohort + 1 == len(rollout.plan.cohorts)
    if rollout.state is not RolloutState.COMPLETED and not (
        rollout.state is RolloutState.GATED and last
    ):
        return ()
    found = []
    for serial in sorted(world.suspects & world.plant.places.keys()):
        veto = veto_of(world, rollout, serial)
        if veto is None or veto.partition(":")[0] in LOCAL_VETOES:
            continue
        said = f"{serial}: {veto}"[:250]
        update = world.sightings[serial].update(rollout.digest)
        # A veto is never unsaid; while a later attempt goes well it is still that of the earlier.
        ill = update is None or update.veto is not None or update.state in FAILED
        if ill:
            said = f"{said} (attempt {1 if update is None else update.attempt})"
        if not any(told.startswith(said) for told in rollout.header.vetoes):
            found.append(said)
    return tuple(found) if found and _in_service(world, rollout.digest) else ()


def _in_service(world: World, digest: str) -> bool:
    return any(
        digest in {each.report.effective, each.report.references.committed}
        for serial, each in world.sightings.items()
        if serial in world.plant.places
    )


def ask(world: World, serial: str, request: PermitRequest) -> Ask:
    """Everything that a permit for *serial* depends on."""
    place = world.plant.place(serial)
    found = assigned(world, serial)
    grant = world.grants.get(serial)
    left_s = 0.0
    if grant is not None:
        held_s = world.clocks.monotonic() - world.granted[serial]
        left_s = min(grant.valid_s, lease_s(grant)) - held_s
    rollout = None if found is None else found.rollout
    return Ask(
        place=place,
        request=request,
        rollout=rollout,
        activate=found is not None and found.activate,
        neighbours={
            other: neighbour(world, world.plant.places[other])
            for other in world.plant.neighbours(place)
        },
        now=world.clocks.now(),
        grant=grant,
        left_s=left_s,
        safety=place.zone in world.plant.safety,
        clock_trusted=world.clocks.quality().synchronised,
        rollback_wanted=_to_be_left(world, serial),
        vetoed=""
        if rollout is None or rollout.state is RolloutState.COMPLETED
        else vetoed(world, rollout),
        held=held(world, serial),
        catch_up=None if rollout is None else _catch_up(world, rollout, serial, request),
    )


def _catch_up(
    world: World, rollout: Rollout, serial: str, request: PermitRequest
) -> CatchUp | None:
    """What guards a gateway that comes after its rollout has ended; None while it has not."""
    if rollout.state is not RolloutState.COMPLETED:
        return None
    sighting = world.sightings.get(serial)
    update = None if sighting is None else sighting.report.update
    return CatchUp(
        policy=world.settings.policy,
        others=[
            other
            for other in sorted(world.plant.places)
            if other != serial
            and flying(world, other) is not None
            and _trying(world, other, rollout)
        ],
        drained=update is None or update.digest == request.digest,
        first=sighting is not None and sighting.report.references.committed is None,
    )


def _trying(world: World, serial: str, rollout: Rollout) -> bool:
    grant, sighting = world.grants.get(serial), world.sightings.get(serial)
    if grant is not None and grant.digest == rollout.digest:
        return True
    dead = world.noted(serial).dead is not None
    return not dead and sighting is not None and sighting.flying(rollout.digest)


def _to_be_left(world: World, serial: str) -> bool:
    """Whether *serial* is to go back first; where that failed, forward is all that is left."""
    order, sighting = rollback_order(world, serial), world.sightings.get(serial)
    if order is None or sighting is None:
        return order is not None
    update = sighting.update(order.from_digest)
    return update is None or update.state not in STUCK


def neighbour(world: World, place: GatewayPlace) -> Neighbour:
    """A gateway as the guards of another see it."""
    serial = place.serial
    sighting = world.sightings.get(serial)
    busy = flying(world, serial)
    dead = world.noted(serial).dead is not None
    if sighting is None or dead:
        return Neighbour(place, busy is not None, healthy=False, serving=False, why=busy or "")
    report = sighting.report
    ills = {
        "silent": not world.reachable(serial),
        "not on a committed model": report.effective is None
        or report.effective != report.references.committed,
        "in safe mode": report.safe_mode,
        "faulted": bool(report.faults),
    }
    why = busy or ", ".join(name for name, ill in ills.items() if ill)
    return Neighbour(
        place=place,
        in_flight=busy is not None,
        healthy=busy is None and not any(ills.values()),
        serving=report.effective is not None,
        why=why,
    )


def flying(world: World, serial: str) -> str | None:
    """Why *serial* may be changing its model right now, or None."""
    sighting = world.sightings.get(serial)
    if sighting is not None and world.noted(serial).dead is None:
        for digest, attempt in sighting.attempts.items():
            if sighting.flying(digest):
                return f"{attempt.update.state.value} as last reported"
    return "permit out" if serial in world.grants else None


def _subject(
    world: World, rollout: Rollout, serial: str, baseline: Mapping[str, History]
) -> Subject:
    digest = rollout.digest
    running = pooled(_tally(world, serial, digest, role) for role in ("trial", "committed"))
    heard = world.heard.get(serial, world.started)
    silent_s = world.clocks.monotonic() - heard - world.settings.policy.silent_after_s
    now = standing(world, rollout, serial)
    return Subject(
        running=running,
        shadow=_tally(world, serial, digest, "shadow"),
        history=baseline.get(serial),
        veto=veto_of(world, rollout, serial),
        silent_s=max(0.0, silent_s),
        activated=now.runs and serial not in rollout.header.late,
    )


def _controls(world: World, rollout: Rollout, baseline: Mapping[str, History]) -> list[Control]:
    back = rollout.plan.rollback_to
    if back is None or not baseline:
        return []
    canary = set(rollout.members_to(rollout.header.cohort))
    found = []
    for serial, history in baseline.items():
        if serial in canary or world.noted(serial).drift is not None:
            continue
        tally = _tally(world, serial, back.digest, "committed")
        meanwhile = History(
            windows=tally.windows - history.windows, bad=tally.bad_windows - history.bad
        )
        found.append(Control(history=history, meanwhile=meanwhile))
    return found


def snapshot(world: World, rollout: Rollout) -> dict[str, History]:
    """Every member's history on the present release, to be frozen as a baseline."""
    back = rollout.plan.rollback_to
    if back is None:
        return {}
    found = {}
    for part in rollout.plan.cohorts:
        for serial in part.members:
            tally = _tally(world, serial, back.digest, "committed")
            if tally is not EMPTY:
                found[serial] = History(windows=tally.windows, bad=tally.bad_windows)
    return found


def _tally(world: World, serial: str, digest: str, role: str) -> Tally:
    return world.tallies.get((serial, digest, role), EMPTY)
