"""What a server's history is still to be asked for: which tag, from when to when; no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge_runtime.clock import SECOND_NS
from edge_runtime.sources.opcua_continuity import HOLES_MAX, Hole

ALIKE_NS: Final = 10 * SECOND_NS  # read in vain at most, beyond twice of what a tag misses


@dataclass(slots=True, eq=False)
class Missing:
    """Of a tag the values between two instants, neither counted.

    `start_ns` moves on as they are read.
    """

    tag: int
    start_ns: int
    end_ns: int


class MissingValues:
    """All that has been lost and not been read yet, the last `HOLES_MAX` of it."""

    def __init__(self) -> None:
        self._all: list[Missing] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, holes: Iterable[Hole]) -> None:
        """Values are missing there."""
        new = [Missing(each.tag, each.start_ns, each.end_ns) for each in holes]
        self._all = [*self._all, *new][-HOLES_MAX:]

    def keep(self, tags: Iterable[int]) -> None:
        """Only these have a history."""
        kept = frozenset(tags)
        self._all = [each for each in self._all if each.tag in kept]

    def drop(self, done: Iterable[Missing]) -> None:
        """They were read, or never will be."""
        gone = frozenset(done)
        self._all = [each for each in self._all if each not in gone]

    def alike(self) -> list[list[Missing]]:
        """In groups that one request may ask for: it has but one beginning and one end for all."""
        groups: list[list[Missing]] = []
        shortest_ns = start_ns = end_ns = 0
        for each in sorted(self._all, key=lambda each: (each.start_ns, each.end_ns)):
            length_ns, last_ns = each.end_ns - each.start_ns, max(end_ns, each.end_ns)
            limit_ns = 2 * min(shortest_ns, length_ns) + ALIKE_NS
            if groups and last_ns - start_ns <= limit_ns:
                groups[-1].append(each)
                shortest_ns, end_ns = min(shortest_ns, length_ns), last_ns
            else:
                groups.append([each])
                shortest_ns, start_ns, end_ns = length_ns, each.start_ns, each.end_ns
        return groups
