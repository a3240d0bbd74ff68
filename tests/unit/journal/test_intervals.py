"""A set of ranges behaves like the set of their numbers."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.journal.intervals import Intervals

numbers = st.integers(min_value=0, max_value=40)
pairs = st.tuples(numbers, st.integers(min_value=0, max_value=6)).map(lambda p: (p[0], sum(p)))


def plain(found: list[tuple[int, int]]) -> set[int]:
    """The numbers one by one."""
    return {number for first, last in found for number in range(first, last + 1)}


@settings(deadline=None)  # other tests share the machine
@given(st.lists(pairs, max_size=30))
def test_same_numbers(added: list[tuple[int, int]]) -> None:
    """It holds exactly what was put in, as ascending ranges that never touch."""
    intervals = Intervals(added)
    ranges = list(intervals)
    assert plain(ranges) == plain(added)
    assert all(low[1] + 1 < high[0] for low, high in pairwise(ranges))
    assert len(intervals) == len(ranges)


@settings(deadline=None)  # other tests share the machine
@given(st.lists(pairs, max_size=20), pairs)
def test_covers(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    """A range is covered when each of its numbers is in."""
    intervals = Intervals(added)
    assert intervals.covers(*asked) == (plain([asked]) <= plain(added))
    assert (asked[0] in intervals) == (asked[0] in plain(added))


def test_ends() -> None:
    """The lowest range says how far all is known, the highest what is the newest."""
    intervals = Intervals([(1, 4), (6, 7), (9, 9)])
    assert (intervals.end_of_first(), intervals.end_of_last()) == (4, 9)
    assert (Intervals().end_of_first(), Intervals().end_of_last()) == (0, 0)


def test_bounds() -> None:
    """A bound forgets whole ranges, from whichever side is harmless."""
    intervals = Intervals([(1, 1), (3, 3), (5, 5), (7, 7)])
    intervals.keep_highest(3)
    intervals.keep_lowest(2)
    assert list(intervals) == [(3, 3), (5, 5)]


def test_wide_bound() -> None:
    """A bound above the number of ranges forgets nothing."""
    intervals = Intervals([(1, 1), (3, 3)])
    intervals.keep_highest(3)
    intervals.keep_lowest(3)
    assert list(intervals) == [(1, 1), (3, 3)]


def test_upside_down() -> None:
    """A range that ends before it starts is refused."""
    with pytest.raises(ValueError, match="expected an end from 5 on, found 4"):
        Intervals().add(5, 4)
