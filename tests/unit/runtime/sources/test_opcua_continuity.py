"""What is known of a tag and until when: gaps exactly, nothing twice, nothing that is not so."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from edge_core.features.samples import CellQuality
from edge_runtime.clock import LEAP_NS
from edge_runtime.sources.opcua_continuity import (
    HOLES_MAX,
    OVERFLOW,
    SET_NS,
    Continuity,
    Hole,
    doubted,
)
from edge_runtime.sources.sample import GapCause, SampleBatch, gap_status

SECOND = 1_000_000_000
T0 = 1_795_305_600 * SECOND
AHEAD = 5 * SECOND  # the server's clock is behind the plant's
TAGS = np.array([0, 2], np.int32)
GOOD, GAP = int(CellQuality.GOOD), int(CellQuality.GAP)


def batch(*rows: tuple[int, float, int], status: int = 0) -> SampleBatch:
    """Rows of tag, value, and source time after T0."""
    return SampleBatch(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.float64),
        np.array([T0 + row[2] for row in rows], np.int64),
        np.full(len(rows), status, np.uint32),
    )


def rows(found: SampleBatch) -> list[tuple[int, float | None, int, int]]:
    """Tag, value, source time after T0, quality; of columns of the types that a batch has."""
    columns = (found.tags, found.values, found.source_ns, found.status)
    assert [column.dtype for column in columns] == [np.int32, np.float64, np.int64, np.uint32]
    return [
        (tag, None if np.isnan(value) else value, source_ns - T0, quality)
        for tag, value, source_ns, quality in zip(
            found.tags.tolist(),
            found.values.tolist(),
            found.source_ns.tolist(),
            found.quality.tolist(),
            strict=True,
        )
    ]


def live() -> Continuity:
    """Both tags have spoken, tag 2 an hour ago, and tag 0 speaks."""
    known = Continuity(TAGS, 3)
    known.take(batch((0, 1.0, 0), (2, 7.0, -3600 * SECOND)), T0 - AHEAD, more=False)
    known.take(batch((0, 2.0, SECOND)), T0 + SECOND - AHEAD, more=False)
    return known


def test_first_value_of_old() -> None:
    """A tag that has not changed for an hour is known from now on, not from an hour ago."""
    known = Continuity(TAGS, 3)
    found = known.take(batch((2, 7.0, -3600 * SECOND), (0, 1.0, 0)), T0, more=False)
    assert rows(found) == [(2, 7.0, 0, GOOD), (0, 1.0, 0, GOOD)]
    later = known.take(batch((2, 8.0, -3000 * SECOND)), T0 + SECOND, more=False)
    assert rows(later) == [(2, 8.0, -3000 * SECOND, GOOD)]


AGES: dict[str, tuple[int, int]] = {
    "just measured": (0, 0),
    "a second old: still when it was measured": (SECOND, -SECOND),
    "older: true now": (SECOND + 1, 0),
}


@pytest.mark.parametrize("name", AGES)
def test_age_of_a_first_value(name: str) -> None:
    """Each row is how old a tag's first value is, and from when on it counts."""
    age_ns, counts_ns = AGES[name]
    known = Continuity(TAGS, 3)
    found = known.take(batch((0, 1.0, 0), (2, 7.0, -age_ns)), T0 - AHEAD, more=False)
    assert rows(found)[1] == (2, 7.0, counts_ns, GOOD)


