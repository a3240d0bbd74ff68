"""Which window is in which slot, in what order, and who is to blame when a worker dies.

No I/O and no clock: times are handed in, in seconds of a monotonic clock. A window leaves the
ledger exactly once, with an answer or with a reason, so none is lost and none is scored twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from edge_runtime.inference.spec import Loss

T = TypeVar("T")


@dataclass(slots=True)
class Entry(Generic[T]):
    """One window that is not answered yet."""

    sequence: int
    window: T
    deaths: int = 0
    losses: list[Loss] = field(default_factory=list)
    set_aside: bool = False


class Ledger(Generic[T]):
    """The windows of one worker, oldest first."""

    def __init__(self, slots: int, quarantine_after: int) -> None:
        self._free = list(range(slots - 1, -1, -1))
        self._held: dict[int, Entry[T]] = {}  # keeps the order in which they came
        self._quarantine_after = quarantine_after
        self._next = 1
        self._head_since = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[tuple[int, Entry[T]]]:
        """Slots and entries, oldest first; what a fresh worker must be given."""
        return iter(self._held.items())

    def take(self, window: T, now_s: float) -> tuple[int, Entry[T]] | None:
        """Give *window* a slot and a number, or None when every slot is held."""
        if not self._free:
            return None
        slot = self._free.pop()
        entry = Entry(self._next, window)
        self._next += 1
        if not self._held:
            self._head_since = now_s
        self._held[slot] = entry
        return slot, entry

    def holder(self, slot: int) -> Entry[T] | None:
        """The entry in *slot*, or None if nobody waits for it."""
        return self._held.get(slot)

    def settle(self, slot: int, now_s: float) -> Entry[T]:
        """The window in *slot* has its answer: it leaves, and the next one's time begins."""
        entry = self._held.pop(slot)
        self._free.append(slot)
        self._head_since = now_s
        return entry

    def head_for_s(self, now_s: float) -> float | None:
        """How long the oldest window has been at work, or None when there is none."""
        return now_s - self._head_since if self._held else None

    def restart_clock(self, now_s: float) -> None:
        """A fresh worker begins with the oldest window."""
        self._head_since = now_s

    def blame(self, slot: int, now_s: float) -> Entry[T] | None:
        """The worker died over *slot*; the entry if it is set aside for that, else None."""
        entry = self._held.get(slot)
        if entry is None:
            return None
        entry.deaths += 1
        if entry.deaths < self._quarantine_after:
            return None
        entry.set_aside = True
        return self.settle(slot, now_s)

    def suspect(
        self, running: Callable[[int, int], bool], *, lied: bool, often: bool, alone: bool
    ) -> int | None:
        """The slot that a dead worker was at work on, or None while that cannot be known.

        A model that scribbles over the shared memory spoils what is written there for every
        window under way. While they are given one at a time it is the one that was given.

        Args:
            running: whether the memory says that this slot, of this sequence, was at work.
            lied: the worker rang for something that was not asked.
            often: it is not the first death, and nobody was blamed for the others.
            alone: windows are given one at a time.
        """
        alone = alone or len(self._held) == 1
        if lied and not alone:
            return None
        for slot, entry in self._held.items():
            if running(slot, entry.sequence):
                return slot
        return next(iter(self._held), None) if alone and (lied or often) else None

    def clear(self) -> list[Entry[T]]:
        """Everything that waits leaves at once, oldest first."""
        entries = list(self._held.values())
        self._free.extend(self._held)
        self._held.clear()
        return entries
