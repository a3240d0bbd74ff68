"""Rules against bad input: sentinels, impossible values, frozen sensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.features.errors import ColumnError
from edge_core.features.grid import Rows
from edge_core.features.quality import SENTINELS, Screen, StuckWatch, TagRule, flat_lengths
from edge_core.features.samples import CellQuality
from tests.unit.features.strategies import samples

GOOD, UNCERTAIN, GAP = CellQuality.GOOD, CellQuality.UNCERTAIN, CellQuality.GAP
STUCK, IMPOSSIBLE = CellQuality.STUCK, CellQuality.IMPOSSIBLE
RULE = TagRule(sentinels=SENTINELS, low=-10.0, high=10_000.0)

VALUES = {
    "an ordinary value is left alone": (12.5, GOOD, GOOD),
    "888.8 is a sentinel, as a float32 too": (888.8, GOOD, IMPOSSIBLE),
    "-9999 is a sentinel": (-9999.0, GOOD, IMPOSSIBLE),
    "next to a sentinel is a value": (888.7, GOOD, GOOD),
    "below the range is impossible": (-10.5, GOOD, IMPOSSIBLE),
    "above the range is impossible": (10_001.0, UNCERTAIN, IMPOSSIBLE),
    "the end of the range is possible": (-10.0, UNCERTAIN, UNCERTAIN),
    "so is the other end": (10_000.0, GOOD, GOOD),
    "not a number is impossible": (float("nan"), GOOD, IMPOSSIBLE),
    "what is bad already stays what it is": (888.8, GAP, GAP),
}


@pytest.mark.parametrize(("value", "given_as", "becomes"), VALUES.values(), ids=VALUES.keys())
def test_screen(value: float, given_as: CellQuality, becomes: CellQuality) -> None:
    """Each row of the table is a rule about one sample."""
    screened = Screen((RULE,)).mark(samples([(0, value, given_as, 0)]))
    assert screened.quality.tolist() == [becomes]


NEAR_A_SENTINEL = {
    "a millionth from zero is zero": (0.0, 1e-6, IMPOSSIBLE),
    "farther from zero is not": (0.0, 1.5e-6, GOOD),
    "a millionth is absolute below one": (-0.5, -0.5000015, GOOD),
    "and relative above": (1000.0, 1000.0005, IMPOSSIBLE),
}


@pytest.mark.parametrize("name", NEAR_A_SENTINEL)
def test_how_near_is_a_sentinel(name: str) -> None:
    """A sentinel that was scaled on its way is recognised, a value beside it is not."""
    sentinel, value, becomes = NEAR_A_SENTINEL[name]
    screened = Screen((TagRule(sentinels=(sentinel,)),)).mark(samples([(0, value, GOOD, 0)]))
    assert screened.quality.tolist() == [becomes]


@pytest.mark.parametrize("end", [0.1, 0.7, -0.1, -0.7])
def test_ends_of_a_range(end: float) -> None:
    """The end itself is possible, though no float32 is exactly what the rule says."""
    screen = Screen((TagRule(low=end), TagRule(high=end)))
    screened = screen.mark(samples([(0, end, GOOD, 0), (1, end, GOOD, 0)]))
    assert screened.quality.tolist() == [GOOD, GOOD]


def test_several_wrongs() -> None:
    """A value out of range beside two kinds of sentinel: all of them are impossible."""
    values = (-10.5, 888.8, 5.0, -9999.0)
    screened = Screen((RULE,)).mark(samples([(0, value, GOOD, 0) for value in values]))
    assert screened.quality.tolist() == [IMPOSSIBLE, IMPOSSIBLE, GOOD, IMPOSSIBLE]


def test_rules_are_per_tag() -> None:
    """One tag's sentinel is another tag's value."""
    screened = Screen((RULE, TagRule())).mark(samples([(0, 888.8, GOOD, 0), (1, 888.8, GOOD, 0)]))
    assert screened.quality.tolist() == [IMPOSSIBLE, GOOD]


def test_screen_needs_a_rule_a_tag() -> None:
    """A tag without a rule is an error, not a free pass."""
    with pytest.raises(ColumnError, match="found 1"):
        Screen((RULE,)).mark(samples([(1, 1.0, GOOD, 0)]))


def column(values: list[float]) -> Rows:
    """Good rows of one tag."""
    cells = np.array(values, np.float32)[:, None]
    return Rows(7, 10, cells, np.zeros(cells.shape, np.uint8), np.zeros(cells.shape, np.int64))


def test_frozen_after_the_limit() -> None:
    """A value may repeat up to the limit; each further row is STUCK, until it moves."""
    watch = StuckWatch((TagRule(flat_rows_max=3),))
    marked = watch.mark(column([1, 2, 2, 2, 2, 2, 3]))
    assert marked.quality[:, 0].tolist() == [GOOD] * 4 + [STUCK] * 2 + [GOOD]
    assert watch.runs.tolist() == [1]
    assert (marked.first, marked.period_ns) == (7, 10)
    assert marked.values[:, 0].tolist() == [1, 2, 2, 2, 2, 2, 3]
    assert marked.source_ns.tolist() == [[0]] * 7


def test_one_row_at_a_time() -> None:
    """A row that comes alone counts like one among many."""
    watch = StuckWatch((TagRule(flat_rows_max=2),))
    seen = []
    for value in (4.0, 4.0, 4.0, 5.0):
        marked = watch.mark(column([value])).quality[0, 0]
        seen.append((int(watch.runs[0]), CellQuality(marked)))
    assert seen == [(1, GOOD), (2, GOOD), (3, STUCK), (1, GOOD)]


def test_no_rows_no_lengths() -> None:
    """Nothing stands still for no time, in as many columns as there are."""
    lengths = flat_lengths(np.empty((0, 2), np.float32), np.zeros(2, np.float32), np.ones(2, int))
    assert lengths.shape == (0, 2)


def test_no_limit_no_mark() -> None:
    """A set-point may stand still for ever."""
    assert (StuckWatch((TagRule(),)).mark(column([5.0] * 500)).quality == GOOD).all()


@given(
    st.lists(st.sampled_from([0.0, 1.0, float("nan")]), max_size=40),
    st.lists(st.integers(0, 9), max_size=10),
)
def test_chunks_change_nothing(values: list[float], sizes: list[int]) -> None:
    """In any chunks the same rows are stuck."""
    rule = (TagRule(flat_rows_max=2),)
    whole = StuckWatch(rule).mark(column(values)).quality[:, 0].tolist()
    watch, pieces, at = StuckWatch(rule), list[int](), 0
    for size in [*sizes, len(values)]:
        pieces += watch.mark(column(values[at : at + size])).quality[:, 0].tolist()
        at += size
    assert pieces == whole
