"""From the state in memory to what the machine and the permits look at; reads only."""

from collections.abc import Mapping

from edge_core.contracts.gateway import Outcome, PermitRequest, UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import GateReport, RolloutState
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout.apart import held
from edge_site_proxy.rollout.evidence import EMPTY, Tally, pooled
from edge_site_proxy.rollout.facts import ABSENT, STUCK, Facts, Standing
from edge_site_proxy.rollout.gate import Case, Control, History, Subject, judge
from edge_site_proxy.rollout.permits import Ask, Neighbour, lease_s
from edge_site_proxy.rollout.planner import prospect, waits_for
from edge_site_proxy.rollout.records import MOVING, PENDING, Rollout
from edge_site_proxy.rollout.wanted import assigned, rollback_order
from edge_site_proxy.rollout.world import World

_UNTOUCHED = History(windows=0, bad=0)


def facts(world: World, rollout: Rollout) -> Facts:
    """What the machine decides on, for one rollout."""
    pending = rollout.state in PENDING
    blocked_by = waits_for(world, rollout) if pending else None
    plan = prospect(world, rollout) if pending and blocked_by is None else None
    return Facts(
        members={
            serial: standing(world, rollout, serial)
            for part in rollout.plan.cohorts
            for serial in part.members
        },
        gates=gates(world, rollout),
        phase_s=world.phase_s(rollout),
        clock_trusted=world.clocks.quality().synchronised,
        waits_for=blocked_by,
        fresh=None if plan is None else plan.plan,
        refusal=None if plan is None else plan.refusal,
    )


def standing(world: World, rollout: Rollout, serial: str) -> Standing:
    """How one member stands with regard to the release of *rollout*."""
    sighting = world.sightings.get(serial)
    grant = world.grants.get(serial)
    permit_live = grant is not None and grant.digest == rollout.digest
    if sighting is None:
        return Standing(permit_live=permit_live) if permit_live else ABSENT
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
    )


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
            if world.noted(serial).drift is None
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
        vetoed="" if rollout is None else vetoed(world, rollout),
        held=held(world, serial),
    )


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
