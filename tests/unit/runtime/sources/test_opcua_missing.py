"""What is to be read from a server's history, and which of it one request can ask for."""

import pytest

from edge_runtime.clock import SECOND_NS
from edge_runtime.sources.opcua_continuity import HOLES_MAX, Hole
from edge_runtime.sources.opcua_missing import ALIKE_NS, MissingValues

HOUR = 3600 * SECOND_NS
# What is missing, from when to when; and how many of them, in order of time, one request asks for.
GROUPS: dict[str, tuple[list[tuple[int, int]], list[int]]] = {
    "nothing": ([], []),
    "one": ([(0, 5)], [1]),
    "the same time": ([(0, HOUR)] * 3, [3]),
    "about the same time": ([(5, HOUR), (0, HOUR - 5), (9, HOUR + 7)], [3]),
    "one after the other": ([(0, HOUR), (3 * HOUR, 4 * HOUR)], [1, 1]),
    "short ones that lie near": ([(0, 5), (ALIKE_NS, ALIKE_NS + 10)], [2]),
    "short ones that do not": ([(0, 5), (ALIKE_NS, ALIKE_NS + 11)], [1, 1]),
    "a short one within a long one": ([(0, HOUR), (HOUR - 5, HOUR)], [1, 1]),
    "a long one around a short one": ([(0, 5), (0, HOUR)], [1, 1]),
    "half as long": ([(0, 2 * HOUR), (HOUR, 2 * HOUR)], [2]),
    "each near the one before": ([(at * HOUR, (at + 1) * HOUR) for at in range(4)], [2, 2]),
    "the end of an earlier one counts": (
        [(0, 2 * HOUR), (HOUR // 2, 3 * HOUR // 2), (HOUR, 2 * HOUR + ALIKE_NS + 1)],
        [2, 1],
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_alike(name: str) -> None:
    """Each row is what is missing, and how many of it are asked for at once."""
    times, sizes = GROUPS[name]
    missing = MissingValues()
    missing.add(Hole(tag, start, end) for tag, (start, end) in enumerate(times))
    groups = missing.alike()
    assert [len(group) for group in groups] == sizes
    found = sorted((each.tag, each.start_ns, each.end_ns) for group in groups for each in group)
    assert found == [(tag, *time) for tag, time in enumerate(times)]


def test_what_is_left() -> None:
    """What was read goes, and what no history is kept of."""
    missing = MissingValues()
    missing.add(Hole(tag, 0, HOUR) for tag in range(4))
    missing.keep({0, 1, 2, 9})
    [group] = missing.alike()
    missing.drop(each for each in group if each.tag == 1)
    assert [each.tag for [*group] in missing.alike() for each in group] == [0, 2]


def test_bounded() -> None:
    """Of more than can be kept, what was lost first goes."""
    missing = MissingValues()
    missing.add(Hole(tag, tag, tag + 1) for tag in range(HOLES_MAX))
    missing.add([Hole(HOLES_MAX, HOUR, 2 * HOUR)])
    assert len(missing) == HOLES_MAX
    tags = {each.tag for group in missing.alike() for each in group}
    assert tags == set(range(1, HOLES_MAX + 1))
