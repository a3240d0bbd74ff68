"""A set of whole numbers that is kept as closed ranges."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Intervals:
    """Numbers that come almost in order, in the room of a few pairs."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self.add_all(pairs)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Closed ranges, ascending, none touching the next."""
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._firsts)

    def covers(self, first: int, last: int) -> bool:
        """Whether every number from *first* to *last* is in."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]

    def add(self, first: int, last: int) -> None:
        """Put in every number from *first* to *last*.

        Raises:
            ValueError: *last* lies below *first*.
        """
        if last < first:
            raise ValueError(f"a range: expected an end from {first} on, found {last}")
        if self._lasts and first == self._lasts[-1] + 1:
            self._lasts[-1] = last
            return
        if not self._firsts or first > self._lasts[-1] + 1:
            self._firsts.append(first)
            self._lasts.append(last)
            return
        low = bisect_right(self._lasts, first - 2)  # the first range that touches from the left
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def add_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put in every number of every range."""
        for first, last in pairs:
            self.add(first, last)

    def end_of_first(self) -> int:
        """Where the lowest range ends; 0 when there is none."""
        return self._lasts[0] if self._lasts else 0

    def end_of_last(self) -> int:
        """The highest number that is in; 0 when there is none."""
        return self._lasts[-1] if self._lasts else 0

    def keep_lowest(self, count: int) -> None:
        """Forget all ranges above the lowest *count*."""
        del self._firsts[count:], self._lasts[count:]

    def keep_highest(self, count: int) -> None:
        """Forget all ranges below the highest *count*."""
        surplus = max(len(self) - count, 0)
        del self._firsts[:surplus], self._lasts[:surplus]
