"""Windows: cut once each whatever the chunks, and judged before anything scores them."""

from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError, RowOrderError
from edge_core.features.grid import NO_TIME_NS, Grid, Rows, place
from edge_core.features.samples import TIME_MAX_NS, CellQuality
from edge_core.features.window import (
    Assessment,
    Window,
    WindowCutter,
    assess,
    longest_runs,
    of_picture,
    window_of,
    windows,
)
from tests.unit.features.strategies import (
    FIRST_ROW,
    LATENESS_NS,
    PERIOD_NS,
    ROWS,
    SPEC,
    Record,
    records,
    samples,
    windowing,
)

GOOD, UNCERTAIN, BAD, GAP, STUCK, STALE, *_ = CellQuality
ROLES = ("pressure", "flow")


def rows(first: int, count: int, tags: int = 2) -> Rows:
    """Good rows whose value is their row number."""
    values = np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], tags, axis=1)
    source_ns = (np.arange(first, first + count)[:, None] - np.arange(tags)) * 10**9
    return Rows(first, 10**9, values, np.zeros((count, tags), np.uint8), source_ns)


def same(one: Window, other: Window) -> None:
    """Equal to the bit."""
    assert (one.number, one.start_ns, one.end_ns) == (other.number, other.start_ns, other.end_ns)
    np.testing.assert_array_equal(one.values, other.values)
    for name in ("quality", "source_ns", "good_share", "uncertain_share", "gap_rows", "gap"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.age_max_ns, other.age_max_ns)
    assert one.source_span_ns == other.source_span_ns
    assert one.values.dtype == np.dtype(np.float32)
    assert one.quality.dtype == np.dtype(np.uint8)


@given(
    first=st.integers(0, 40),
    chunks=st.lists(st.integers(0, 17), max_size=12),
    length=st.integers(2, 12),
    stride=st.integers(1, 20),
)
def test_cut_once_each(first: int, chunks: list[int], length: int, stride: int) -> None:
    """In any chunks, each whole window comes exactly once, in order, as the batch cuts it."""
    rule = windowing(length, stride, 1)
    cutter = WindowCutter(rule, 2)
    cut: list[Window] = []
    at = first
    for chunk in chunks:
        cut += [window.copied() for window in cutter.push(rows(at, chunk))]
        at += chunk
    expected = list(windows(rows(first, at - first), rule))
    assert [window.number for window in cut] == [window.number for window in expected]
    for one, other in zip(cut, expected, strict=True):
        same(one, other)
    for window in cut:
        assert window.values[0, 0] == window.number * stride
        assert len(window.values) == length


@given(records, st.randoms(use_true_random=False))
def test_any_arrival_order_same_windows(listed: list[Record], random: Random) -> None:
    """Samples in any order within the lateness lose no window, double none and change none."""
    rule = windowing(6, 2, 3)
    expected = list(windows(place(samples(listed), SPEC, FIRST_ROW, ROWS), rule))
    arrivals = [(record[3] + random.randint(0, LATENESS_NS), record) for record in listed]
    random.shuffle(arrivals)
    grid, cutter = Grid(SPEC, FIRST_ROW), WindowCutter(rule, 3)
    cut: list[Window] = []
    for row in range(FIRST_ROW, FIRST_ROW + ROWS):
        now_ns = row * PERIOD_NS + LATENESS_NS
        grid.add(samples([record for at, record in arrivals if at <= now_ns]))
        arrivals = [arrival for arrival in arrivals if arrival[0] > now_ns]
        cut += [window.copied() for window in cutter.push(grid.advance(now_ns))]
    assert len(cut) == len(expected)
    for one, other in zip(cut, expected, strict=True):
        same(one, other)


def test_times_are_those_of_the_first_and_the_last_row() -> None:
    """Window 4 of rows one second apart, five a stride, ten long: seconds 20 to 29."""
    second_ns = 10**9
    cut = list(WindowCutter(windowing(10, 5, 1), 2).push(rows(20, 10)))
    assert [(window.start_ns, window.end_ns) for window in cut] == [
        (20 * second_ns, 29 * second_ns)
    ]


def test_restart_doubles_nothing() -> None:
    """A cutter told what was cut goes on with the next number, even if rows come again."""
    rule = windowing(10, 5, 1)
    before = WindowCutter(rule, 2)
    numbers = [window.number for window in before.push(rows(0, 22))]
    after = WindowCutter(rule, 2, next_number=before.next_number)
    numbers += [window.number for window in after.push(rows(7, 40))]
    assert numbers == [0, 1, 2, 3, 4, 5, 6, 7]


