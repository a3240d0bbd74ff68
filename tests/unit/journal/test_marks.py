"""Repeats are recognised; what was never stored is never taken for a repeat."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.journal.marks import (
    EPOCHS_MAX,
    INTERVALS_MAX,
    RECENT_MAX,
    SNAPSHOT_INTERVALS_MAX,
    SNAPSHOT_SOURCES,
    SOURCES_MAX,
    FirstCopy,
    Marks,
    Sighting,
)


@dataclass(frozen=True, slots=True)
class Case:
    """Sequences stored in epoch 1 with CRC 7, and what one more turns out to be."""

    stored: tuple[int, ...]
    asked: tuple[str, int, int, int]
    expected: Sighting


CASES = {
    "never heard of the source": Case((), ("gw", 1, 1, 7), Sighting.FRESH),
    "the next number": Case((1, 2), ("gw", 1, 3, 7), Sighting.FRESH),
    "a repeat": Case((1, 2), ("gw", 1, 2, 7), Sighting.DUPLICATE),
    "a gap that is filled late": Case((1, 3), ("gw", 1, 2, 7), Sighting.FRESH),
    "a repeat above a gap": Case((1, 3), ("gw", 1, 3, 7), Sighting.DUPLICATE),
    "another body under a used number": Case((1, 2), ("gw", 1, 2, 8), Sighting.CONFLICT),
    "the same number in a new life": Case((1, 2), ("gw", 2, 1, 7), Sighting.FRESH),
    "the same number of another source": Case((1, 2), ("gx", 1, 1, 7), Sighting.FRESH),
    "no number was declared": Case((0, 0), ("gw", 1, 0, 7), Sighting.FRESH),
}


@pytest.mark.parametrize("name", CASES)
def test_seen(name: str) -> None:
    """Each identity turns out to be what the table says."""
    case = CASES[name]
    marks = Marks()
    for seq, sequence in enumerate(case.stored, start=100):
        marks.add("gw", 1, sequence, FirstCopy(seq, 7))
    assert marks.seen(*case.asked) is case.expected


identities = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.integers(min_value=1, max_value=EPOCHS_MAX + 2),
    st.integers(min_value=1, max_value=30),
)


@settings(deadline=None)  # other tests share the machine
@given(st.lists(identities, max_size=120), identities)
def test_never_invents(stored: list[tuple[str, int, int]], asked: tuple[str, int, int]) -> None:
    """Whatever was forgotten, only what was stored counts as a repeat."""
    marks = Marks()
    for identity in stored:
        marks.add(*identity, FirstCopy(1, 7))
    if asked not in stored:
        assert marks.seen(*asked, 7) is Sighting.FRESH


@settings(deadline=None)  # other tests share the machine
@given(st.lists(identities, max_size=120))
def test_snapshot(stored: list[tuple[str, int, int]]) -> None:
    """Marks restored from their snapshot recognise the same repeats."""
    marks, again = Marks(), Marks()
    for identity in stored:
        marks.add(*identity, FirstCopy(1, 7))
    for part in marks.snapshot():
        again.restore(part)
    for identity in stored:
        assert again.seen(*identity, 7) is marks.seen(*identity, 7)


def test_snapshot_of_many() -> None:
    """A snapshot of many sources comes in parts that know how many they are."""
    marks, again = Marks(), Marks()
    for number in range(SNAPSHOT_SOURCES + 1):
        marks.add(f"gw-{number}", 1, 1, FirstCopy(1, 7))
    parts = marks.snapshot()
    assert [again.restore(part) for part in parts] == [(0, 2), (1, 2)]
    assert set(again) == set(marks)


def test_snapshot_of_nothing() -> None:
    """Even no marks at all make a part, so that an empty snapshot is told from a lost one."""
    assert [Marks().restore(part) for part in Marks().snapshot()] == [(0, 1)]


def test_snapshot_of_gaps() -> None:
    """A source full of gaps cannot blow a snapshot up: its oldest ranges are left out."""
    marks, again = Marks(), Marks()
    for sequence in range(1, 2 * INTERVALS_MAX, 2):
        marks.add("gw", 1, sequence, FirstCopy(1, 7))
    [part] = marks.snapshot()
    again.restore(part)
    assert len(part) < 20 * SNAPSHOT_INTERVALS_MAX
    assert again.seen("gw", 1, 1, 7) is Sighting.FRESH
    assert again.seen("gw", 1, 2 * INTERVALS_MAX - 1, 7) is Sighting.DUPLICATE


def test_bad_snapshot() -> None:
    """Bytes that are no snapshot are refused as a value error."""
    with pytest.raises(ValueError, match="Expected"):
        Marks().restore(b"\x01")


def test_old_crc() -> None:
    """Far back only the fact is remembered: the number is a repeat, its CRC is not asked."""
    marks = Marks()
    for sequence in range(1, RECENT_MAX + 2):
        marks.add("gw", 1, sequence, FirstCopy(sequence, 7))
    assert marks.seen("gw", 1, 1, 8) is Sighting.DUPLICATE
    assert marks.seen("gw", 1, 2, 8) is Sighting.CONFLICT
    assert marks.first_copy("gw", 1, 1) is None
    assert marks.first_copy("gw", 1, 2) == FirstCopy(2, 7)


def test_nothing_is_known_of_a_stranger() -> None:
    """A source that was never heard, and an epoch that never was, have stored nothing."""
    marks = Marks()
    marks.add("gw", 1, 1, FirstCopy(1, 7))
    for source, epoch in (("gx", 1), ("gw", 2)):
        assert marks.first_copy(source, epoch, 1) is None
        assert marks.contiguous(source, epoch) == 0


def test_as_many_gaps_as_may_be() -> None:
    """So many ranges are remembered of one epoch; one more, and the lowest is forgotten."""
    marks = Marks()
    for sequence in range(1, 2 * INTERVALS_MAX, 2):
        marks.add("gw", 1, sequence, FirstCopy(1, 7))
    assert marks.seen("gw", 1, 1, 7) is Sighting.DUPLICATE
    for sequence in (2 * INTERVALS_MAX + 1, 2 * INTERVALS_MAX + 3):
        marks.add("gw", 1, sequence, FirstCopy(1, 7))
    assert marks.seen("gw", 1, 3, 7) is Sighting.FRESH
    assert marks.seen("gw", 1, 5, 7) is Sighting.DUPLICATE


def test_as_many_epochs_as_may_be() -> None:
    """So many lives of one source are remembered; one more, and the oldest is forgotten."""
    marks = Marks()
    for epoch in range(1, EPOCHS_MAX + 1):
        marks.add("gw", epoch, 1, FirstCopy(1, 7))
    assert marks.seen("gw", 1, 1, 7) is Sighting.DUPLICATE
    marks.add("gw", EPOCHS_MAX + 1, 1, FirstCopy(1, 7))
    assert marks.seen("gw", 1, 1, 7) is Sighting.FRESH
    assert marks.seen("gw", 2, 1, 7) is Sighting.DUPLICATE


def test_as_many_sources_as_may_be() -> None:
    """So many sources are remembered; one more, and the longest silent one is forgotten."""
    marks = Marks()
    for number in range(SOURCES_MAX):
        marks.add(f"gw-{number}", 1, 1, FirstCopy(1, 7))
    marks.add("gw-0", 1, 2, FirstCopy(1, 7))
    assert len(list(marks)) == SOURCES_MAX
    marks.add("one more", 1, 1, FirstCopy(1, 7))
    assert marks.seen("gw-0", 1, 1, 7) is Sighting.DUPLICATE
    assert marks.seen("gw-1", 1, 1, 7) is Sighting.FRESH
    assert marks.seen("gw-2", 1, 1, 7) is Sighting.DUPLICATE


def test_contiguous() -> None:
    """The mark stands before the first gap."""
    marks = Marks()
    for sequence in (1, 2, 4):
        marks.add("gw", 1, sequence, FirstCopy(sequence, 7))
    assert (marks.contiguous("gw", 1), marks.contiguous("gw", 2)) == (2, 0)
