"""Gateways that are not where their rollout wants them: which, why, and since when; reads only."""

from datetime import datetime, timedelta

from edge_core.contracts.api import ExceptionKind, GatewayException
from edge_site_proxy.fleet.sightings import Sighting
from edge_site_proxy.rollout.apart import other_day, stranded
from edge_site_proxy.rollout.outlook import standing
from edge_site_proxy.rollout.permits import expiry
from edge_site_proxy.rollout.planner import current_rollout
from edge_site_proxy.rollout.records import IN_PROGRESS, Rollout
from edge_site_proxy.rollout.wanted import assigned, older_than_known
from edge_site_proxy.rollout.world import World


def exceptions(world: World) -> list[GatewayException]:
    """Every gateway that stands apart, those that have done so for longest first."""
    found = [
        each
        for place in world.plant.inventory.gateways
        for each in exceptions_of(world, place.serial)
    ]
    return sorted(found, key=lambda each: (-(each.age_s or 0.0), each.serial, each.kind.value))


def exceptions_of(world: World, serial: str) -> list[GatewayException]:
    """All that is said of one gateway."""
    marks = world.noted(serial)
    noted = (
        (ExceptionKind.CONFLICT, marks.conflict),
        (ExceptionKind.DRIFT, marks.drift),
        (ExceptionKind.DEAD, marks.dead),
    )
    found = [
        _exception(world, serial, kind, mark.why, mark.since)
        for kind, mark in noted
        if mark is not None
    ]
    other = other_day(world, serial)
    if other:
        found.append(_exception(world, serial, ExceptionKind.CLOCK, other, None))
    missing = stranded(world, serial)
    if missing and marks.drift is None:
        found.append(_exception(world, serial, ExceptionKind.ROLLBACK_TARGET, missing, None))
    suspect = [
        each
        for rollout in world.rollouts.values()
        if rollout.state in IN_PROGRESS and world.cohort_of(rollout, serial) is not None
        for each in _suspect(world, rollout, serial)
    ]
    return [*found, *suspect, *_behind(world, serial)]


def suspects(world: World) -> list[GatewayException]:
    """Every gateway that should have moved on, those that are overdue for longest first.

    But for those of which a person has said that they are dead, or worked on.
    """
    found = [
        each
        for rollout in list(world.rollouts.values())  # may be called in a thread of its own
        if rollout.state in IN_PROGRESS
        for part in rollout.plan.cohorts
        for serial in part.members
        if serial in world.plant.places and not _explained(world, serial)
        for each in _suspect(world, rollout, serial)
    ]
    return sorted(found, key=lambda each: (-(each.age_s or 0.0), each.serial))


def _explained(world: World, serial: str) -> bool:
    return world.noted(serial).dead is not None or serial in world.plant.maintenance


def _suspect(world: World, rollout: Rollout, serial: str) -> list[GatewayException]:
    now = standing(world, rollout, serial)
    if not now.suspect:
        return []
    since = world.clocks.now() - timedelta(seconds=now.overdue_s)
    why = f"{now.state.value} in {rollout.id} for longer than that may take"
    return [_exception(world, serial, ExceptionKind.SUSPECT, why, since)]


def _behind(world: World, serial: str) -> list[GatewayException]:
    """A gateway that does not run what everybody else of its model was brought to."""
    current = current_rollout(world, world.plant.place(serial).model)
    sighting = world.sightings.get(serial)
    if current is None or _has(sighting, current.digest) or _moving(world, serial):
        return []
    release = current.plan.release
    why, since = _kept_back(world, serial, current)
    words = f"not on {release.model} {release.version}: {why}"
    return [_exception(world, serial, ExceptionKind.CATCH_UP, words, since)]


def _has(sighting: Sighting | None, digest: str) -> bool:
    return sighting is not None and sighting.report.references.committed == digest


def _moving(world: World, serial: str) -> bool:
    """Whether a rollout under way decides what *serial* should run."""
    found = assigned(world, serial)
    return found is not None and found.rollout.state in IN_PROGRESS


def _kept_back(world: World, serial: str, current: Rollout) -> tuple[str, datetime]:
    ended, until = current.header.changed, expiry(current, world.settings.policy)
    sighting = world.sightings.get(serial)
    if serial in current.plan.excluded:
        return current.plan.excluded[serial], ended
    newer = older_than_known(world, serial, current)
    if newer is not None:
        return f"it runs {newer}", ended
    if current.header.holds:
        return "; ".join(
            f"{hold.value}: {why}" for hold, why in current.header.holds.items()
        ), ended
    first = sighting is not None and sighting.report.references.committed is None
    if until is not None and world.clocks.now() >= until and not first:
        return "the approval no longer covers gateways that come late", until
    if not world.reachable(serial):
        return "it is silent", ended
    return "it is catching up", ended


def _exception(
    world: World, serial: str, kind: ExceptionKind, why: str, since: datetime | None
) -> GatewayException:
    position = world.plant.place(serial).position
    age_s = None if since is None else max(0.0, (world.clocks.now() - since).total_seconds())
    return GatewayException(
        serial=serial,
        asset=position.asset,
        line=position.line,
        kind=kind,
        why=why[:500],
        since=since,
        age_s=age_s,
    )