def test_no_window_across_a_hole() -> None:
    """Rows that jump ahead start anew: no window holds rows from both sides."""
    cutter = WindowCutter(windowing(10, 5, 1), 2)
    assert [window.number for window in cutter.push(rows(0, 12))] == [0]
    assert [window.number for window in cutter.push(rows(18, 18))] == [4, 5]


def test_rows_never_go_back() -> None:
    """An older row is refused: nothing could be right after it."""
    cutter = WindowCutter(windowing(), 2)
    list(cutter.push(rows(0, 3)))
    with pytest.raises(RowOrderError, match="row 2: expected 3"):
        list(cutter.push(rows(2, 1)))


def test_tags_must_fit() -> None:
    """A row of another width is refused."""
    with pytest.raises(ColumnError, match="row 0: expected 2 tags"):
        list(WindowCutter(windowing(), 2).push(rows(0, 1, tags=3)))


def test_window_is_a_view_and_a_copy_is_not() -> None:
    """The cut window is a slice of the ring; a copy outlives the next row."""
    cutter = WindowCutter(windowing(3, 1, 1), 2)
    view = next(iter(cutter.push(rows(0, 3))))
    kept = view.copied()
    list(cutter.push(rows(3, 3)))
    assert kept.values[:, 0].tolist() == [0, 1, 2]
    assert view.values[:, 0].tolist() != [0, 1, 2]


@dataclass(frozen=True)
class Case:
    """Qualities of the first tag over ten rows (the second is good), and the verdict."""

    quality: list[CellQuality]
    verdict: Assessment
    values: list[float] | None = None


def refused(reason: str, *bad: str) -> Assessment:
    """A window that may not be scored because of these tags: by default that which is named."""
    words, why = f"no verdict: input bad: {reason}", reason.partition("(")[2].partition(")")[0]
    named = bad or (reason.partition(" ")[0],)
    return Assessment(scorable=False, reason=words, bad=named, why=(why,) * len(named))


CASES = {
    "all good: score": Case([GOOD] * 10, Assessment(scorable=True)),
    "scattered bad rows within the share: score": Case(
        [BAD, GOOD, GOOD, GOOD, BAD, *[GOOD] * 5], Assessment(scorable=True)
    ),
    "too few good rows: says how many and how many are needed": Case(
        [BAD, GOOD, BAD, GOOD, BAD, GOOD, BAD, GOOD, BAD, BAD],
        refused("pressure 40 % good, 80 % needed (bad status)"),
    ),
    "just below the share is not rounded up": Case(
        [GOOD, STUCK, GOOD, GOOD, STUCK, GOOD, GOOD, STUCK, GOOD, GOOD],
        refused("pressure 70 % good, 80 % needed (value frozen)"),
    ),
    "a gap of the allowed length: score": Case(
        [GOOD] * 4 + [GAP] * 2 + [GOOD] * 4, Assessment(scorable=True)
    ),
    "nothing came for most of the window": Case(
        [GOOD] * 3 + [STALE] * 7,
        refused("pressure 30 % good, 80 % needed (nothing recent arrived)"),
    ),
    "uncertain rows are used and named": Case(
        [UNCERTAIN] * 10, Assessment(scorable=True, uncertain=("pressure",))
    ),
    "few uncertain rows need no mention": Case(
        [UNCERTAIN] * 2 + [GOOD] * 8, Assessment(scorable=True)
    ),
    "no value at all yet: no verdict": Case(
        [GAP] + [GOOD] * 9,
        refused("pressure has no good value yet (nothing is known)"),
        values=[float("nan")] + [1.0] * 9,
    ),
}


def window_of_quality(quality: list[CellQuality], values: list[float] | None = None) -> Window:
    """Ten rows of two tags, the second one good."""
    first = np.array(values or [1.0] * len(quality), np.float32)
    chunk = Rows(
        0,
        10**9,
        np.stack([first, np.ones(len(quality), np.float32)], axis=1),
        np.stack([np.array(quality, np.uint8), np.zeros(len(quality), np.uint8)], axis=1),
        np.zeros((len(quality), 2), np.int64),
    )
    return next(windows(chunk, windowing(len(quality), 1, 2)))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_assess(case: Case) -> None:
    """Each row of the table is a rule about what may be scored."""
    window = window_of_quality(case.quality, case.values)
    assert assess(window, windowing(10, 1, 2), ROLES) == case.verdict


SECOND: dict[str, tuple[CellQuality, float, str]] = {
    "empty at the end": (GAP, float("nan"), "flow has no good value yet (nothing is known)"),
    "too often bad": (BAD, 1.0, "flow 30 % good, 80 % needed (bad status)"),
}


