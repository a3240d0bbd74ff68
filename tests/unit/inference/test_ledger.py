"""The ledger: every window leaves once, in the order it came, whatever dies meanwhile."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_runtime.inference.ledger import Ledger

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
