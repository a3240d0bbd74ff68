"""The plant's clock: the majority of the tags decides, whoever is wrong and whichever way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.clock import LEAP_NS, LEAP_PATIENCE_S, NEAR_NS, RECENT_S, SECOND_NS, PlantClock

T0_NS = 1_795_305_600_000_000_000
HOUR_NS = 3600 * SECOND_NS


def listen(clock: PlantClock, offsets_ns: list[int], seconds: range) -> list[int]:
    """All tags speak every second, each so far from *T0_NS*; the seconds at which it is anew."""
    tags = np.arange(len(offsets_ns), dtype=np.int32)
    offsets = np.array(offsets_ns, np.int64)
    return [
        second
        for second in seconds
        if clock.observe(tags, T0_NS + second * SECOND_NS + offsets, float(second))
    ]


WHO_IS_RIGHT = {
    "all agree": ([0, 0, 0], 0),
    "one is ten minutes old": ([-600 * SECOND_NS, 0, 0], 0),
    "one is of the year 2116": ([2**61, 0, 0], 0),
    "one lives in 1970": ([-T0_NS, 0, 0], 0),
    "of two the later": ([-600 * SECOND_NS, 0], 0),
    "of two and two the later": ([-HOUR_NS, 0, -HOUR_NS, 0], 0),
    "the majority, though it lives in 1970": ([-T0_NS, -T0_NS, 0], -T0_NS),
    "a single tag, whatever it says": ([-HOUR_NS], -HOUR_NS),
    "the fastest of those who nearly agree is no better": ([0, 0, SECOND_NS], 0),
}


@pytest.mark.parametrize("name", WHO_IS_RIGHT)
def test_majority(name: str) -> None:
    """Each row is a plant whose tags disagree, and what time it is there after three seconds."""
    offsets_ns, right_ns = WHO_IS_RIGHT[name]
    clock = PlantClock(len(offsets_ns))
    listen(clock, offsets_ns, range(3))
    assert clock.now_ns(3.0) == T0_NS + right_ns + 3 * SECOND_NS
    assert clock.leaps == 0


def test_one_sample_of_another_time_moves_nothing() -> None:
    """A clock that is sure of itself does not follow one strange value."""
    clock = PlantClock(1)
    listen(clock, [0], range(5))
    assert listen(clock, [HOUR_NS], range(5, 6)) == []
    assert clock.now_ns(7.0) == T0_NS + 7 * SECOND_NS
    assert clock.leaps == 0


@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS, LEAP_NS + 1, -T0_NS])
def test_clock_that_was_set_is_followed(step_ns: int) -> None:
    """Daylight saving, a battery that failed: after the patience the rows start anew, once."""
    clock = PlantClock(2)
    listen(clock, [0, 0], range(5))
    anew = listen(clock, [step_ns, step_ns], range(5, 30))
    assert anew == [5 + int(LEAP_PATIENCE_S)]
    assert clock.leaps == 1
    assert clock.now_ns(30.0) == T0_NS + 30 * SECOND_NS + step_ns


def test_a_value_kept_for_newcomers_has_no_say() -> None:
    """What came once, of yesterday, is outvoted by a single tag that goes on."""
    clock = PlantClock(3)
    day_ns = 24 * HOUR_NS
    first = np.array([0, 1, 2], np.int32)
    clock.observe(first, np.array([T0_NS - day_ns, T0_NS - day_ns, T0_NS]), 0.0)
    for second in range(1, 4):
        clock.observe(first[2:], np.array([T0_NS + second * SECOND_NS]), float(second))
    assert clock.now_ns(3.0) == T0_NS + 3 * SECOND_NS


def test_tags_that_fell_silent_have_no_say() -> None:
    """Two tags of a controller that died do not hold back the one that goes on."""
    clock = PlantClock(3)
    listen(clock, [0, 0, 0], range(3))
    only = np.array([2], np.int32)
    for second in range(100, 130):
        at_ns = T0_NS + second * SECOND_NS + HOUR_NS
        clock.observe(only, np.array([at_ns]), float(second))
    assert clock.now_ns(130.0) == T0_NS + 130 * SECOND_NS + HOUR_NS


def test_a_slower_clock_is_given_in_to() -> None:
    """A plant that loses half a second in an hour is still on time after a day."""
    clock = PlantClock(1)
    tag = np.array([0], np.int32)
    for minute in range(24 * 60):
        now_s = 60.0 * minute
        lost_ns = int(now_s * 1.4e-4 * SECOND_NS)
        assert not (
            clock.observe(tag, np.array([T0_NS + int(now_s) * SECOND_NS - lost_ns]), now_s)
            and minute
        )
        now_ns = clock.now_ns(now_s)
        assert now_ns is not None
        assert abs(now_ns - (T0_NS + int(now_s) * SECOND_NS - lost_ns)) < SECOND_NS // 10
    assert clock.leaps == 0


@given(st.lists(st.integers(-LEAP_NS // 3, LEAP_NS // 3), min_size=2, max_size=40))
def test_never_backwards(jitter_ns: list[int]) -> None:
    """Late values, early values: once it is sure, the clock does not run backwards by itself."""
    clock, tag = PlantClock(1), np.array([0], np.int32)
    seen: list[int] = []
    for second, off_ns in enumerate(jitter_ns):
        clock.observe(tag, np.array([T0_NS + second * SECOND_NS + off_ns]), float(second))
        now_ns = clock.now_ns(float(second))
        assert now_ns is not None
        seen.append(now_ns)
    assert seen[1:] == sorted(seen[1:])


def test_no_time_before_the_first_sample() -> None:
    """Nobody has spoken: there is no time, and no samples change nothing."""
    clock = PlantClock(1)
    assert not clock.observe(np.empty(0, np.int32), np.empty(0, np.int64), 1.0)
    assert clock.now_ns(5.0) is None


def one_at(clock: PlantClock, second: float, off_ns: int = 0, tag: int = 0) -> bool:
    """One sample of one tag, so far from *T0_NS*; whether rows start anew."""
    at_ns = T0_NS + int(second * SECOND_NS) + off_ns
    return clock.observe(np.array([tag], np.int32), np.array([at_ns]), second)


def test_tags_that_never_spoke_have_no_say() -> None:
    """Most tags of a plant may not have come yet; they are not of 1970."""
    clock = PlantClock(9)
    for second in range(4):
        one_at(clock, float(second), -HOUR_NS)
    assert clock.now_ns(4.0) == T0_NS + 4 * SECOND_NS - HOUR_NS
    assert clock.leaps == 0


def test_a_plant_before_1970() -> None:
    """Who has not spoken is not of 1970, though everybody else is of before."""
    clock = PlantClock(2)
    clock.observe(np.array([0], np.int32), np.array([-HOUR_NS]), 1.0)
    assert clock.now_ns(1.0) == -HOUR_NS


SILENCES = {
    "for as long as may be: it is still ahead": (RECENT_S, 1000),
    "for longer: the clock gives in to the other": (RECENT_S + 1.0, 1000 - 61),
}


@pytest.mark.parametrize("name", SILENCES)
def test_silence(name: str) -> None:
    """Each row is how long the tag that is a second ahead was silent, and how far we are, ms."""
    silent_s, ahead_ms = SILENCES[name]
    clock = PlantClock(2)
    for second in (-1.0, 0.0):
        one_at(clock, second, 0, tag=0)
        one_at(clock, second, SECOND_NS, tag=1)
    one_at(clock, silent_s, 0, tag=0)
    expected_ns = T0_NS + int(silent_s) * SECOND_NS + ahead_ms * SECOND_NS // 1000
    assert clock.now_ns(silent_s) == expected_ns


BOUNDS = {
    "near enough at the first confirmation": (-NEAR_NS, False),
    "not near enough": (-NEAR_NS - 1, True),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_first_confirmation(name: str) -> None:
    """The second value of a plant says where its clock is; a little off is let go."""
    off_ns, anew = BOUNDS[name]
    clock = PlantClock(1)
    assert one_at(clock, 0.0)
    assert one_at(clock, 1.0, off_ns) == anew


def test_as_far_off_as_may_be_is_no_leap() -> None:
    """Five seconds are a long cable, and one nanosecond more is another clock."""
    for off_ns, leaps in ((LEAP_NS, 0), (-LEAP_NS, 0), (-LEAP_NS - 10**8, 1)):
        clock = PlantClock(1)
        listen(clock, [0], range(3))
        for second in range(3, 20):
            one_at(clock, float(second), off_ns)
        assert clock.leaps == leaps


def test_late_values_pull_gently() -> None:
    """A second of delay moves the clock by a millisecond a second, not by a second."""
    clock = PlantClock(1)
    listen(clock, [0], range(100))
    for second in range(100, 110):
        one_at(clock, float(second), -SECOND_NS)
    now_ns = clock.now_ns(109.0)
    assert now_ns == T0_NS + 109 * SECOND_NS - 10 * SECOND_NS // 1000


def test_set_twice() -> None:
    """In spring and in autumn: both times are counted."""
    clock = PlantClock(1)
    listen(clock, [0], range(3))
    listen(clock, [HOUR_NS], range(3, 20))
    listen(clock, [0], range(20, 40))
    assert clock.leaps == 2
