"""Pages: what a receiver is told, each thing once; one page a cause, one after an outage."""

from datetime import timedelta
from pathlib import Path

import pytest

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.alarms.catalogue import FLOOD_KEY
from edge_site_proxy.alarms.errors import PageDelayedError, PageRefusedError
from edge_site_proxy.alarms.pages.pager import Pager, orders
from edge_site_proxy.alarms.pages.patience import FAILURES_ALARM, Patience
from edge_site_proxy.alarms.pages.queue import Ear
from edge_site_proxy.alarms.pages.receivers import Receivers
from edge_site_proxy.alarms.pages.say import (
    ONCE,
    Page,
    Said,
    Verb,
    covers,
    done,
    next_verb,
    summarised,
)
from tests.unit.site_proxy.alarms.made import NOW, alarm, call
from tests.unit.site_proxy.plant.plant import Plant, plant

pytestmark = pytest.mark.anyio
S, V = AlarmState, Verb
ALL = frozenset(Verb)


class Half:
    """A random number that is always in the middle."""

    def uniform(self, low: float, high: float) -> float:
        """Half way."""
        return (low + high) / 2


def page(*states: AlarmState, number: int = 1, age: timedelta = timedelta(0)) -> Page:
    """A page whose alarms are in *states*, the first-out first."""
    gone = {S.RETURNED_UNACK, S.CLEARED, S.LATCHED_ACKED}
    first, *more = (
        alarm(state, number + place, active=state not in gone, age=age)
        for place, state in enumerate(states)
    )
    return Page(first, tuple(more), NOW - age)


def said(verb: Verb, turn: int = 1, number: int = 1, under: int | None = None) -> Said:
    """What the receiver was told."""
    return Said(receiver="r", alarm=number, verb=verb, turn=turn, under=under)


TRIGGERED, ACKED, RESOLVED = said(V.TRIGGER), said(V.ACKNOWLEDGE), said(V.RESOLVE)
NEXT: dict[str, tuple[Page, Said | None, frozenset[Verb], Verb | None]] = {
    "new: triggered": (page(S.UNACK), None, ALL, V.TRIGGER),
    "came and went unseen before it was told: triggered": (
        page(S.RETURNED_UNACK),
        None,
        ALL,
        V.TRIGGER,
    ),
    "seen and over before it was told: nobody is woken": (page(S.CLEARED), None, ALL, None),
    "told and it stands: nothing": (page(S.UNACK), TRIGGERED, ALL, None),
    "told and seen: acknowledged": (page(S.ACKED), TRIGGERED, ALL, V.ACKNOWLEDGE),
    "told and put aside: acknowledged": (page(S.SHELVED), TRIGGERED, ALL, V.ACKNOWLEDGE),
    "told, seen, and nobody listens for that": (page(S.ACKED), TRIGGERED, ONCE, None),
    "one of two not seen: not acknowledged": (page(S.ACKED, S.UNACK), TRIGGERED, ALL, None),
    "acknowledged and it stands: nothing": (page(S.ACKED), ACKED, ALL, None),
    "returned: resolved": (page(S.RETURNED_UNACK), TRIGGERED, ALL, V.RESOLVE),
    "returned after it was acknowledged: resolved": (page(S.CLEARED), ACKED, ALL, V.RESOLVE),
    "one of two stands: not resolved": (page(S.CLEARED, S.ACKED), ACKED, ALL, None),
    "returned, and nobody listens for that": (page(S.CLEARED), TRIGGERED, ONCE, None),
    "resolved: nothing": (page(S.RETURNED_UNACK), RESOLVED, ALL, None),
    "back after it was called over: triggered": (page(S.UNACK), RESOLVED, ALL, V.TRIGGER),
    "back, and told once is enough": (page(S.UNACK), TRIGGERED, ONCE, None),
}


@pytest.mark.parametrize("row", NEXT.values(), ids=NEXT.keys())
def test_next(row: tuple[Page, Said | None, frozenset[Verb], Verb | None]) -> None:
    """What follows from what stands and what was told."""
    what, told, speaks, verb = row
    assert next_verb(what, told, speaks) is verb


DONE: dict[str, tuple[Page, Said | None, frozenset[Verb], bool]] = {
    "it stands": (page(S.ACKED), ACKED, ALL, False),
    "it returned and nobody has seen it": (page(S.RETURNED_UNACK), RESOLVED, ALL, False),
    "it is over and that was told": (page(S.CLEARED), RESOLVED, ALL, True),
    "it is over and that was not told": (page(S.CLEARED), TRIGGERED, ALL, False),
    "it is over and nobody listens for that": (page(S.CLEARED), TRIGGERED, ONCE, True),
    "it is over and was never told": (page(S.CLEARED), None, ALL, True),
}


@pytest.mark.parametrize("row", DONE.values(), ids=DONE.keys())
def test_done(row: tuple[Page, Said | None, frozenset[Verb], bool]) -> None:
    """When a receiver need not be told again."""
    what, told, speaks, over = row
    assert done(what, told, speaks) is over


