"""Gateways and lines as people see them: every value with its age, nothing old shown as fresh."""

import hashlib

import msgspec

from edge_core.contracts.api import GatewayView, LineView
from edge_core.contracts.gateway import HealthWindow, UpdateState
from edge_site_proxy.audit.canonical import canonical
from edge_site_proxy.fleet.changes import said_wrong
from edge_site_proxy.rollout import permit_outlook
from edge_site_proxy.rollout.exceptions import exceptions_of
from edge_site_proxy.rollout.gates.evidence import EMPTY, Tally
from edge_site_proxy.rollout.wanted import rollback_order
from edge_site_proxy.rollout.world import World


def gateway_view(
    world: World, serial: str, *, enrolled: bool, defer: str, health: list[HealthWindow]
) -> GatewayView:
    """One gateway.

    Raises:
        UnknownGatewayError: the inventory has no such gateway.
    """
    place = world.plant.place(serial)
    sighting = world.sightings.get(serial)
    report = None if sighting is None else sighting.report
    order = rollback_order(world, serial)
    wish = world.wish(serial)
    seen = {
        "report": None if report is None else msgspec.to_builtins(report.references),
        "effective": None if report is None else report.effective,
        "safe_mode": [wish.safe_mode, report is not None and report.safe_mode],
        "rollback": None if order is None else order.from_digest,
    }
    digests = set() if report is None else {report.effective, report.running}
    if report is not None:
        digests |= {
            getattr(report.references, name)
            for name in ("golden", "previous_good", "committed", "candidate")
        }
    return GatewayView(
        place=place,
        etag=f"sha256:{hashlib.sha256(canonical(seen)).hexdigest()}",
        enrolled=enrolled,
        age_s=world.age_s(serial),
        stale=not world.reachable(serial),
        references=None if report is None else report.references,
        effective=None if report is None else report.effective,
        running=None if report is None else report.running,
        names={
            digest: _name(world, digest)
            for digest in sorted(each for each in digests if each is not None)
            if digest in world.releases
        },
        update=None if report is None else report.update,
        health=health,
        drift=[] if report is None else report.drift,
        windows=None if report is None else report.windows,
        clock=None if report is None else report.clock,
        safe_mode=report is not None and report.safe_mode,
        safe_mode_wanted=wish.safe_mode,
        rollback_wanted=None if order is None else order.from_digest,
        defer=defer,
        faults=[] if report is None else said_wrong(report),
        software=None if report is None else report.software,
        exceptions=exceptions_of(world, serial),
        clock_ahead_s=world.offsets.get(serial),
    )


def _name(world: World, digest: str) -> str:
    release = world.releases[digest].release
    return f"{release.model} {release.version}"


def line_views(world: World, queue: dict[str, int]) -> list[LineView]:
    """Every line in numbers."""
    return [_line(world, line, queue.get(line, 0)) for line in sorted(world.plant.lines)]


def _line(world: World, line: str, queue: int) -> LineView:
    serials = world.plant.lines[line]
    sightings = [world.sightings[serial] for serial in serials if serial in world.sightings]
    running = {each.report.effective for each in sightings}
    tallies = [_running_tally(world, serial) for serial in serials]
    ages = [age for age in (world.age_s(serial) for serial in serials) if age is not None]
    on_trial = [permit_outlook.flying(world, serial) for serial in serials]
    return LineView(
        line=line,
        gateways=len(serials),
        online=sum(world.reachable(serial) for serial in serials),
        trial=sum(why is not None and why.startswith(UpdateState.TRIAL.value) for why in on_trial),
        safe_mode=sum(each.report.safe_mode for each in sightings),
        models=sorted(_name(world, digest) for digest in running if digest in world.releases),
        scored=sum(each.report.windows.scored for each in sightings),
        alarms=sum(tally.alarms for tally in tallies),
        queue=queue,
        oldest_age_s=max(ages, default=None),
    )


def _running_tally(world: World, serial: str) -> Tally:
    sighting = world.sightings.get(serial)
    digest = None if sighting is None else sighting.report.effective
    if digest is None:
        return EMPTY
    return world.tallies.get((serial, digest, "committed"), EMPTY)