@pytest.mark.parametrize("name", SECOND)
def test_the_tag_at_fault_is_named(name: str) -> None:
    """The reason names the tag that is at fault, wherever it stands and whenever it failed."""
    cause, value, reason = SECOND[name]
    quality, values = np.zeros((10, 2), np.uint8), np.ones((10, 2), np.float32)
    quality[3:, 1], values[3:, 1] = cause, value
    chunk = Rows(0, 10**9, values, quality, np.zeros((10, 2), np.int64))
    window = next(windows(chunk, windowing(10, 1, 2)))
    assert assess(window, windowing(10, 1, 2), ROLES) == refused(reason)


def test_gap_too_long_is_refused_even_with_enough_good_rows() -> None:
    """A hole longer than the contract allows is never scored over."""
    window = window_of_quality([GOOD] * 40 + [GAP] * 4 + [GOOD] * 6)
    verdict = assess(window, windowing(50, 1, 3), ROLES)
    assert verdict.reason == (
        "no verdict: input bad: pressure missing for 4 rows, 3 allowed (nothing is known)"
    )


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_longest_runs(marks: list[bool]) -> None:
    """The longest run equals the longest piece of a split string."""
    text = "".join("x" if mark else " " for mark in marks)
    longest = max((len(piece) for piece in text.split()), default=0)
    runs = longest_runs(np.array(marks)[:, None])
    assert runs.tolist() == [longest]
    assert runs.dtype == np.int64


def pair() -> Window:
    """Four rows of two tags: pressure with a gap and a late first value, flow with all."""
    quality = np.zeros((4, 2), np.uint8)
    quality[0, 0], quality[2, 0] = GAP, UNCERTAIN
    values = np.array([[np.nan, 1], [5, 2], [6, 3], [6, 4]], np.float32)
    second_ns = 10**9
    source_ns = np.array([[NO_TIME_NS, 7], [10, 11], [11, 12], [11, 13]], np.int64)
    source_ns[source_ns != NO_TIME_NS] *= second_ns
    return window_of(5, Rows(10, second_ns, values, quality, source_ns))


def test_what_is_said_of_each_tag() -> None:
    """Shares, gaps and the age of the oldest value are a tag's own; source times the window's."""
    window = pair()
    assert window.good_share.tolist() == [0.75, 1.0]
    assert window.uncertain_share.tolist() == [0.25, 0.0]
    assert window.gap_rows.tolist() == [1, 0]
    assert window.gap.tolist() == [True, False]
    assert window.age_max_ns[0] > TIME_MAX_NS
    assert window.age_max_ns[1] == 3 * 10**9
    assert window.source_span_ns == (7 * 10**9, 13 * 10**9)


def test_columns_of_a_window() -> None:
    """Some tags of a window, in any order, keep what is said of them, in arrays of their own."""
    window = pair()
    chosen = window.columns(np.array([1, 0]))
    for name in ("values", "quality", "source_ns"):
        found = getattr(chosen, name)
        np.testing.assert_array_equal(found, getattr(window, name)[:, ::-1])
        assert not np.shares_memory(found, getattr(window, name))
    for name in ("good_share", "uncertain_share", "gap_rows", "gap", "age_max_ns"):
        assert getattr(chosen, name).tolist() == getattr(window, name)[::-1].tolist()
    only = window.columns(np.array([0]))
    assert only.source_span_ns == (11 * 10**9, 11 * 10**9)
    assert (only.number, only.start_ns, only.end_ns) == (5, 10 * 10**9, 13 * 10**9)


def test_nothing_in_a_window() -> None:
    """A window without any value covers no source time."""
    nothing = Rows(
        0,
        1,
        np.full((2, 1), np.nan, np.float32),
        np.full((2, 1), GAP, np.uint8),
        np.full((2, 1), NO_TIME_NS, np.int64),
    )
    assert window_of(0, nothing).source_span_ns is None


def test_a_source_says_why() -> None:
    """The cause that a source gave for a gap stands for it; other causes stay what they are."""
    gaps = {"pressure": "the connection was lost", "flow": "not asked"}
    lost = assess(window_of_quality([GAP] * 10), windowing(10, 1, 2), ROLES, gaps)
    assert lost.reason.endswith("pressure 0 % good, 80 % needed (the connection was lost)")
    bad = assess(window_of_quality([BAD] * 10), windowing(10, 1, 2), ROLES, gaps)
    assert bad.reason.endswith("(bad status)")


