"""What waits while nothing can be written: shown, told once, and written down in its order."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.alarms.pages.say import Page, Said, Verb
from edge_site_proxy.alarms.unwritten import NOTHING, Unwritten
from edge_site_proxy.fleet.watch import Watch
from edge_site_proxy.store import StoreUnavailableError
from tests.unit.site_proxy.alarms.made import NOW, alarm, call
from tests.unit.site_proxy.alarms.test_pages import Deaf, page_of, pager
from tests.unit.site_proxy.plant.plant import Plant, plant
from tests.unit.site_proxy.plant.unwritable import KEY, bind, unbind

pytestmark = pytest.mark.anyio
S = AlarmState
NEWER = alarm(number=2, source=KEY, priority=Priority.P1)
OLDER = alarm(S.RETURNED_UNACK, 2, source=KEY, priority=Priority.P1)
OTHER, THIRD = alarm(number=1), alarm(number=3)
SHOWN = {
    "nothing is kept: it alone": ([], [NEWER]),
    "others are kept: it is the last": ([OTHER], [OTHER, NEWER]),
    "an older word about it is kept: the newer instead": (
        [OTHER, OLDER, THIRD],
        [OTHER, NEWER, THIRD],
    ),
}


def holding() -> Unwritten:
    """That the audit log cannot be written waits."""
    made = Unwritten()
    made.notice(call(KEY, Priority.P1), NEWER)
    return made


@pytest.mark.parametrize("row", SHOWN.values(), ids=SHOWN.keys())
def test_alarms(row: tuple[list[AlarmView], list[AlarmView]]) -> None:
    """The list with what waits, and without."""
    kept, shown = row
    assert holding().held.alarms(kept) == shown
    assert NOTHING.alarms(kept) == kept


OPEN = {
    "no page is open: one of its own, since it was raised": (
        [],
        [Page(NEWER, (), NEWER.raised)],
    ),
    "its page is open: with the newer word": (
        [Page(OLDER, (OTHER,), NOW)],
        [Page(NEWER, (OTHER,), NOW)],
    ),
    "another page speaks for it: with the newer word": (
        [Page(OTHER, (OLDER, THIRD), NOW)],
        [Page(OTHER, (NEWER, THIRD), NOW)],
    ),
    "a page of something else is open: both": (
        [Page(OTHER, (), NOW)],
        [Page(OTHER, (), NOW), Page(NEWER, (), NEWER.raised)],
    ),
}


@pytest.mark.parametrize("row", OPEN.values(), ids=OPEN.keys())
def test_pages(row: tuple[list[Page], list[Page]]) -> None:
    """The open pages with what waits, and without."""
    kept, shown = row
    assert holding().held.pages(kept) == shown
    assert NOTHING.pages(kept) == kept


def test_told() -> None:
    """The last word to each receiver about each page counts; who was told of it is seen."""
    made = holding()
    first, last = (Said(receiver="a", alarm=1, verb=verb) for verb in (Verb.TRIGGER, Verb.RESOLVE))
    mine = Said(receiver="b", alarm=2, verb=Verb.TRIGGER)
    made.tell([first])
    assert made.held.alarm == NEWER
    made.tell([last, mine])
    assert made.held.told == {("a", 1): last, ("b", 2): mine}
    assert made.held.alarm is not None
    assert made.held.alarm.paged
    assert (made.since(KEY), made.since("x")) == (NOW, None)


def test_more_comes_while_it_is_written() -> None:
    """What was not written stays; what was goes."""
    made = holding()
    written = made.held
    made.tell([Said(receiver="a", alarm=1, verb=Verb.TRIGGER)])
    made.forget(written)
    assert made.held.told
    made.forget(made.held)
    assert made.held == NOTHING


async def watched(here: Plant) -> None:
    """One look of the watch, whatever the disk says."""
    watch = Watch(here.site.world, here.site.store, here.site.alarms, here.site.queue)
    with suppress(StoreUnavailableError):
        await watch.look()


async def by_source(here: Plant) -> dict[str, AlarmView]:
    """What stands, by what it is about."""
    return {each.source: each for each in await here.site.alarms.standing()}


async def test_a_page_from_before(tmp_path: Path) -> None:
    """Told while the disk is full: not again while it is, nor afterwards."""
    async with plant(tmp_path) as here:
        first = await page_of(here, "x")
        await bind(here)
        wire = Deaf()
        for _ in range(3):
            await pager(here, wire).send_due()
        await watched(here)
        for _ in range(3):
            await pager(here, wire).send_due()
        number = (await by_source(here))[KEY].id
        assert wire.heard == [("trigger", first.id), ("trigger", number)]
        await unbind(here)
        await watched(here)
        clock = here.clock
    async with plant(tmp_path, clock=clock) as here:
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", first.id), ("trigger", number)]
        assert {each.source: each.paged for each in await here.site.alarms.every(9)} == {
            "x": True,
            KEY: True,
        }


async def test_its_number_is_kept_for_it(tmp_path: Path) -> None:
    """The disk takes another alarm before anybody looked: what was shown as 1 is 1."""
    async with plant(tmp_path) as here:
        await bind(here)
        await watched(here)
        began = here.clock.wall
        assert (await by_source(here))[KEY].id == 1
        here.clock.turn(5)
        await unbind(here)
        await here.site.alarms.raise_alarm(call("x"))
        found = await by_source(here)
        assert {source: each.id for source, each in found.items()} == {KEY: 1, "x": 2}
        here.clock.turn(20)
        await watched(here)
        kept = (await by_source(here))[KEY]
        assert (kept.raised, kept.gone) == (began, here.clock.wall)
        assert "so it was from" in kept.what


async def test_again_before_it_was_seen(tmp_path: Path) -> None:
    """Full, empty, full: one alarm, whose page says that it was over and is there again."""
    async with plant(tmp_path) as here:
        wire = Deaf()
        for _ in range(2):
            await bind(here)
            await watched(here)
            await pager(here, wire).send_due()
            assert (await by_source(here))[KEY].state is S.UNACK
            await unbind(here)
            await watched(here)
            here.clock.turn(timedelta(minutes=1).total_seconds())
            await here.site.alarms.look()
            await pager(here, wire).send_due()
        kept = (await by_source(here))[KEY]
        assert (kept.id, kept.state, kept.raises) == (1, S.RETURNED_UNACK, 2)
        assert wire.heard == [("trigger", 1), ("resolve", 1)] * 2
