"""From the state in memory to what the machine and the permits look at; reads only."""

from collections.abc import Mapping
from dataclasses import replace

from edge_core.contracts.gates import GateReport
from edge_core.contracts.gateway import Outcome, UpdateReport, UpdateState
from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout.budget import PullAsk, metered, obtainable, size, takes_s
from edge_site_proxy.rollout.deadlines import overdue_s
from edge_site_proxy.rollout.epochs import next_epoch
from edge_site_proxy.rollout.facts import ABSENT, FAILED, STANDING_BY, STUCK, Facts, Standing
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import EMPTY, History, Tally, history_of, pooled
from edge_site_proxy.rollout.gates.gate import judge
from edge_site_proxy.rollout.gates.overrides import turned_down
from edge_site_proxy.rollout.planner import current_rollout, prospect, waits_for
from edge_site_proxy.rollout.records import IN_PROGRESS, MOVING, PENDING, Rollout
from edge_site_proxy.rollout.steering import steered_away
from edge_site_proxy.rollout.strategies import blue_green
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


def facts(
    world: World,
    rollout: Rollout,
    members: Mapping[str, Standing],
    judged: Mapping[int, GateReport],
) -> Facts:
    """What the machine decides on: its *members* as they stand, and what `gates` said of it."""
    pending = rollout.state in PENDING
    blocked_by = waits_for(world, rollout) if pending else None
    plan = prospect(world, rollout) if pending and blocked_by is None else None
    return Facts(
        members=members,
        gates=judged,
        phase_s=world.phase_s(rollout),
        clock_trusted=world.clocks.quality().synchronised,
        waits_for=blocked_by,
        fresh=None if plan is None else plan.plan,
        refusal=None if plan is None else plan.refusal,
        in_service=_in_service(world, rollout),
        shortfall=shortfall(world, rollout),
        vetoes=late_vetoes(world, rollout),
        steered_away=steered_away(world.signed_plans.get(rollout.plan.release.model), rollout)
        if pending
        else None,
        epoch=next_epoch(world) if Hold.GATE_FAIL in rollout.header.holds else 0,
    )


def _in_service(world: World, rollout: Rollout) -> bool:
    """Whether its release is what late gateways are still brought to."""
    if rollout.state is not RolloutState.COMPLETED:
        return True
    current = current_rollout(world, rollout.plan.release.model)
    return current is not None and current.id == rollout.id


def shortfall(world: World, rollout: Rollout) -> str | None:
    """Why the present cohort cannot have its bytes before its staging deadline, if so."""
    policy, limits = rollout.plan.policy, world.settings.downloads
    if rollout.state is not RolloutState.STAGING or not metered(limits, policy):
        return None
    wanting = [
        serial
        for serial in rollout.plan.cohorts[rollout.header.cohort].members
        if (member := standing(world, rollout, serial)).reachable
        and member.state in {UpdateState.IDLE, UpdateState.ASSIGNED, UpdateState.DOWNLOADING}
    ]
    needed = sum(_size(world, rollout, serial) for serial in wanting)
    left_s = max(0.0, policy.stage_deadline_s - world.phase_s(rollout))
    free = obtainable(pull_ask(world, "", needed), limits, policy, left_s)
    # What a token has given out already is on its way.
    coming = sum(world.tokens[serial].bytes for serial in wanting if serial in world.tokens)
    if free is None or needed <= free + coming:
        return None
    cohort = rollout.plan.cohorts[rollout.header.cohort].name
    return (
        f"cohort {cohort} needs {size(needed)} for {len(wanting)} gateways; the site gives out "
        f"{size(free)} before its staging is due in {left_s / 60:.0f} min; allow more, or whoever "
        "has no bytes by then is late"
    )


def pull_ask(world: World, serial: str, missing: int) -> PullAsk:
    """Everything that bytes for *serial* depend on."""
    last = max(world.pulling.values(), default=None)
    return PullAsk(
        missing=missing,
        pullers=tuple(each for each in world.tokens if each != serial),
        begins=serial not in world.tokens,
        since_last_s=None if last is None else world.clocks.monotonic() - last,
        ledger=world.ledger_now(),
        now=world.clocks.now(),
        clock_trusted=world.clocks.quality().synchronised,
    )


def staging_s(world: World, rollout: Rollout) -> list[float]:
    """How long each cohort takes at least to get its bytes; nobody waits past the deadline."""
    policy, limits = rollout.plan.policy, world.settings.downloads
    whole = [
        sum(_size(world, rollout, serial) for serial in part.members)
        for part in rollout.plan.cohorts
    ]
    return [min(policy.stage_deadline_s, takes_s(limits, count)) for count in whole]


def _size(world: World, rollout: Rollout, serial: str) -> int:
    """Bytes of the build that *serial* takes; 0 where that is not known."""
    sizes = world.releases[rollout.digest].sizes
    sighting = world.sightings.get(serial)
    can = [] if sighting is None else sighting.report.targets
    return next((sizes[target] for target in can if target in sizes), 0)


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
        reachable=world.reachable(serial) and serial not in world.plant.maintenance,
        runs=rollout.digest in {report.effective, report.references.committed},
        permit_live=permit_live,
        pairs=_tally(world, serial, rollout.digest, "shadow").pairs,
        unpaired=state in STANDING_BY and update is not None and update.unpaired,
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
    if state in STANDING_BY:
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
    """The report of every cohort that has begun; of a blue-green plan all have."""
    if rollout.state not in MOVING:
        return {}
    reached = len(rollout.plan.cohorts) if blue_green(rollout.plan) else rollout.header.cohort + 1
    begun = range(reached)
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
            if _counts(world, serial)
        },
        controls=_controls(world, rollout, baseline),
        shadow_needed=plan.rollback_to is not None and plan.policy.shadow_pairs_min > 0,
        window_s=world.settings.health_window_s,
        confirm=rollout.state is RolloutState.SOAKING and number == rollout.header.cohort,
    )


