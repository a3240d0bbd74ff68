"""Gaps that sources record: each opens once, ends with a value of now, and is remembered."""

from dataclasses import dataclass

import numpy as np
import pytest

from edge_core.features.samples import CellQuality, Samples
from edge_runtime.clock import OFF_TIME_NS, SECOND_NS
from edge_runtime.gaps import GAPS_MAX, WORDS, Gap, GapLog
from edge_runtime.sources.sample import GapCause, gap_status

DAY = 86_400 * SECOND_NS
ROLES = ("flow", "pressure")
FLOW, PRESSURE = range(2)
GOOD, BAD, GAP, UNIT = CellQuality.GOOD, CellQuality.BAD, CellQuality.GAP, CellQuality.UNIT


@dataclass(frozen=True)
class Said:
    """One sample: of which tag, when, how good it is, and whether its time is of now."""

    tag: int
    at_ns: int
    quality: CellQuality = GOOD
    cause: GapCause = GapCause.UNTOLD
    off: bool = False
    live: bool = True


def lost(tag: int, at_ns: int, cause: GapCause = GapCause.CONNECTION) -> Said:
    """From then on nothing is known of the tag."""
    return Said(tag, at_ns, GAP, cause)


def take(log: GapLog, *said: Said) -> None:
    """All of them at once."""
    log.take(
        Samples(
            np.array([each.tag for each in said], np.int32),
            np.zeros(len(said), np.float32),
            np.array([each.quality for each in said], np.uint8),
            np.array([each.at_ns for each in said], np.int64),
        ),
        np.array([gap_status(each.cause) for each in said], np.uint32),
        np.array([each.off for each in said], np.bool_),
        live=all(each.live for each in said),
    )


