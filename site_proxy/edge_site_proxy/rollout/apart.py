"""What keeps one gateway back, whatever its rollout does; reads only."""

from datetime import timedelta

from edge_core.contracts.gateway import StatusReport
from edge_site_proxy.rollout.facts import STUCK
from edge_site_proxy.rollout.world import World

DAY_S = 86_400.0


def held(world: World, serial: str) -> str:
    """Why *serial* alone may not change its model, or nothing."""
    marks = world.noted(serial)
    if marks.conflict is not None:
        return f"CONFLICT: {marks.conflict.why}; a person must resume this gateway"
    if marks.dead is not None:
        return f"it was declared dead ({marks.dead.why}) and has not reported since"
    other = other_day(world, serial)
    if other:
        return f"CLOCK: {other}"
    missing = stranded(world, serial)
    return f"ROLLBACK_TARGET: {missing}" if missing else ""


def other_day(world: World, serial: str) -> str:
    """Why the clock of *serial* cannot be trusted with what expires, or nothing.

    Only a clock of ours that is right can say so.
    """
    ahead_s = world.offsets.get(serial, 0.0)
    if abs(ahead_s) < DAY_S or not world.clocks.quality().synchronised:
        return ""
    says = world.clocks.now() + timedelta(seconds=ahead_s)
    return f"its clock says {says:%Y-%m-%d %H:%M} UTC: expected the day that it is here"


def stranded(world: World, serial: str) -> str:
    """Why *serial* could not return from a trial, or nothing."""
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
