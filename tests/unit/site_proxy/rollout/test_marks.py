"""What is noted of a gateway: when it is in conflict, has drifted, or is dead, row by row."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from edge_core.contracts.gateway import (
    Desired,
    References,
    StatusReport,
    UpdateReport,
    UpdateState,
)
from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.fleet.changes import marked
from edge_site_proxy.fleet.sightings import sighted
from edge_site_proxy.rollout.apart import no_way_back
from edge_site_proxy.rollout.marks import (
    UNMARKED,
    Mark,
    Marks,
    conflict_of,
    drift_of,
    noted,
)
from tests.unit.site_proxy.plant.plant import V1, V2, V3

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
A, B, C = V1.digest, V2.digest, V3.digest
REPORT = StatusReport(
    serial="g1",
    boot_epoch=3,
    sequence=7,
    software="test",
    clock=ClockQuality(synchronised=True, error_max_us=10),
    references=References(committed=A),
    effective=A,
    running=A,
    generation_seen=5,
    epoch_seen=9,
)
TOLD = Desired(serial="g1", generation=5, epoch=9, repository="m")


def with_(**changes: object) -> StatusReport:
    """REPORT with other fields."""
    return replace(REPORT, **changes)


def attempt(state: UpdateState, digest: str = B, number: int = 1) -> UpdateReport:
    """One attempt as reported."""
    return UpdateReport(digest=digest, attempt=number, state=state)


KNOWN = {A: 1, B: 2}
CONFLICTS = {
    "it knows what we know": (REPORT, TOLD, 9, ""),
    "it knows less": (with_(generation_seen=4, epoch_seen=8), TOLD, 9, ""),
    "it was told more by somebody": (
        with_(generation_seen=6),
        TOLD,
        9,
        "it has seen generation 6, here is 5",
    ),
    "we never told it anything": (REPORT, None, 9, "it has seen generation 5, here is 0"),
    "it obeys a site of a higher epoch": (REPORT, TOLD, 8, "it has seen epoch 9, here is 8"),
    "it is at an attempt that we ordered": (
        with_(update=attempt(UpdateState.TRIAL, B, 2)),
        TOLD,
        9,
        "",
    ),
    "it is at an attempt that we never ordered": (
        with_(update=attempt(UpdateState.TRIAL, B, 3)),
        TOLD,
        9,
        "it made attempt 3 of a release, here is 2",
    ),
    "of a release that we do not know there is no attempt to compare": (
        with_(update=attempt(UpdateState.COMMITTED, C, 3)),
        TOLD,
        9,
        "",
    ),
}


@pytest.mark.parametrize("row", CONFLICTS)
def test_conflict(row: str) -> None:
    """A gateway that knows more than the site is in conflict with it."""
    report, told, epoch, why = CONFLICTS[row]
    assert conflict_of(report, told, epoch, KNOWN) == why


FLYING = with_(update=attempt(UpdateState.ACTIVATING), running=B)
DRIFTS = {
    "the worker loaded what decides": (REPORT, ""),
    "the worker says nothing": (with_(running=None), ""),
    "the worker loaded something else": (
        with_(running=C),
        f"it says it runs {A}, its worker loaded {C}",
    ),
    "while a trial begins the two may differ": (FLYING, ""),
    "what decides is the candidate": (
        with_(references=References(committed=A, candidate=B), effective=B, running=B),
        "",
    ),
    "what decides is no reference of the store": (
        with_(effective=C, running=C),
        f"it runs {C}, committed is {A}",
    ),
    "nothing decides": (with_(effective=None, running=None), ""),
}


@pytest.mark.parametrize("row", DRIFTS)
def test_drift(row: str) -> None:
    """A worker that runs another model than the record says has drifted."""
    report, why = DRIFTS[row]
    assert drift_of(sighted(report)) == why


@dataclass(frozen=True)
class Change:
    """A report after another, and what is noted then."""

    marks: Marks
    report: StatusReport
    after: Marks
    events: tuple[str, ...] = ()
    conflict: str = ""
    first: bool = False


MARK = Mark(since=BEFORE, why="said")
NEWER = with_(sequence=8)
SWAPPED = with_(sequence=8, running=C)
SWAP = Mark(since=NOW, why=f"it says it runs {A}, its worker loaded {C}")
CHANGES = {
    "nothing to note": Change(UNMARKED, NEWER, UNMARKED),
    "a conflict begins now": Change(
        UNMARKED,
        NEWER,
        Marks(conflict=Mark(since=NOW, why="more")),
        ("gateway.conflict_found",),
        conflict="more",
    ),
    "a conflict keeps its first word": Change(
        Marks(conflict=MARK), NEWER, Marks(conflict=MARK), conflict="still more"
    ),
    "a conflict ends by no report": Change(Marks(conflict=MARK), NEWER, Marks(conflict=MARK)),
    "drift begins now": Change(UNMARKED, SWAPPED, Marks(drift=SWAP), ("gateway.drift_found",)),
    "drift keeps its first word": Change(Marks(drift=MARK), SWAPPED, Marks(drift=MARK)),
    "drift ends when the worker says so": Change(
        Marks(drift=MARK), NEWER, UNMARKED, ("gateway.drift_ended",)
    ),
    "drift does not end by silence about the worker": Change(
        Marks(drift=MARK), with_(sequence=8, running=None), Marks(drift=MARK)
    ),
    "the dead that speak are alive": Change(
        Marks(dead=MARK), NEWER, UNMARKED, ("gateway.came_back",)
    ),
    "an old report raises nobody": Change(Marks(dead=MARK), REPORT, Marks(dead=MARK)),
    "the first report ever raises as well": Change(
        Marks(dead=MARK), REPORT, UNMARKED, ("gateway.came_back",), first=True
    ),
}


@pytest.mark.parametrize("row", CHANGES)
def test_noted(row: str) -> None:
    """Marks come and go with what is seen, each with its event."""
    case = CHANGES[row]
    old = None if case.first else sighted(REPORT)
    after = noted(case.marks, old, sighted(case.report), case.conflict, NOW)
    assert after == case.after
    assert tuple(event.kind for event in marked("g1", case.marks, after)) == case.events


WAYS_BACK = {
    "what is committed runs": (REPORT, True),
    "nothing was ever committed": (
        with_(references=References(), effective=None, running=None),
        True,
    ),
    "what is committed is not loaded": (with_(running=None), False),
    "another model is loaded in its place": (with_(running=C), False),
    "a trial is on, and its way back was looked at before": (
        with_(references=References(committed=A, candidate=B), effective=B, running=B),
        True,
    ),
}


@pytest.mark.parametrize("row", WAYS_BACK)
def test_way_back(row: str) -> None:
    """A gateway can go back to what is known to load, and that is what runs."""
    report, there = WAYS_BACK[row]
    assert (no_way_back(report) == "") is there