def test_every_tag_at_fault_is_named() -> None:
    """The worst tag comes first with its cause, the others behind it."""
    quality = np.zeros((10, 3), np.uint8)
    quality[:3, 0], quality[:9, 1], quality[4:8, 2] = BAD, STALE, STUCK
    chunk = Rows(0, 10**9, np.ones((10, 3), np.float32), quality, np.zeros((10, 3), np.int64))
    found = assess(
        next(windows(chunk, windowing(10, 1, 2))), windowing(10, 1, 2), (*ROLES, "level")
    )
    assert found.bad == ("flow", "level", "pressure")
    assert found.reason == (
        "no verdict: input bad: flow 10 % good, 80 % needed (nothing recent arrived); "
        "also level, pressure"
    )


# where pressure and flow are bad, where flow has no value, who is named first, and what is said
ORDER: dict[str, tuple[list[int], list[int], list[int], tuple[str, str], str]] = {
    "as many good rows: the longer hole": (
        [0, 2, 4],
        [1, 2, 3],
        [],
        ("flow", "pressure"),
        "flow 70 % good, 80 % needed (bad status); also pressure",
    ),
    "fewer good rows": (
        [0, 2, 4, 6],
        [1, 2, 3],
        [],
        ("pressure", "flow"),
        "pressure 60 % good, 80 % needed (bad status); also flow",
    ),
    "no value yet": (
        [0, 2, 4, 6],
        [0],
        [0],
        ("flow", "pressure"),
        "flow has no good value yet (bad status); also pressure",
    ),
}


@pytest.mark.parametrize("name", ORDER)
def test_the_worst_comes_first(name: str) -> None:
    """Each row is two tags at fault, and the one that says less."""
    pressure, flow, empty, named, reason = ORDER[name]
    quality, values = np.zeros((10, 2), np.uint8), np.ones((10, 2), np.float32)
    quality[pressure, 0], quality[flow, 1], values[empty, 1] = BAD, BAD, np.nan
    chunk = Rows(0, 10**9, values, quality, np.zeros((10, 2), np.int64))
    found = assess(window_of(0, chunk), windowing(10, 1, 5), ROLES)
    assert found.bad == named
    assert found.reason == f"no verdict: input bad: {reason}"


def test_age_of_a_value_that_is_held() -> None:
    """A value that nothing follows is oldest in the last row."""
    held = rows(10, 4)
    held.source_ns[:] = held.source_ns[0]
    assert window_of(0, held).age_max_ns.tolist() == [3 * 10**9, 4 * 10**9]


def test_almost_all_is_not_all() -> None:
    """Where every row is needed, 199 of 200 are 99 %."""
    found = assess(window_of_quality([BAD] + [GOOD] * 199), windowing(200, 1, 2, share=1.0), ROLES)
    assert found.reason.endswith("pressure 99 % good, 100 % needed (bad status)")


def test_windows_before_1970() -> None:
    """A plant that lives before the epoch has windows, and their numbers go on."""
    cut = [window.number for window in WindowCutter(windowing(4, 2, 1), 2).push(rows(-9, 9))]
    assert cut == [-4, -3, -2]


def test_more_rows_than_a_ring_at_once() -> None:
    """A chunk much longer than the ring gives the windows inside it, and what follows fits on."""
    cutter = WindowCutter(windowing(3, 50, 1), 2)
    first = [window.copied() for window in cutter.push(rows(1, 120))]
    assert [window.number for window in first] == [1, 2]
    assert first[1].values[:, 0].tolist() == [100, 101, 102]
    assert [window.number for window in cutter.push(rows(121, 32))] == [3]


def test_window_of_a_picture() -> None:
    """A picture is one row in which nothing is known of any tag, and nothing is missing."""
    picture = np.zeros((2, 2, 3), np.uint8)
    made = of_picture(picture, 7, 3)
    assert made.picture is picture
    assert (made.number, made.start_ns, made.end_ns, made.source_span_ns) == (0, 7, 7, None)
    expected: dict[str, NDArray[np.generic]] = {
        "values": np.array([[np.nan] * 3], np.float32),
        "quality": np.array([[GAP] * 3], np.uint8),
        "source_ns": np.array([[NO_TIME_NS] * 3], np.int64),
        "good_share": np.zeros(3, np.float64),
        "uncertain_share": np.zeros(3, np.float64),
        "gap_rows": np.ones(3, np.int64),
        "gap": np.zeros(3, np.bool_),
        "age_max_ns": np.zeros(3, np.int64),
    }
    for name, column in expected.items():
        found = getattr(made, name)
        assert found.dtype == column.dtype, name
        np.testing.assert_array_equal(found, column, name)
