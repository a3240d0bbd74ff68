"""What is known of a tag and until when: gaps exactly, nothing twice, nothing that is not so."""

import numpy as np

from edge_core.features.samples import CellQuality
from edge_runtime.sources.opcua_continuity import OVERFLOW, Continuity, Hole, doubted
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
    """Tag, value, source time after T0, quality."""
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


def test_nothing_known() -> None:
    """Before the first value there is no gap, since there was nothing to lose."""
    assert len(Continuity(TAGS, 3).lost(GapCause.SILENCE)) == 0


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


def test_an_outage_within_an_outage() -> None:
    """A second loss before any value goes on with the first gap."""
    known = live()
    first = known.lost(GapCause.CONNECTION)
    known.begin()
    assert len(known.lost(GapCause.SILENCE)) == 0
    known.begin()
    known.take(batch((0, 9.0, 8 * SECOND)), T0 + 8 * SECOND - AHEAD, more=False)
    assert known.holes() == [Hole(0, int(first.source_ns[0]) - 1, T0 + 8 * SECOND)]