def turned(world: World, rollout: Rollout) -> dict[str, str]:
    """Members on which operators override the release soon after it came, with what to say."""
    found = {}
    for number in range(rollout.header.cohort + 1):
        baseline = world.baselines.get((rollout.id, number), {})
        for serial in rollout.plan.cohorts[number].members:
            running = running_of(world, rollout, serial)
            limits = rollout.plan.policy.gate
            words = turned_down(running, baseline.get(serial), limits) if running.overrides else ""
            if words:
                found[serial] = words
    return found


def running_of(world: World, rollout: Rollout, serial: str) -> Tally:
    """What the release did in charge of *serial*, on trial and committed."""
    roles = ("trial", "committed")
    return pooled(_tally(world, serial, rollout.digest, role) for role in roles)


def _counts(world: World, serial: str) -> bool:
    """Whether evidence of *serial* counts: it stands in the plant, and its model is its own."""
    return serial in world.plant.places and world.noted(serial).drift is None


def veto_of(world: World, rollout: Rollout, serial: str) -> str | None:
    """A deterministic refusal of this release by *serial*, in words.

    Why it alone cannot take the release, as a full disk, is no word about the release.
    """
    veto = _refusal(world, rollout, serial)
    return None if veto is None or veto.partition(":")[0] in LOCAL_VETOES else veto


def _refusal(world: World, rollout: Rollout, serial: str) -> str | None:
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
    wish = world.wish(serial).rollback
    ordered = rollout.state is RolloutState.ROLLING_BACK or (
        wish is not None and wish.from_digest == digest
    )
    if update.state in {UpdateState.ROLLED_BACK, *STUCK} and not ordered:
        return f"trial_failed: {update.reason or update.state.value}"
    return None


def vetoed(world: World, rollout: Rollout) -> str:
    """The first veto of this release that no person has waived, or nothing."""
    speaking = (each for each, digests in world.suspects.items() if rollout.digest in digests)
    for serial in sorted(speaking):
        number = world.cohort_of(rollout, serial)
        waived = number is None or number in rollout.header.waived
        if waived or not _counts(world, serial):
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
    for serial in sorted(world.suspects):
        veto = veto_of(world, rollout, serial) if _counts(world, serial) else None
        if veto is None:
            continue
        said = f"{serial}: {veto}"[:250]
        update = world.sightings[serial].update(rollout.digest)
        # A veto is never unsaid; while a later attempt goes well it is still that of the earlier.
        ill = update is None or update.veto is not None or update.state in FAILED
        if ill:
            said = f"{said} (attempt {1 if update is None else update.attempt})"
        if not any(told.startswith(said) for told in rollout.header.vetoes):
            found.append(said)
    return tuple(found) if found and _runs_somewhere(world, rollout.digest) else ()


def _runs_somewhere(world: World, digest: str) -> bool:
    return any(
        digest in {each.report.effective, each.report.references.committed}
        for serial, each in world.sightings.items()
        if serial in world.plant.places
    )


def _subject(
    world: World, rollout: Rollout, serial: str, baseline: Mapping[str, History]
) -> Subject:
    now = standing(world, rollout, serial)
    return Subject(
        running=running_of(world, rollout, serial),
        shadow=_tally(world, serial, rollout.digest, "shadow"),
        history=baseline.get(serial),
        kind=kind_of(world, serial),
        veto=veto_of(world, rollout, serial),
        silent_s=_silent_s(world, serial),
        activated=now.runs and serial not in rollout.header.late,
    )


def kind_of(world: World, serial: str) -> str:
    """Zone and hardware class of *serial*; like is compared with like."""
    place = world.plant.places[serial]
    return f"{place.zone}, {place.hardware}"


def _silent_s(world: World, serial: str) -> float:
    heard = world.heard.get(serial, world.started)
    return max(0.0, world.clocks.monotonic() - heard - world.settings.policy.silent_after_s)


def _controls(world: World, rollout: Rollout, baseline: Mapping[str, History]) -> list[Control]:
    back = rollout.plan.rollback_to
    if back is None:
        return []
    canary = set(rollout.members_to(rollout.header.cohort))
    return [
        Control(
            history=history,
            tally=_tally(world, serial, back.digest, "committed"),
            kind=kind_of(world, serial),
            silent=not world.reachable(serial),
        )
        for serial, history in baseline.items()
        if serial not in canary and _counts(world, serial)
    ]


def snapshot(world: World, rollout: Rollout) -> dict[str, History]:
    """Every member's history on the present release, to be frozen as a baseline."""
    back, limits, now = rollout.plan.rollback_to, rollout.plan.policy.gate, world.clocks.now()
    if back is None:
        return {}
    return {
        serial: history_of(tally, limits, now)
        for part in rollout.plan.cohorts
        for serial in part.members
        if (tally := _tally(world, serial, back.digest, "committed")) is not EMPTY
    }


def _tally(world: World, serial: str, digest: str, role: str) -> Tally:
    return world.tallies.get((serial, digest, role), EMPTY)