COVERED = {
    "unseen, however long ago": (S.UNACK, 60.0, "one", True),
    "returned unseen": (S.RETURNED_UNACK, 60.0, "one", True),
    "seen a moment ago": (S.ACKED, 9.9, "one", True),
    "seen, and ten minutes ago": (S.ACKED, 10.0, "one", False),
    "another cause": (S.UNACK, 0.0, "other", False),
}


@pytest.mark.parametrize("row", COVERED.values(), ids=COVERED.keys())
def test_covers(row: tuple[AlarmState, float, str, bool]) -> None:
    """A page speaks for what comes later of its cause, until somebody has dealt with it."""
    state, minutes, group, covered = row
    first = alarm(state, group="one", age=timedelta(minutes=minutes))
    assert covers(first, alarm(number=2, group=group), NOW) is covered


QUARTER = timedelta(minutes=15)


def test_summary() -> None:
    """Two that waited for a quarter of an hour are one page; one alone is itself."""
    old, new = page(S.UNACK, S.UNACK, age=QUARTER), page(S.ACKED, number=5)
    one = summarised([old, new], NOW)
    assert one is not None
    assert [each.id for each in one.all] == [1, 2, 5]
    assert one.since == old.since
    assert summarised([old], NOW) is None
    assert summarised([old, new], NOW - timedelta(seconds=1)) is None


def test_orders_after_an_outage() -> None:
    """One trigger for all that waited; it is over when all of it is, and nothing is said twice."""
    waiting = [page(S.UNACK, age=QUARTER), page(S.UNACK, number=2, age=QUARTER)]
    (order,) = orders("r", [(each, None) for each in waiting], ALL, NOW)
    assert order.verb is V.TRIGGER
    assert order.said == (said(V.TRIGGER), said(V.TRIGGER, number=2, under=1))
    told = list(zip([page(S.CLEARED), waiting[1]], order.said, strict=True))
    assert orders("r", told, ALL, NOW) == []
    told = list(zip([page(S.CLEARED), page(S.CLEARED, number=2)], order.said, strict=True))
    assert [each.verb for each in orders("r", told, ALL, NOW)] == [V.RESOLVE]


def test_orders_next_to_each_other() -> None:
    """Fresh pages are told each by itself; one that came back counts a turn more."""
    found = orders("r", [(page(S.UNACK), RESOLVED), (page(S.UNACK, number=2), None)], ALL, NOW)
    assert [(each.verb, each.page.alarm.id, each.said[0].turn) for each in found] == [
        (V.TRIGGER, 1, 2),
        (V.TRIGGER, 2, 1),
    ]


class Deaf:
    """A receiver that remembers what came, and fails as told."""

    def __init__(self, speaks: frozenset[Verb] = ALL) -> None:
        self.speaks = speaks
        self.heard: list[tuple[str, int]] = []
        self.fails: list[PageDelayedError | None] = []

    async def send(self, verb: Verb, page: Page, turn: int) -> None:
        """Take it, or do not."""
        del turn
        failure = self.fails.pop(0) if self.fails else None
        if failure is not None:
            raise failure
        self.heard.append((verb.value, page.alarm.id))


def pager(here: Plant, wire: Deaf, name: str = "r") -> Pager:
    """A pager for *wire*."""
    patience = Patience(here.site.alarms, name, Half())  # type: ignore[arg-type]  # only `uniform` is asked of it
    return Pager(here.site.pages, patience, name, wire, here.clock.clocks().now)


async def page_of(here: Plant, key: str, group: str = "") -> AlarmView:
    """Raise a P1; the alarm as it then stands."""
    await here.site.alarms.raise_alarm(call(key, Priority.P1, group=group))
    return next(each for each in await here.site.alarms.standing() if each.source == key)


async def test_once(tmp_path: Path) -> None:
    """Told until it is taken; a restart between raising and telling loses and doubles none."""
    async with plant(tmp_path) as here:
        await page_of(here, "x")
        await page_of(here, "x")
        clock = here.clock
    async with plant(tmp_path, clock=clock) as here:
        wire = Deaf()
        wire.fails = [PageDelayedError("gone"), PageDelayedError("busy", timedelta(seconds=90))]
        half = timedelta(seconds=0.5)
        waits = [await pager(here, wire).send_due() for _ in range(4)]
        assert waits == [half, timedelta(seconds=90), None, None]
        assert wire.heard == [("trigger", 1)]
        assert (await here.site.alarms.standing())[0].paged
    async with plant(tmp_path, clock=clock) as here:
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", 1)]
        await here.site.alarm_desk.ack(1, "ana", "on my way")
        await pager(here, wire).send_due()
        await here.site.clear_alarm("x")
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", 1), ("acknowledge", 1), ("resolve", 1)]
        await Receivers(here.site.pages, [pager(here, wire)]).tidy()
        assert await here.site.pages.open("r") == []