CONNECTION, SILENCE = GapCause.CONNECTION, GapCause.SILENCE
STORIES: dict[str, tuple[list[list[Said]], list[Gap]]] = {
    "values alone": ([[Said(FLOW, 1)], [Said(FLOW, 2, BAD)]], []),
    "a gap is open": ([[Said(FLOW, 1)], [lost(FLOW, 5)]], [Gap("flow", 5, CONNECTION)]),
    "the next value ends it": (
        [[lost(FLOW, 5)], [Said(FLOW, 9)], [Said(FLOW, 12)]],
        [Gap("flow", 5, CONNECTION, 9)],
    ),
    "a bad value ends it too": (
        [[lost(FLOW, 5)], [Said(FLOW, 9, BAD)]],
        [Gap("flow", 5, CONNECTION, 9)],
    ),
    "all in one batch": (
        [[Said(FLOW, 4), lost(FLOW, 5), Said(FLOW, 9), lost(FLOW, 20, SILENCE)]],
        [Gap("flow", 5, CONNECTION, 9), Gap("flow", 20, SILENCE)],
    ),
    "a value of the other tag ends nothing": (
        [[lost(PRESSURE, 5)], [Said(FLOW, 9)]],
        [Gap("pressure", 5, CONNECTION)],
    ),
    "a value of the same instant ends nothing": (
        [[lost(FLOW, 5)], [Said(FLOW, 5)]],
        [Gap("flow", 5, CONNECTION)],
    ),
    "one of before ends nothing": (
        [[lost(FLOW, 5)], [Said(FLOW, 3)]],
        [Gap("flow", 5, CONNECTION)],
    ),
    "a value that is not of now ends nothing": (
        [[lost(FLOW, 5)], [Said(FLOW, 9, off=True)], [Said(FLOW, 11)]],
        [Gap("flow", 5, CONNECTION, 11)],
    ),
    "a gap that is not of now is none": (
        [[Said(FLOW, 5, GAP, CONNECTION, off=True)], [Said(FLOW, 9)]],
        [],
    ),
    "lost again: the first cause and the first time stay": (
        [[lost(FLOW, 5)], [lost(FLOW, 8, SILENCE)], [Said(FLOW, 9)]],
        [Gap("flow", 5, CONNECTION, 9)],
    ),
    "one of long before ends it: the clock was set back": (
        [[lost(FLOW, DAY)], [Said(FLOW, DAY - OFF_TIME_NS - 1)]],
        [Gap("flow", DAY, CONNECTION, DAY)],
    ),
    "one of a minute before may be late": (
        [[lost(FLOW, DAY)], [Said(FLOW, DAY - OFF_TIME_NS)]],
        [Gap("flow", DAY, CONNECTION)],
    ),
    "one of long before that is history ends nothing": (
        [[lost(FLOW, DAY)], [Said(FLOW, 5, live=False)]],
        [Gap("flow", DAY, CONNECTION)],
    ),
    "history of after its beginning ends it": (
        [[lost(FLOW, 5)], [Said(FLOW, 9, live=False)]],
        [Gap("flow", 5, CONNECTION, 9)],
    ),
    "a unit that changed is a gap": (
        [[Said(FLOW, 5, UNIT, GapCause.UNIT)], [Said(FLOW, 9)]],
        [Gap("flow", 5, GapCause.UNIT, 9)],
    ),
    "each tag has its own, in the order of time and then of role": (
        [
            [lost(PRESSURE, 5), lost(FLOW, 5), Said(PRESSURE, 6)],
            [lost(PRESSURE, 2, SILENCE)],
        ],
        [
            Gap("pressure", 2, SILENCE),
            Gap("flow", 5, CONNECTION),
            Gap("pressure", 5, CONNECTION, 6),
        ],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """Each row is what sources said, batch by batch, and which gaps that makes."""
    batches, expected = STORIES[name]
    log = GapLog(ROLES)
    for said in batches:
        take(log, *said)
    assert list(log.recent) == expected


def test_cause_that_nobody_knows() -> None:
    """Bits that no cause has, as of another release, are a gap of no told cause."""
    log = GapLog(ROLES)
    samples = Samples(
        np.array([FLOW], np.int32),
        np.zeros(1, np.float32),
        np.array([GAP], np.uint8),
        np.array([5], np.int64),
    )
    log.take(
        samples, np.array([gap_status() | 0xFFFF], np.uint32), np.zeros(1, np.bool_), live=True
    )
    [found] = log.recent
    assert (found.cause, found.words) == (GapCause.UNTOLD, WORDS[GapCause.UNTOLD])


ENDED, OPEN = Gap("flow", 5, CONNECTION, 9), Gap("flow", 5, CONNECTION)
TOUCHES: dict[str, tuple[Gap, int, int, bool]] = {
    "before it": (ENDED, 0, 4, False),
    "up to its first instant": (ENDED, 0, 5, True),
    "within": (ENDED, 6, 7, True),
    "around it": (ENDED, 0, 20, True),
    "from its last instant": (ENDED, 9, 20, True),
    "after it": (ENDED, 10, 20, False),
    "before one that is open": (OPEN, 0, 4, False),
    "long after one that is open began": (OPEN, 100, 200, True),
}


@pytest.mark.parametrize("name", TOUCHES)
def test_touches(name: str) -> None:
    """Each row is a gap, two instants, and whether any of the gap lies between them."""
    gap, start_ns, end_ns, touches = TOUCHES[name]
    assert gap.touches(start_ns, end_ns) is touches
    log = GapLog(ROLES)
    assert log.touching(start_ns, end_ns) == ()
    take(log, lost(FLOW, 5))
    if gap is ENDED:
        take(log, Said(FLOW, 9))
    assert log.touching(start_ns, end_ns) == ((gap,) if touches else ())


def test_bounded() -> None:
    """Of more gaps than are kept the first ones go."""
    log = GapLog(ROLES)
    for number in range(GAPS_MAX + 1):
        take(log, lost(FLOW, 10 * number), Said(FLOW, 10 * number + 5))
    assert len(log.recent) == GAPS_MAX
    assert log.recent[0].start_ns == 10
