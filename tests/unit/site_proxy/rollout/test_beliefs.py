"""What the site makes of what it believes: whose turn it is, who is healthy, what is a veto."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import (
    Desired,
    Outcome,
    PermitRequest,
    References,
    RollbackOrder,
    StatusReport,
    UpdateReport,
    UpdateState,
)
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.rollout import Cohort, Plan, RolloutState
from edge_site_proxy.fleet.sightings import sighted
from edge_site_proxy.rollout import outlook, permit_outlook
from edge_site_proxy.rollout.epochs import next_epoch
from edge_site_proxy.rollout.planner import current_rollout
from edge_site_proxy.rollout.records import Grant, Header, Rollout
from edge_site_proxy.rollout.tables import Wish
from edge_site_proxy.rollout.wanted import rollback_order, rollback_owed
from edge_site_proxy.rollout.world import Clocks, Plant, SiteSettings, World
from tests.unit.site_proxy.plant.clocks import MONDAY
from tests.unit.site_proxy.plant.plant import INVENTORY, MODEL, POLICY, V1, V2, V3

PLANT = Plant.of(INVENTORY)
QUALITY = ClockQuality(synchronised=True, error_max_us=1)
NOW_S, LONG_AGO_S = 1000.0, 0.0
GENERATION = 7


def said(serial: str, update: UpdateReport | None = None, **changes: object) -> StatusReport:
    """A gateway that runs V2 in good health; *changes* are other fields."""
    plain = StatusReport(
        serial=serial,
        boot_epoch=1,
        sequence=1,
        software="test",
        clock=QUALITY,
        references=References(golden=V1.digest, previous_good=V1.digest, committed=V2.digest),
        effective=V2.digest,
        running=V2.digest,
        update=update,
        generation_seen=GENERATION,
    )
    return replace(plain, **changes)


def update(state: UpdateState, veto: str | None = None, ref: ReleaseRef = V2) -> UpdateReport:
    """The first attempt at *ref*."""
    return UpdateReport(
        digest=ref.digest, attempt=1, state=state, outcome=Outcome.OPEN, veto=veto, reason="so"
    )


def rollout(ref: ReleaseRef, state: RolloutState, **changes: object) -> Rollout:
    """A rollout of *ref* to everybody."""
    header = Header(id=f"r{ref.release}", state=state, created=MONDAY, changed=MONDAY)
    plan = Plan(
        rollout=header.id,
        release=ref,
        rollback_to=V1,
        author="ci",
        created=MONDAY,
        policy=POLICY,
        cohorts=[Cohort(name="all", members=list(PLANT.places))],
    )
    return Rollout(header=replace(header, **changes), plan=plan)


def grant(serial: str) -> Grant:
    """A permit that is out."""
    return Grant(
        serial=serial,
        rollout="r2",
        digest=V2.digest,
        attempt=1,
        boot_epoch=1,
        epoch=1,
        seen=(1, 1),
        valid_s=20.0,
        at=MONDAY,
    )


def told(serial: str, order: RollbackOrder | None) -> Desired:
    """What it was told, GENERATION times."""
    return Desired(serial=serial, generation=GENERATION, epoch=2, repository=MODEL, rollback=order)


def world(
    reports: Iterable[StatusReport],
    rollouts: Iterable[Rollout] = (),
    *,
    silent: Iterable[str] = (),
    unheard: Iterable[str] = (),
    started: float = LONG_AGO_S,
) -> World:
    """A site that believes *reports*, all of them just in, but of the *silent* and *unheard*."""
    found = World(
        plant=PLANT,
        settings=SiteSettings(policy=POLICY),
        clocks=Clocks(lambda: MONDAY, lambda: NOW_S, lambda: QUALITY),
        started=started,
        epoch=2,
        releases={},
        rollouts={each.id: each for each in rollouts},
        grants={},
        wishes={},
        desired={},
        baselines={},
        sightings={},
        heard_at={},
        tallies={},
        timers={},
    )
    for report in reports:
        found.believe(report.serial, sighted(report))
        found.heard[report.serial] = LONG_AGO_S if report.serial in silent else NOW_S
    for serial in unheard:
        del found.heard[serial]
    return found


LEAVING = rollout(V2, RolloutState.ROLLING_BACK, rollback_epoch=2, rollback_reason="so")
ORDER = RollbackOrder(from_digest=V2.digest, epoch=2, reason="so")
FLYING, STUCK = UpdateState.TRIAL, UpdateState.ROLLBACK_FAILED


@dataclass(frozen=True)
class Turn:
    """What is believed of the pair g2, g3 that runs V2, and who goes back first."""

    first: str
    states: dict[str, UpdateState] = field(default_factory=dict)
    permits: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


TURNS = {
    "nothing tells them apart: in the order of their serials": Turn("g2"),
    "one is in the air": Turn("g3", states={"g3": FLYING}),
    "one holds a permit, which it may use at any moment": Turn("g3", permits=("g3",)),
    "one was told already, and may be on its way": Turn("g3", told=("g3",)),
    "one was told already, the other is in the air": Turn("g3", {"g2": FLYING}, told=("g3",)),
    "one cannot be reached": Turn("g3", silent=("g2",)),
    "one was told and fell silent": Turn("g2", told=("g3",), silent=("g3",)),
    "one has nowhere to go": Turn("g3", states={"g2": STUCK}),
}


@pytest.mark.parametrize("name", TURNS)
def test_turn(name: str) -> None:
    """S8: of a redundancy group one goes back at a time, and it keeps its turn."""
    row = TURNS[name]
    reports = [
        said(serial, update(row.states[serial]) if serial in row.states else None)
        for serial in ("g2", "g3")
    ]
    site = world(reports, [LEAVING], silent=row.silent)
    site.grants.update({serial: grant(serial) for serial in row.permits})
    site.desired.update({serial: told(serial, ORDER) for serial in row.told})
    going = [serial for serial in ("g2", "g3") if rollback_order(site, serial) is not None]
    assert going == [row.first]


OWED = {
    "it was not told yet": (None, GENERATION, True),
    "it was told, and has not heard it": (ORDER, GENERATION - 1, True),
    "it has heard it, and runs it still: it has nowhere to go": (ORDER, GENERATION, False),
}


@pytest.mark.parametrize("name", OWED)
def test_an_order_comes_first(name: str) -> None:
    """L6: an order bars every permit until it was heard, and not for ever."""
    order, seen, owed = OWED[name]
    stuck = update(UpdateState.ROLLBACK_FAILED, "no_target")
    site = world([said("g1", stuck, generation_seen=seen)], [LEAVING])
    site.desired["g1"] = told("g1", order)
    assert rollback_owed(site, "g1") is owed
    request = PermitRequest(digest=V3.digest, attempt=1, boot_epoch=1)
    assert permit_outlook.ask(site, "g1", request).rollback_wanted is owed


def test_nothing_is_owed_by_who_was_told_nothing() -> None:
    """Without an order nothing is owed, whatever was heard."""
    assert not rollback_owed(world([said("g1")]), "g1")


VETOES: dict[str, tuple[UpdateReport, str | None, bool]] = {
    "a smoke test that fails": (update(UpdateState.FAILED_NO_CHANGE, "smoke"), None, True),
    "a trial that fails": (update(UpdateState.ROLLED_BACK, "errors"), None, True),
    "a trial that failed while another release was ordered left": (
        update(UpdateState.ROLLED_BACK),
        V1.digest,
        True,
    ),
    "a person's order, carried out": (
        update(UpdateState.ROLLED_BACK, "ordered"),
        V2.digest,
        False,
    ),
    "a person's order, with nowhere to go": (
        update(UpdateState.ROLLBACK_FAILED, "no_target"),
        V2.digest,
        False,
    ),
    "a person's order before it ran": (
        update(UpdateState.CANCELLED, "ordered"),
        V2.digest,
        False,
    ),
    "a commit": (update(UpdateState.COMMITTED), None, False),
}


@pytest.mark.parametrize("name", VETOES)
def test_veto(name: str) -> None:
    """What a gateway found speaks against a release for all; what a person ordered does not."""
    report, left, speaks = VETOES[name]
    site = world([said("g1", report)])
    if left is not None:
        site.wishes["g1"] = Wish(rollback=replace(ORDER, from_digest=left))
    moving = rollout(V2, RolloutState.ACTIVATING)
    assert (outlook.veto_of(site, moving, "g1") is not None) is speaks
    assert bool(outlook.vetoed(site, moving)) is speaks


@dataclass(frozen=True)
class Next:
    """A gateway as its neighbours see it: changing, healthy, and the word for it."""

    report: StatusReport
    changing: bool = False
    healthy: bool = False
    why: str = ""
    silent: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    started: float = LONG_AGO_S


JUST_NOW_S = NOW_S - 1.0
NEIGHBOURS = {
    "it runs what is committed": Next(said("g2"), healthy=True),
    "it is on trial": Next(said("g2", update(FLYING)), changing=True, why="trial"),
    "it is silent": Next(said("g2"), why="silent", silent=("g2",)),
    "its worker runs what nobody approved": Next(
        said("g2", running=V3.digest), why="running what nobody approved"
    ),
    "its worker has not said what it runs": Next(said("g2", running=None), healthy=True),
    "the site has just started and not heard it": Next(
        said("g2"), changing=True, why="not heard", unheard=("g2",), started=JUST_NOW_S
    ),
    "the site has just started and heard it": Next(said("g2"), healthy=True, started=JUST_NOW_S),
    "the site started long ago and has not heard it": Next(
        said("g2"), why="silent", unheard=("g2",)
    ),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbour(name: str) -> None:
    """S8, S9: who is not known to be well keeps its partner, who may be changing its line."""
    row = NEIGHBOURS[name]
    site = world([row.report], silent=row.silent, unheard=row.unheard, started=row.started)
    found = permit_outlook.neighbour(site, PLANT.places["g2"])
    assert (found.in_flight, found.healthy) == (row.changing, row.healthy)
    assert row.why in found.why


def test_the_current_release_is_the_newest() -> None:
    """A wall clock that is set back between two rollouts does not bring the older one back."""
    old = rollout(V2, RolloutState.COMPLETED)
    before = MONDAY - timedelta(days=30)
    new = rollout(V3, RolloutState.COMPLETED, created=before, changed=before)
    going = rollout(V1, RolloutState.ACTIVATING)
    site = world([], [old, new, going])
    assert current_rollout(site, MODEL) is new
    assert current_rollout(world([], [going]), MODEL) is None


EPOCHS = {
    "none was ever told": ([0], 0),
    "a later one than this site's": ([3, 9, 4], 9),
    "one that cannot be": ([3, 10**9], 3),
}


@pytest.mark.parametrize("name", EPOCHS)
def test_next_epoch(name: str) -> None:
    """An order counts on from the highest epoch told, unless no site can have come to it."""
    epochs, highest = EPOCHS[name]
    reports = [said(f"g{at + 1}", epoch_seen=epoch) for at, epoch in enumerate(epochs)]
    site = world(reports)
    assert next_epoch(site) == max(highest, site.epoch) + 1


def test_reports_of_older_gateways_are_read() -> None:
    """A gateway that says no epoch is one that was told none."""
    raw = msgspec.to_builtins(said("g1"))
    del raw["epoch_seen"]
    assert msgspec.convert(raw, StatusReport).epoch_seen == 0