async def test_only_p1_pages(tmp_path: Path) -> None:
    """P2 and below wait on the list."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("x", Priority.P2))
        assert await here.site.pages.open("r") == []
        await here.site.alarms.raise_alarm(call("x", Priority.P1))
        assert [told.alarm.id for told, _ in await here.site.pages.open("r")] == [1]


async def test_one_page_a_cause(tmp_path: Path) -> None:
    """A release that fails on one gateway after another is one page, with the first named."""
    async with plant(tmp_path) as here:
        await page_of(here, "gateway/g1/fail_safe", "release fail safe")
        second = await page_of(here, "gateway/g2/fail_safe", "release fail safe")
        assert second.page == 1
        other = await page_of(here, "gateway/g4/fail_safe", "other release fail safe")
        assert other.page == 3
        wire = Deaf()
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", 1), ("trigger", 3)]
        await here.site.alarm_desk.ack(1, "ana", "seen")
        here.clock.turn(601)
        late = await page_of(here, "gateway/g3/fail_safe", "release fail safe")
        assert late.page == late.id


async def test_a_flood_is_one_page(tmp_path: Path) -> None:
    """What comes in a flood is told with it: one page, that becomes P1 with its first P1."""
    async with plant(tmp_path) as here:
        for number in range(11):
            await here.site.alarms.raise_alarm(call(f"x{number}"))
        wire = Deaf()
        await pager(here, wire).send_due()
        assert wire.heard == []
        first, second = await page_of(here, "y"), await page_of(here, "z")
        flood = next(a for a in await here.site.alarms.standing() if a.source == FLOOD_KEY)
        assert (flood.priority, first.page, second.page) == (Priority.P1, flood.id, flood.id)
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", flood.id)]


async def test_summary_after_an_outage(tmp_path: Path) -> None:
    """A receiver that was away for long is told once what happened meanwhile."""
    async with plant(tmp_path) as here:
        for key in ("x", "y", "z"):
            await page_of(here, key)
            here.clock.turn(600)
        wire = Deaf()
        await pager(here, wire).send_due()
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", 1)]
        for number, key in enumerate(("x", "y", "z"), 1):
            await here.site.alarm_desk.ack(number, "ana", "")
            await here.site.clear_alarm(key)
        await pager(here, wire).send_due()
        assert wire.heard == [("trigger", 1), ("resolve", 1)]
        await Receivers(here.site.pages, [pager(here, wire)]).tidy()
        assert await here.site.pages.open("r") == []


async def test_a_receiver_that_fails_is_an_alarm(tmp_path: Path) -> None:
    """P2, since it can page nobody; it goes when the receiver answers, and no page is lost."""
    async with plant(tmp_path) as here:
        await page_of(here, "x")
        wire = Deaf()
        wire.fails = [PageDelayedError("gone") for _ in range(FAILURES_ALARM)]
        teller = pager(here, wire)
        for _ in range(FAILURES_ALARM - 1):
            await teller.send_due()
        assert len(await here.site.alarms.standing()) == 1
        await teller.send_due()
        undelivered = (await here.site.alarms.standing())[1]
        assert (undelivered.source, undelivered.priority) == ("pages/r", Priority.P2)
        assert undelivered.actions == ["site-proxy page-test --receiver r"]
        await teller.send_due()
        here.clock.turn(60)
        await here.site.alarms.look()
        shown = {each.source: each.state for each in await here.site.alarms.standing()}
        assert shown["pages/r"] is S.RETURNED_UNACK
        assert wire.heard == [("trigger", 1)]


async def test_a_page_that_is_refused_keeps_no_other_waiting(tmp_path: Path) -> None:
    """One that the receiver says no to is an alarm at once, and the next one goes out."""
    async with plant(tmp_path) as here:
        await page_of(here, "x")
        await page_of(here, "y")
        wire = Deaf()
        wire.fails = [PageRefusedError("expected an answer below 300, found 400")]
        assert await pager(here, wire).send_due() is not None
        assert wire.heard == [("trigger", 2)]
        assert "found 400" in (await here.site.alarms.standing())[-1].what


async def test_receivers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """What one was told says nothing of the other; a page ends when both know."""
    async with plant(tmp_path) as here:
        await page_of(here, "x")
        well, deaf = Deaf(), Deaf(ONCE)
        deaf.fails = [PageDelayedError("gone")] * 2
        await pager(here, well, "a").send_due()
        await pager(here, deaf, "b").send_due()
        assert (well.heard, deaf.heard) == ([("trigger", 1)], [])
        await here.site.alarm_desk.ack(1, "ana", "")
        await here.site.clear_alarm("x")
        await pager(here, well, "a").send_due()
        ears = [Ear("a", ALL), Ear("b", ONCE)]
        await here.site.pages.close_done(ears)
        assert await here.site.pages.open("a") == []