# How far the first values of tags 0 and 1 are ahead of the server's clock, and that of the plant.
BEGINNINGS: dict[str, tuple[int, int, int]] = {
    "both of now": (0, 0, 0),
    "the newest tells": (-2 * SECOND, -SECOND, -SECOND),
    "both ahead": (AHEAD, AHEAD, AHEAD),
    "one of old": (-3600 * SECOND, -SECOND, -SECOND),
    "both of old: the newest again": (-3600 * SECOND, -60 * SECOND, -60 * SECOND),
    "the later of two halves": (40 * SECOND, 0, 40 * SECOND),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_clock_of_the_beginning(name: str) -> None:
    """Each row says what now is, for a tag that has not changed for a day."""
    first_ns, second_ns, now_ns = BEGINNINGS[name]
    known = Continuity(np.arange(3, dtype=np.int32), 3)
    first = batch((0, 1.0, first_ns), (1, 1.0, second_ns), (2, 7.0, -86_400 * SECOND))
    found = known.take(first, T0, more=False)
    assert rows(found)[2] == (2, 7.0, now_ns, GOOD)


@pytest.mark.parametrize(("fast_ns", "now_ns"), [(LEAP_NS, LEAP_NS), (LEAP_NS + 1, 0)])
def test_one_fast_clock_at_the_beginning(fast_ns: int, now_ns: int) -> None:
    """One tag of three is of a controller that is ahead: what is of old counts from now."""
    known = Continuity(np.arange(4, dtype=np.int32), 4)
    first = batch((0, 1.0, 0), (1, 1.0, -SECOND), (2, 1.0, fast_ns), (3, 7.0, -86_400 * SECOND))
    assert rows(known.take(first, T0, more=False))[3] == (3, 7.0, now_ns, GOOD)


def test_each_tag_by_its_own_clock() -> None:
    """A controller that is behind loses by its own clock, one that is far ahead by the plant's."""
    tags = np.arange(7, dtype=np.int32)
    known = Continuity(tags, 7)
    known.take(batch(*((tag, 1.0, 0) for tag in range(7))), T0, more=False)
    clocks = [0, 0, -30 * SECOND, -3 * SECOND, LEAP_NS + 1, LEAP_NS]
    spoken = batch(*((tag, 2.0, 60 * SECOND + by) for tag, by in enumerate(clocks)))
    known.take(spoken, T0 + 60 * SECOND, more=False)
    known.take(batch(), T0 + 80 * SECOND, more=False)
    by = (known.dated(tags, T0 + 80 * SECOND) - T0 - 80 * SECOND).tolist()
    assert by == [0, 0, -30 * SECOND, -3 * SECOND, 0, LEAP_NS, 0]
    starts = (known.lost(GapCause.SILENCE).source_ns - T0 - 80 * SECOND - 1).tolist()
    assert starts == by


HOUR = 3600 * SECOND
# How far the server's clock and those of tags 0 and 1 are set in an outage, and from when a tag
# counts that stood still for long, thirty seconds after the beginning.
SETS: dict[str, tuple[int, int, int, int]] = {
    "none": (0, 0, 0, 0),
    "all back": (-HOUR, -HOUR, -HOUR, -HOUR),
    "all ahead": (HOUR, HOUR, HOUR, HOUR),
    "the server alone back": (-HOUR, 0, 0, 0),
    "the server alone ahead": (HOUR, 0, 0, 0),
    "the server and half of the others back": (-HOUR, -HOUR, 0, 0),
    "the server and half of the others ahead": (HOUR, 0, HOUR, 0),
    "the server by what is no leap": (-LEAP_NS, 0, 0, -LEAP_NS),
    "the server by the least that is one": (-LEAP_NS - 1, 0, 0, 0),
    "the server ahead by what is no leap": (LEAP_NS, 0, 0, LEAP_NS),
    "the server ahead by the least that is one": (LEAP_NS + 1, 0, 0, 0),
}


@pytest.mark.parametrize("known_twice", [False, True], ids=["told once", "told twice"])
@pytest.mark.parametrize("name", SETS)
def test_clock_that_is_set(name: str, *, known_twice: bool) -> None:
    """Each row says whose clock was set, and from when a present value of old counts."""
    server_ns, first_ns, second_ns, counts_ns = SETS[name]
    known = Continuity(np.arange(3, dtype=np.int32), 3)
    old = (2, 7.0, -3 * HOUR)
    beginning = batch((0, 1.0, 0), (1, 1.0, 0), old)
    known.take(replace(beginning, arrived_s=0.0), T0 - SECOND, more=False)
    if known_twice:
        again = batch((0, 1.5, SECOND), (1, 1.5, SECOND))
        known.take(replace(again, arrived_s=1.0), T0, more=False)
    known.lost(GapCause.CONNECTION)
    known.begin()
    at = 30 * SECOND
    first = batch((0, 2.0, at + first_ns), (1, 2.0, at + second_ns), old)
    told = replace(first, arrived_s=30.0)
    found = known.take(told, T0 - SECOND + at + server_ns, more=False)
    assert rows(found)[2] == (2, 7.0, at + counts_ns, GOOD)


def test_a_clock_that_is_set_while_nothing_changes() -> None:
    """A keep-alive says that the server's clock was set; the tags' times go on as they were."""
    known = Continuity(TAGS, 3)
    for at_s in (0, 1):
        values = batch((0, 1.0, at_s * SECOND), (2, 1.0, at_s * SECOND))
        known.take(replace(values, arrived_s=float(at_s)), T0 + at_s * SECOND, more=False)
    known.take(replace(batch(), arrived_s=5.0), T0 + 5 * SECOND - HOUR, more=False)
    assert (known.lost(GapCause.SILENCE).source_ns - T0).tolist() == [5 * SECOND + 1] * 2


def test_who_speaks_first_after_a_clock_was_set() -> None:
    """One tag that shows its own clock was set too is believed; the others were but a guess."""
    tags = np.arange(3, dtype=np.int32)
    known = Continuity(tags, 3)
    for at_s in (0, 1):
        values = batch(*((tag, 1.0, at_s * SECOND) for tag in range(3)))
        known.take(replace(values, arrived_s=float(at_s)), T0 + at_s * SECOND, more=False)
    known.take(replace(batch(), arrived_s=5.0), T0 + 5 * SECOND - HOUR, more=False)
    assert (known.dated(tags, T0 - HOUR) - T0).tolist() == [0] * 3
    spoken = replace(batch((0, 2.0, 6 * SECOND - HOUR)), arrived_s=6.0)
    known.take(spoken, T0 + 6 * SECOND - HOUR, more=False)
    assert (known.dated(tags, T0 - HOUR) - T0).tolist() == [-HOUR] * 3


# How much older than the last one a value is, and whether the gap after it begins behind it.
LATE = {"a moment": (SECOND, False), "a minute": (SET_NS, False), "longer": (SET_NS + 1, True)}


@pytest.mark.parametrize("name", LATE)
def test_late_value(name: str) -> None:
    """Each row is how late a value is: up to a minute it changes nothing of what is known."""
    late_ns, set_back = LATE[name]
    known = live()
    at = 100 * SECOND
    known.take(batch((0, 3.0, at)), T0 + at - AHEAD, more=True)
    known.take(batch((0, 2.5, at - late_ns)), T0 + at - AHEAD, more=True)
    start_ns = at - late_ns if set_back else at
    assert rows(known.lost(GapCause.SILENCE))[0] == (0, None, start_ns + 1, GAP)


def test_what_is_late_sets_no_clock() -> None:
    """Messages that the server had kept say nothing of now, however old they are."""
    known = live()
    known.take(batch((0, 3.0, 4 * SECOND)), T0 + 4 * SECOND - AHEAD, more=True)
    kept = replace(batch((0, 2.5, -120 * SECOND)), historical=True, arrived_s=9.0)
    known.take(kept, T0 - 120 * SECOND - AHEAD, more=True)
    assert rows(known.lost(GapCause.SILENCE))[0] == (0, None, 4 * SECOND + 1, GAP)


def test_no_tags() -> None:
    """A source of which nobody wants anything has nothing to lose."""
    assert rows(Continuity(np.array([], np.int32), 0).lost(GapCause.SILENCE)) == []


def test_who_spoke_lately_has_a_say() -> None:
    """After a minute a tag that says nothing no longer tells what the plant's clock is."""
    tags = np.arange(3, dtype=np.int32)
    known = Continuity(tags, 3)
    known.take(batch((0, 1.0, 0), (1, 1.0, 0), (2, 1.0, 0)), T0, more=False)
    known.take(batch((0, 2.0, SECOND), (1, 2.0, SECOND)), T0 + SECOND, more=False)
    for at, plant_ns in ((61 * SECOND, 0), (61 * SECOND + 1, -30 * SECOND)):
        known.take(batch((0, 3.0, at - 30 * SECOND)), T0 + at, more=False)
        assert (known.dated(tags[2:], T0) - T0).tolist() == [plant_ns]


def test_a_tag_that_is_refused() -> None:
    """One tag that never speaks does not keep the others' clock from being known."""
    known = Continuity(TAGS, 3)
    known.take(batch((0, 1.0, 0)), T0, more=False)
    known.take(batch((0, 2.0, 4 * SECOND)), T0 + 2 * SECOND, more=False)
    assert (known.dated(TAGS, T0) - T0).tolist() == [2 * SECOND] * 2


def test_part_of_a_first_message() -> None:
    """Before the first whole answer a gap begins where the first part of it was sent."""
    known = Continuity(TAGS, 3)
    known.take(batch((0, 1.0, 0)), T0, more=True)
    assert (known.lost(GapCause.SILENCE).source_ns - T0).tolist() == [1, 1]


def test_nothing_known() -> None:
    """Before the first value there is no gap, since there was nothing to lose."""
    known = Continuity(TAGS, 3)
    assert rows(known.lost(GapCause.SILENCE)) == []
    known.begin()
    assert rows(known.take(batch(), T0, more=False)) == []
    assert rows(known.lost(GapCause.SILENCE)) == []
    assert known.overflows == 0


def test_plant_clock_of_each_message() -> None:
    """Each message says anew how far the plant's clock is ahead of the server's."""
    known = live()
    known.take(batch((0, 3.0, 4 * SECOND)), T0 + 3 * SECOND, more=False)
    known.take(batch(), T0 + 6 * SECOND, more=False)
    assert (known.lost(GapCause.SILENCE).source_ns - T0).tolist() == [7 * SECOND + 1] * 2


def test_an_older_message() -> None:
    """What was known stays known when a message comes that was sent before."""
    known = live()
    known.take(batch(), T0 + 5 * SECOND - AHEAD, more=False)
    known.take(batch((0, 3.0, 3 * SECOND)), T0 + 3 * SECOND - AHEAD, more=False)
    assert (known.lost(GapCause.SILENCE).source_ns - T0).tolist() == [5 * SECOND + 1] * 2


def test_gap_begins_after_the_last_sign_of_life() -> None:
    """A keep-alive moves the beginning, in the plant's time; each tag's own last value too."""
    known = live()
    known.take(batch(), T0 + 3 * SECOND - AHEAD, more=False)
    found = known.lost(GapCause.SILENCE)
    assert rows(found) == [(0, None, 3 * SECOND + 1, GAP), (2, None, 3 * SECOND + 1, GAP)]
    assert found.status.tolist() == [gap_status(GapCause.SILENCE)] * 2
    assert len(known.lost(GapCause.CONNECTION)) == 0


def test_part_of_a_message() -> None:
    """While the server has more to send, its clock does not say until when all is known."""
    known = live()
    known.take(batch((0, 3.0, 2 * SECOND)), T0 + 5 * SECOND - AHEAD, more=True)
    known.take(batch((0, 3.5, 5 * SECOND)), T0 + 5 * SECOND - AHEAD, more=True)
    starts = known.lost(GapCause.SILENCE).source_ns - T0
    assert starts.tolist() == [5 * SECOND + 1, SECOND + 1]


def test_begun_anew() -> None:
    """With a new subscription a gap ends with the first value that is newer; an old one is now."""
    known = live()
    known.lost(GapCause.CONNECTION)
    known.begin()
    first = batch((0, 9.0, 8 * SECOND), (2, 7.0, -3600 * SECOND))
    found = known.take(first, T0 + 8 * SECOND - AHEAD, more=False)
    assert rows(found) == [(0, 9.0, 8 * SECOND, GOOD), (2, 7.0, 8 * SECOND, GOOD)]
    # Tag 2 bears its old source time: nothing was written meanwhile.
    assert known.holes() == [Hole(0, T0 + SECOND, T0 + 8 * SECOND)]
    assert known.holes() == []


def test_all_stand_still() -> None:
    """Tags that all stood still are known again from when the server told so."""
    known = live()
    known.lost(GapCause.CONNECTION)
    known.begin()
    first = batch((0, 2.0, SECOND), (2, 7.0, -3600 * SECOND))
    found = known.take(first, T0 + 30 * SECOND - AHEAD, more=False)
    assert [row[2] for row in rows(found)] == [30 * SECOND] * 2
    assert known.holes() == []


def test_changed_meanwhile() -> None:
    """A tag that changed once in the outage is known from that change on."""
    known = live()
    known.lost(GapCause.CONNECTION)
    known.begin()
    found = known.take(
        batch((0, 9.0, 30 * SECOND), (2, 8.0, 20 * SECOND)), T0 + 30 * SECOND - AHEAD, more=False
    )
    assert rows(found)[1] == (2, 8.0, 20 * SECOND, GOOD)
    assert Hole(2, T0 + SECOND, T0 + 20 * SECOND) in known.holes()


# The gap begins at a second and a nanosecond; what is told first, of when, and what is said then.
ENDS: dict[str, tuple[int, int, int, int]] = {
    "written since": (8 * SECOND, 9 * SECOND, 8 * SECOND, 8 * SECOND),
    "written right after the gap began": (SECOND + 2, 9 * SECOND, SECOND + 2, SECOND + 2),
    "written as it began: known from now on": (SECOND + 1, 9 * SECOND, 9 * SECOND, 9 * SECOND),
    "written before, and told when the server's clock was behind": (
        *(SECOND // 2, SECOND // 4, SECOND + 2, SECOND + 2),
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_end_of_a_gap(name: str) -> None:
    """Each row is a first value after an outage, and where gap and hole end."""
    source_ns, sent_ns, counts_ns, hole_ns = ENDS[name]
    known = live()
    known.lost(GapCause.CONNECTION)
    known.begin()
    found = known.take(batch((0, 9.0, source_ns)), T0 + sent_ns - AHEAD, more=False)
    assert rows(found) == [(0, 9.0, counts_ns, GOOD)]
    assert known.holes() == [Hole(0, T0 + SECOND, T0 + hole_ns)]
    assert (known.lost(GapCause.SILENCE).source_ns > T0 + counts_ns).tolist() == [True]


def test_only_the_first_value_is_the_present_one() -> None:
    """Of a tag that has been told, the next value counts from when it was written."""
    known = live()
    known.lost(GapCause.CONNECTION)
    known.begin()
    first = batch((0, 9.0, 8 * SECOND), (0, 8.0, 4 * SECOND))
    found = known.take(first, T0 + 8 * SECOND - AHEAD, more=False)
    assert rows(found) == [(0, 9.0, 8 * SECOND, GOOD), (0, 8.0, 4 * SECOND, GOOD)]
    assert len(known.holes()) == 1


def test_what_else_a_batch_says() -> None:
    """When it came, and that it fills a gap, stay said; a server that drops values too."""
    first = replace(batch((0, 1.0, 0)), arrived_s=1.5, historical=True)
    known = Continuity(TAGS, 3)
    stamped = known.take(first, T0 - AHEAD, more=False)
    assert (stamped.arrived_s, stamped.historical) == (1.5, True)
    later = replace(batch((0, 1.0, SECOND), status=OVERFLOW), arrived_s=2.5, historical=True)
    overflown = known.take(later, T0 + SECOND - AHEAD, more=False)
    assert len(overflown) == 2
    assert (overflown.arrived_s, overflown.historical) == (2.5, True)


def test_holes_are_bounded() -> None:
    """However many tags an outage takes, no more than so many holes wait to be read."""
    tags = np.arange(HOLES_MAX + 1, dtype=np.int32)
    known = Continuity(tags, len(tags))
    for at_s in (0, 10, 20):
        now = SampleBatch(
            tags,
            np.full(len(tags), float(at_s)),
            np.full(len(tags), T0 + at_s * SECOND),
            np.zeros(len(tags), np.uint32),
        )
        known.take(now, T0 + at_s * SECOND, more=False)
        assert len(known.holes()) == (HOLES_MAX if at_s else 0)
        known.lost(GapCause.CONNECTION)
        known.begin()


def test_mended_what_never_spoke() -> None:
    """A tag of which nothing was ever known has no value to go on with, and no gap is left."""
    known = Continuity(np.array([0, 1, 2], np.int32), 3)
    known.take(batch((0, 1.0, 0), (2, 7.0, 0), status=UNCERTAIN), T0 - AHEAD, more=False)
    known.take(batch((2, 8.0, SECOND), status=OVERFLOW), T0 + SECOND - AHEAD, more=False)
    assert len(known.lost(GapCause.SILENCE)) == 3
    assert rows(known.mended()) == [
        (0, 1.0, SECOND + 2, int(CellQuality.UNCERTAIN)),
        (2, 8.0, SECOND + 2, GOOD),
    ]
    assert len(known.lost(GapCause.SILENCE)) == 3


def test_mended() -> None:
    """When the server had kept everything, what was true stays true and no gap is left."""
    known = live()
    lost = known.lost(GapCause.SILENCE)
    healed = known.mended()
    assert healed.historical
    assert rows(healed) == [(0, 2.0, SECOND + 2, GOOD), (2, 7.0, SECOND + 2, GOOD)]
    assert np.all(healed.source_ns == lost.source_ns + 1)
    assert len(known.mended()) == 0
    assert len(known.lost(GapCause.SILENCE)) == 2


def test_overflow() -> None:
    """A value with the overflow bit has a gap before it, from the value before to itself."""
    known = live()
    found = known.take(
        batch((0, 5.0, 4 * SECOND), status=OVERFLOW), T0 + 4 * SECOND - AHEAD, more=False
    )
    assert rows(found) == [(0, None, SECOND + 1, GAP), (0, 5.0, 4 * SECOND, GOOD)]
    assert found.status[0] == gap_status(GapCause.OVERFLOW)
    assert known.overflows == 1
    assert known.holes() == [Hole(0, T0 + SECOND, T0 + 4 * SECOND)]


UNCERTAIN = 0x4000_0000


@dataclass(frozen=True)
class Overflow:
    """A value of tag 0, whose last one was at one second, and the gap that it shows."""

    status: int
    source_ns: int = 4 * SECOND
    gap: bool = False
    overflows: int = 1


OVERFLOWS = {
    "both bits": Overflow(OVERFLOW, gap=True),
    "both bits, of an uncertain value": Overflow(UNCERTAIN | OVERFLOW, gap=True),
    "one bit: of another meaning": Overflow(0x400, overflows=0),
    "the other bit": Overflow(0x80, overflows=0),
    "no time between": Overflow(OVERFLOW, SECOND + 1),
    "a nanosecond between": Overflow(OVERFLOW, SECOND + 2, gap=True),
    "before the last one": Overflow(OVERFLOW, SECOND // 2),
    "a minute before the last one": Overflow(OVERFLOW, SECOND + 1 - SET_NS),
    "longer before it: the clock was set back": Overflow(OVERFLOW, -SET_NS, gap=True),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_overflows(name: str) -> None:
    """Each row is a status and a time, and whether a gap is shown and counted."""
    case = OVERFLOWS[name]
    known = live()
    message = batch((0, 5.0, case.source_ns), status=case.status)
    found = known.take(message, T0 + case.source_ns - AHEAD, more=False)
    quality = case.status >> 30
    start_ns = min(SECOND + 1, case.source_ns - 1)
    gaps = [(0, None, start_ns, GAP)] if case.gap else []
    assert rows(found) == [*gaps, (0, 5.0, case.source_ns, quality)]
    assert known.overflows == case.overflows
    assert len(known.holes()) == len(gaps)


def test_overflow_of_the_first_value() -> None:
    """Before the first value nothing was lost that anybody had; it is counted all the same."""
    known = Continuity(TAGS, 3)
    message = batch((0, 5.0, 0), (2, 5.0, 0), status=OVERFLOW)
    assert len(known.take(message, T0, more=False)) == 2
    assert (known.overflows, known.holes()) == (2, [])


def test_overflow_within_a_message() -> None:
    """The value before is looked for in the same message first; only that tag has a gap."""
    known = live()
    message = batch((0, 5.0, 2 * SECOND), (2, 1.0, 3 * SECOND), (0, 6.0, 4 * SECOND))
    status = np.array([0, 0, OVERFLOW], np.uint32)
    message = SampleBatch(message.tags, message.values, message.source_ns, status)
    found = known.take(message, T0 + 4 * SECOND - AHEAD, more=False)
    assert rows(found)[0] == (0, None, 2 * SECOND + 1, GAP)
    assert len(found) == 4


def test_full_queue() -> None:
    """As many values of a tag as its queue holds: those before are lost, told or not."""
    first = batch((0, 3.0, 2 * SECOND), (2, 1.0, 3 * SECOND), (0, 4.0, 3 * SECOND))
    assert doubted(first, 3).status.tolist() == [0, 0, 0]
    found = live().take(doubted(first, 2), T0 + 4 * SECOND - AHEAD, more=False)
    assert rows(found)[0] == (0, None, SECOND + 1, GAP)
    assert [row[3] for row in rows(found)[1:]] == [GOOD] * 3


QUEUES: dict[str, tuple[tuple[int, ...], int, tuple[int, ...]]] = {
    "fewer than it holds": ((0, 0), 3, ()),
    "as many as it holds": ((0, 0), 2, (0,)),
    "more than it holds": ((0, 0, 0), 2, (0,)),
    "as many, of two tags": ((0, 2, 2), 3, ()),
    "as many of the second": ((0, 2, 2), 2, (1,)),
    "as many of both": ((2, 0, 2, 0), 2, (0, 1)),
}


@pytest.mark.parametrize("name", QUEUES)
def test_doubted(name: str) -> None:
    """Each row is of which tags values came, what a queue holds, and which of them is marked."""
    tags, queue, marked = QUEUES[name]
    first = batch(*((tag, 1.0, 0) for tag in tags), status=UNCERTAIN)
    found = doubted(first, queue)
    expected = [UNCERTAIN | (OVERFLOW if row in marked else 0) for row in range(len(tags))]
    assert found.status.tolist() == expected
    assert rows(found)[0][:3] == (tags[0], 1.0, 0)
    assert first.status.tolist() == [UNCERTAIN] * len(tags)


def test_an_outage_within_an_outage() -> None:
    """A second loss before any value goes on with the first gap."""
    known = live()
    first = known.lost(GapCause.CONNECTION)
    known.begin()
    assert len(known.lost(GapCause.SILENCE)) == 0
    known.begin()
    known.take(batch((0, 9.0, 8 * SECOND)), T0 + 8 * SECOND - AHEAD, more=False)
    assert known.holes() == [Hole(0, int(first.source_ns[0]) - 1, T0 + 8 * SECOND)]
