"""Gateways that stand apart from everybody else: which, why, and since when; reads only."""

from datetime import datetime

from edge_core.contracts.api import ExceptionKind, GatewayException
from edge_core.contracts.gateway import StatusReport
from edge_site_proxy.rollout.facts import STUCK
from edge_site_proxy.rollout.world import World


def held(world: World, serial: str) -> str:
    """Why *serial* alone may not change its model, or nothing."""
    marks = world.noted(serial)
    if marks.conflict is not None:
        return f"CONFLICT: {marks.conflict.why}; a person must resume this gateway"
    if marks.dead is not None:
        return f"it was declared dead ({marks.dead.why}) and has not reported since"
    missing = _stranded(world, serial)
    return f"ROLLBACK_TARGET: {missing}" if missing else ""


def _stranded(world: World, serial: str) -> str:
    sighting = world.sightings.get(serial)
    if sighting is None:
        return ""
    update = sighting.report.update
    if update is not None and update.state in STUCK:
        return ""  # where no way back loads, a way forward is all there is
    return no_way_back(sighting.report)


def no_way_back(report: StatusReport) -> str:
    """Why a gateway that tried another release could not return to its own, or nothing.

    The release that it would return to is known to load only while it runs. Without any there is
    nothing to return to: the first release of a gateway has the safe output beside it.
    """
    committed = report.references.committed
    if committed is None or report.effective != committed or report.running == committed:
        return ""
    return f"its way back {committed} is not loaded, its worker runs {report.running or 'nothing'}"


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
    missing = _stranded(world, serial)
    if missing:
        found.append(_exception(world, serial, ExceptionKind.ROLLBACK_TARGET, missing, None))
    return found


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
