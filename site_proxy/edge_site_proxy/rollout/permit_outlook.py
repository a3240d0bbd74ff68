"""From the state in memory to what a permit depends on; reads only."""

from datetime import datetime, timedelta

from edge_core.contracts.gateway import PermitRequest, UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout.apart import held
from edge_site_proxy.rollout.outlook import standing, vetoed
from edge_site_proxy.rollout.permits import Ask, CatchUp, Neighbour, lease_s
from edge_site_proxy.rollout.records import Rollout
from edge_site_proxy.rollout.wanted import assigned, rollback_owed
from edge_site_proxy.rollout.world import World


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
        rollback_wanted=rollback_owed(world, serial),
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


def permits_unused(world: World, rollout: Rollout) -> list[str]:
    """Who holds a permit of *rollout* and has not reported that it began with it."""
    return [
        serial
        for serial, grant in world.grants.items()
        if grant.rollout == rollout.id and standing(world, rollout, serial).state not in IN_FLIGHT
    ]


def neighbour(world: World, place: GatewayPlace) -> Neighbour:
    """A gateway as the guards of another see it."""
    serial = place.serial
    sighting = world.sightings.get(serial)
    busy = flying(world, serial)
    dead = world.noted(serial).dead is not None
    if sighting is None or dead:
        return Neighbour(place, busy is not None, healthy=False, serving=False, why=busy or "")
    if busy is None and serial not in world.heard and world.reachable(serial):
        # What was kept may be older than what the gateway was last told, as after a restore.
        busy = "perhaps: not heard since the site started"
    report = sighting.report
    ills = {
        "in maintenance": serial in world.plant.maintenance,
        "silent": not world.reachable(serial),
        "running what nobody approved": report.running not in {None, report.effective},
        "not on a committed model": report.effective is None
        or report.effective != report.references.committed,
        "in safe mode": report.safe_mode,
        "faulted": bool(report.faults),
    }
    why = busy or ", ".join(name for name, ill in ills.items() if ill)
    doing, since, until = _flight(world, serial)
    return Neighbour(
        place=place,
        doing=doing,
        since=since,
        until=until,
        in_flight=busy is not None,
        healthy=busy is None and not any(ills.values()),
        serving=report.effective is not None,
        why=why,
    )


def left_alone(world: World, serial: str) -> str:
    """Who fails, and how, while *serial* is on trial and nobody of its group could stand in.

    Nothing where *serial* is not heard either: that is a network, and no order would reach it.
    """
    group = world.plant.groups.get(world.plant.places[serial].redundancy_group or "", [])
    others = [each for each in group if each != serial]
    if not others or not _on_trial(world, serial):
        return ""
    seen = {each: neighbour(world, world.plant.places[each]) for each in others}
    if any(each.healthy or each.in_flight for each in seen.values()):
        return ""
    failing = [f"{name} ({each.why})" for name, each in seen.items() if _missed(world, name)]
    return ", ".join(failing)


def _on_trial(world: World, serial: str) -> bool:
    sighting = world.sightings.get(serial)
    return (
        sighting is not None
        and world.reachable(serial)
        and any(
            sighting.flying(digest) and attempt.update.state is UpdateState.TRIAL
            for digest, attempt in sighting.attempts.items()
        )
    )


def _missed(world: World, serial: str) -> bool:
    """Whether anybody counts on *serial*: it had a model, and nobody has declared it dead."""
    sighting = world.sightings.get(serial)
    if sighting is None or world.noted(serial).dead is not None:
        return False
    return sighting.report.references.committed is not None


def _flight(world: World, serial: str) -> tuple[str, datetime | None, datetime | None]:
    """What a permit of *serial* led to, when it was given, and when that should be over."""
    grant = world.grants.get(serial)
    rollout = None if grant is None else world.rollouts.get(grant.rollout)
    if grant is None or rollout is None:
        return "", None, None
    sighting = world.sightings.get(serial)
    state = None
    if sighting is not None and sighting.flying(grant.digest):
        state = sighting.attempts[grant.digest].update.state
    doing = {None: "under a permit", UpdateState.TRIAL: "in trial"}.get(state, "changing")
    trial_s = rollout.plan.policy.trial.duration_min_s
    return doing, grant.at, grant.at + timedelta(seconds=trial_s)


def flying(world: World, serial: str) -> str | None:
    """Why *serial* may be changing its model right now, or None."""
    sighting = world.sightings.get(serial)
    if sighting is not None and world.noted(serial).dead is None:
        for digest, attempt in sighting.attempts.items():
            if sighting.flying(digest):
                return f"{attempt.update.state.value} as last reported"
    return "permit out" if serial in world.grants else None
