"""The ledger: every window leaves once, in the order it came, whatever dies meanwhile."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_runtime.inference.ledger import Entry, Ledger

SLOTS = 4


class LedgerMachine(RuleBasedStateMachine):
    """Windows come, are answered in order, and workers die over them."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger[int] = Ledger(SLOTS, quarantine_after=2)
        self.clock_s = 0.0
        self.asked: list[int] = []
        self.left: list[int] = []

    @rule(step_s=st.floats(0.001, 1.0))
    def take(self, step_s: float) -> None:
        """A window comes; it gets a slot, or hears at once that there is none."""
        self.clock_s += step_s
        number = len(self.asked)
        taken = self.ledger.take(number, self.clock_s)
        assert (taken is None) == (len(self.asked) - len(self.left) == SLOTS)
        if taken is not None:
            self.asked.append(number)

    @precondition(lambda self: len(self.ledger) > 0)
    @rule()
    def answer(self) -> None:
        """The worker answers the oldest."""
        slot, entry = next(iter(self.ledger))
        self.left.append(self.ledger.settle(slot, self.clock_s).window)
        assert self.ledger.holder(slot) is not entry

    @precondition(lambda self: len(self.ledger) > 0)
    @rule()
    def die_over_the_oldest(self) -> None:
        """The worker dies over a window: the second time that window is set aside."""
        slot, entry = next(iter(self.ledger))
        before = entry.deaths
        set_aside = self.ledger.blame(slot, self.clock_s)
        assert (set_aside is not None) == (before == 1)
        if set_aside is not None:
            self.left.append(set_aside.window)

    @rule()
    def close(self) -> None:
        """Everything that waits leaves, oldest first."""
        self.left += [entry.window for entry in self.ledger.clear()]
        assert len(self.ledger) == 0

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """What left and what waits is what was taken, each once, in order."""
        waiting = [entry.window for _, entry in self.ledger]
        assert self.left + waiting == self.asked
        slots = [slot for slot, _ in self.ledger]
        assert len(set(slots)) == len(slots)

    @invariant()
    def the_oldest_is_timed(self) -> None:
        """There is a time for the oldest exactly when there is an oldest."""
        head_s = self.ledger.head_for_s(self.clock_s)
        assert (head_s is None) == (len(self.ledger) == 0)
        assert head_s is None or head_s >= 0


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_slots_and_numbers() -> None:
    """Windows are numbered from one; the lowest slot comes first, and a free one comes again."""
    ledger: Ledger[str] = Ledger(2, quarantine_after=2)
    assert ledger.take("a", 0.0) == (0, Entry(1, "a"))
    assert ledger.take("b", 0.0) == (1, Entry(2, "b"))
    assert ledger.take("c", 0.0) is None
    assert ledger.settle(0, 1.0) == Entry(1, "a")
    assert ledger.take("d", 1.0) == (0, Entry(3, "d"))
    assert ledger.holder(0) == Entry(3, "d")
    assert list(ledger) == [(1, Entry(2, "b")), (0, Entry(3, "d"))]
    assert ledger.clear() == [Entry(2, "b"), Entry(3, "d")]
    assert [ledger.take(each, 2.0) for each in "efg"] == [
        (0, Entry(4, "e")),
        (1, Entry(5, "f")),
        None,
    ]


def test_time_of_the_oldest() -> None:
    """It counts from when the oldest was taken, or from when a fresh worker began with it."""
    ledger: Ledger[str] = Ledger(2, quarantine_after=2)
    assert ledger.head_for_s(4.0) is None
    ledger.take("a", 5.0)
    ledger.take("b", 6.0)
    assert ledger.head_for_s(7.0) == 2.0
    ledger.restart_clock(10.0)
    assert ledger.head_for_s(13.0) == 3.0
    ledger.clear()
    ledger.take("c", 20.0)
    assert ledger.head_for_s(24.0) == 4.0


def test_quarantine() -> None:
    """A window over which a worker died so often is set aside, and the next one's time begins."""
    ledger: Ledger[str] = Ledger(2, quarantine_after=3)
    ledger.take("deadly", 0.0)
    ledger.take("patient", 0.0)
    for deaths in (1, 2):
        assert ledger.blame(0, float(deaths)) is None
        assert ledger.holder(0) == Entry(1, "deadly", deaths)
    assert ledger.blame(0, 3.0) == Entry(1, "deadly", 3, set_aside=True)
    assert ledger.holder(0) is None
    assert ledger.head_for_s(7.0) == 4.0


def test_time_of_the_next_begins_with_the_answer() -> None:
    """A window that waited behind a slow one is not late for that."""
    ledger: Ledger[str] = Ledger(2, quarantine_after=2)
    first = ledger.take("slow", 0.0)
    assert ledger.take("patient", 0.1) is not None
    assert first is not None
    ledger.settle(first[0], 0.9)
    assert ledger.head_for_s(1.0) == 1.0 - 0.9


def test_blame_for_an_empty_slot_is_nobody() -> None:
    """A worker that died over a slot without a window harms no other."""
    ledger: Ledger[str] = Ledger(2, quarantine_after=2)
    assert ledger.blame(1, 0.0) is None


@dataclass(frozen=True)
class Death:
    """How a worker died with two windows open, and whom the memory says it was at."""

    running: int | None = None
    lied: bool = False
    often: bool = False
    alone: bool = False
    windows: int = 2
    guilty: int | None = None


DEATHS = {
    "it says which window it was at": Death(running=2, guilty=2),
    "it was at none": Death(),
    "it lied, and what it says is not believed": Death(running=2, lied=True),
    "it lied with one window open: that one": Death(running=None, lied=True, windows=1, guilty=1),
    "it lied while windows came one at a time: the oldest": Death(lied=True, alone=True, guilty=1),
    "once at none while windows came one at a time: an accident": Death(alone=True),
    "again and again while they came one at a time: the oldest": Death(
        often=True, alone=True, guilty=1
    ),
    "again and again with several open: not known yet": Death(often=True),
    "with nothing open nobody is": Death(lied=True, often=True, alone=True, windows=0),
}


@pytest.mark.parametrize("name", DEATHS)
def test_suspect(name: str) -> None:
    """Each row is a death, and the window that it can be blamed on."""
    death = DEATHS[name]
    ledger: Ledger[int] = Ledger(4, quarantine_after=2)
    slots = {}
    for number in range(1, death.windows + 1):
        taken = ledger.take(number, 0.0)
        assert taken is not None
        slots[taken[0]] = number
    found = ledger.suspect(
        lambda slot, sequence: slots[slot] == sequence == death.running,
        lied=death.lied,
        often=death.often,
        alone=death.alone,
    )
    assert (None if found is None else slots[found]) == death.guilty
