"""Whatever alarms, people and receivers do: no page is lost, and none is told twice."""

from collections import Counter
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_core.contracts.api import AlarmState, AlarmView
from edge_core.contracts.errors import ConflictError
from edge_site_proxy.alarms import life
from edge_site_proxy.alarms.catalogue import NONE
from edge_site_proxy.alarms.pages.pager import Order, orders
from edge_site_proxy.alarms.pages.say import ONCE, Page, Said, Verb, done
from tests.unit.site_proxy.alarms.made import NOW, alarm

PAGES = st.integers(0, 3)
TAKES = [ONCE, ONCE | {Verb.RESOLVE}, frozenset(Verb)]


class Paging(RuleBasedStateMachine):
    """One receiver and the pages of a site; a receiver takes a page, or fails, or takes it unseen.

    Each page has two alarms, of which the second may come later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.speaks = ONCE
        self.alarms: dict[int, AlarmView] = {}
        self.since = dict.fromkeys(range(4), NOW)
        self.said: dict[int, Said] = {}
        self.kept: Counter[tuple[int, Verb, int]] = Counter()

    @initialize(speaks=st.sampled_from(TAKES))
    def begin(self, *, speaks: frozenset[Verb]) -> None:
        """Any kind of receiver."""
        self.speaks = speaks

    def open(self) -> list[tuple[Page, Said | None]]:
        """Every page, and what was told of it."""
        found = []
        for number in range(4):
            if (first := self.alarms.get(2 * number + 1)) is not None:
                more = self.alarms.get(2 * number + 2)
                page = Page(first, () if more is None else (more,), self.since[number])
                found.append((page, self.said.get(first.id)))
        return found

    def spoken_for_by(self, page: Page) -> list[Page]:
        """The others of its summary."""
        number = page.alarm.id
        return [other for other, said in self.open() if said is not None and said.under == number]

    def due(self) -> list[Order]:
        """What there is to tell."""
        return orders("r", self.open(), self.speaks, self.now)

    @rule(page=PAGES, second=st.booleans())
    def comes(self, *, page: int, second: bool) -> None:
        """A cause comes, or comes again before its alarm is over."""
        number = 2 * page + 1 + (second and 2 * page + 1 in self.alarms)
        known = self.alarms.get(number)
        if known is None:
            self.alarms[number] = alarm(number=number, source=f"s{number}")
            self.since[page] = min(self.since[page], self.now) if second else self.now
        elif known.state is not AlarmState.CLEARED:
            self.alarms[number] = life.came(known, known.priority, self.now)

    @rule(number=st.integers(1, 8))
    def goes(self, number: int) -> None:
        """A cause goes."""
        if number in self.alarms:
            self.alarms[number] = life.went(self.alarms[number], NONE, self.now)

    @rule(number=st.integers(1, 8))
    def seen(self, number: int) -> None:
        """Somebody acknowledges an alarm, if that makes sense."""
        if number in self.alarms:
            try:
                self.alarms[number] = life.acked(self.alarms[number], "ana", "", self.now)
            except ConflictError:
                assert self.alarms[number].state is AlarmState.CLEARED

    @rule(minutes=st.sampled_from([1, 20]))
    def waits(self, minutes: int) -> None:
        """Time passes; the receiver may be away for long."""
        self.now += timedelta(minutes=minutes)

    @rule(fails_at=st.integers(0, 4))
    def tells(self, fails_at: int) -> None:
        """The receiver takes some of what is due, and fails then."""
        for order in self.due()[:fails_at]:
            for said in order.said:
                self.said[said.alarm] = said
                self.kept[(said.alarm, said.verb, said.turn)] += 1

    @invariant()
    def nothing_twice(self) -> None:
        """What was taken is not told again under the same key."""
        assert all(count == 1 for count in self.kept.values())
        due = [(each.page.alarm.id, each.verb, each.said[0].turn) for each in self.due()]
        assert len(set(due)) == len(due)
        assert not any(key in self.kept for key in due)

    @invariant()
    def nothing_lost(self) -> None:
        """A page that stands was told, or is due now; once all was told nothing is due.

        A page that speaks for others in a summary is done with once they are over, too.
        """
        due = {said.alarm for order in self.due() for said in order.said}
        for page, said in self.open():
            if page.stands:
                assert said is not None or page.alarm.id in due
        before = dict(self.said)
        for order in self.due():
            self.said |= {said.alarm: said for said in order.said}
        for _ in range(2):
            for order in self.due():
                self.said |= {said.alarm: said for said in order.said}
        assert self.due() == []
        for page, said in self.open():
            over = page.over and all(each.over for each in self.spoken_for_by(page))
            assert not over or done(page, said, self.speaks)
        self.said = before


TestPaging = Paging.TestCase
