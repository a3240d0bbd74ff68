"""When a node is asked to announce itself anew: soon, ever more rarely, and never in a storm."""

from dataclasses import dataclass
from itertools import pairwise

import pytest

from edge_runtime.sources.sparkplug_rebirth import PATIENCE_MAX, Rebirths, Why

INTERVAL_S = 5.0
Asking = Rebirths[str]


@dataclass(frozen=True)
class Want:
    """Messages say that these nodes are to announce themselves."""

    at_s: float
    nodes: str
    why: Why = Why.LOST


@dataclass(frozen=True)
class Due:
    """Whom to ask then, and how long nobody is due after that."""

    at_s: float
    nodes: str
    pause_s: float | None = None


@dataclass(frozen=True)
class Born:
    """They have announced themselves."""

    nodes: str


class Forget:
    """The connection is gone."""


NEW = Why.UNKNOWN
Steps = list[Want | Due | Born | Forget]
STORIES: dict[str, Steps] = {
    "nobody is wanted": [Due(0, "")],
    "one is wanted: at once": [Want(100, "a"), Due(100, "a", 5)],
    "silent, it is asked again an interval later": [
        *(Want(0, "a"), Due(0, "a", 5), Due(4, "", 1), Due(5, "a", 10)),
        *(Due(14, "", 1), Due(15, "a", 20)),
    ],
    "who comes late asks for what is due, once": [Want(0, "a"), Due(0, "a", 5), Due(99, "a", 10)],
    "wanted again while it is asked: nothing changes": [
        *(Want(0, "a"), Due(0, "a", 5), Want(3, "a"), Due(4, "", 1), Due(5, "a", 10)),
        *(Want(6, "a"), Due(14, "", 1), Due(15, "a", 20)),
    ],
    "born: it is not asked again": [Want(0, "a"), Due(0, "a", 5), Born("a"), Due(9, "")],
    "born and lost again at once: an interval after it was asked": [
        *(Want(0, "a"), Due(0, "a", 5), Born("a"), Want(2, "a")),
        *(Due(2, "", 3), Due(4, "", 1), Due(5, "a", 5)),
    ],
    "born and lost again much later: at once, and as patient as at first": [
        *(Want(0, "a"), Due(0, "a", 5), Due(5, "a", 10), Born("a")),
        *(Want(90, "a"), Due(90, "a", 5)),
    ],
    "born without what it sends: as if it had not answered": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Born("a"), Want(1, "a", NEW), Due(1, "", 4)),
        *(Due(5, "a", 10), Born("a"), Want(6, "a", NEW), Due(6, "", 9), Due(15, "a", 20)),
    ],
    "born without what it sends, and lost: asked at once, and then as patient as it was": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Born("a"), Want(5, "a", NEW), Due(5, "a", 10)),
        *(Born("a"), Want(11, "a"), Due(11, "a", 5), Born("a"), Want(12, "a", NEW)),
        *(Due(12, "", 4), Due(15, "", 1), Due(16, "a", 20)),
    ],
    "wanted for both: asked once": [
        *(Want(0, "a"), Want(0, "a", NEW), Due(0, "a", 5), Due(5, "a", 10)),
    ],
    "lost while it is asked for what it left out: never twice an interval": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Due(5, "a", 10), Want(11, "a"), Due(11, "a", 4)),
        *(Want(15, "b"), Due(15, "b", 1), Due(16, "a", 4), Due(20, "b", 6), Due(26, "a", 4)),
    ],
    "left out again as late as anybody is patient: no less patient": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Born("a"), Want(325, "a", NEW), Due(325, "a", 10)),
    ],
    "left out again a second later: as patient as at first": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Born("a"), Want(326, "a", NEW), Due(326, "a", 5)),
    ],
    "something new much later: at once, and as patient as at first": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Born("a"), Want(900, "a", NEW), Due(900, "a", 5)),
    ],
    "the connection comes and goes: no less patient with what it leaves out": [
        *(Want(0, "a", NEW), Due(0, "a", 5), Due(5, "a", 10), Forget(), Want(6, "a", NEW)),
        *(Due(6, "", 9), Due(15, "a", 20)),
    ],
    "wanted and not asked yet: it waits until somebody looks": [
        *(Want(0, "a"), Due(7, "a", 5)),
    ],
    "one that nobody waits for is born": [Born("a"), Due(0, "")],
    "the connection is gone: nobody is asked": [Want(0, "a"), Forget(), Due(9, "")],
    "it is back: who was asked just now is not asked again yet": [
        *(Want(0, "ab"), Due(0, "ab", 5), Forget(), Want(3, "abc")),
        *(Due(3, "c", 2), Due(5, "ab", 3), Due(8, "c", 2)),
    ],
    "each node in its own time": [
        *(Want(0, "a"), Due(0, "a", 5), Want(2, "b"), Due(2, "b", 3)),
        *(Due(5, "a", 2), Due(7, "b", 8), Born("a"), Due(8, "", 9)),
    ],
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """Each row is what happens, and who is asked when."""
    asking = Asking(INTERVAL_S)
    for step in STORIES[name]:
        match step:
            case Want():
                asking.want(step.nodes, step.at_s, step.why)
            case Due():
                assert asking.due(step.at_s) == list(step.nodes)
                assert asking.pause_s(step.at_s) == step.pause_s
            case Born():
                for node in step.nodes:
                    asking.born(node)
            case Forget():
                asking.forget()


def test_who_is_late_is_due_now() -> None:
    """What was due before is due now; nobody waits for less than nothing."""
    asking = Asking(INTERVAL_S)
    asking.want(["a"], 0.0)
    assert asking.pause_s(3.0) == 0.0


def test_patience_has_an_end() -> None:
    """A node that never answers is asked twice as rarely each time, and never given up."""
    asking, now_s = Asking(INTERVAL_S), 0.0
    asking.want(["a"], now_s)
    pauses = []
    for _ in range(10):
        assert asking.due(now_s) == ["a"]
        pause_s = asking.pause_s(now_s)
        assert pause_s is not None
        pauses.append(pause_s / INTERVAL_S)
        now_s += pause_s
    assert pauses == [1, 2, 4, 8, 16, 32, PATIENCE_MAX, PATIENCE_MAX, PATIENCE_MAX, PATIENCE_MAX]


def test_rebirth_requests() -> None:
    """Asked at most once an interval, whatever each message says meanwhile."""
    asking = Asking(INTERVAL_S)
    times = []
    for second in range(1000):
        if second % 7 == 0:
            asking.want(["n"], float(second))  # each message says so again
        times += [second] * len(asking.due(float(second)))
    assert times[:5] == [0, 5, 15, 35, 75]
    assert all(later - earlier >= INTERVAL_S for earlier, later in pairwise(times))


def test_never_content() -> None:
    """A node that leaves something out of every announcement is asked ever more rarely."""
    asking, asked = Asking(INTERVAL_S), []
    for second in range(1000):
        asking.want(["n"], float(second), NEW)
        if asking.due(float(second)):
            asked.append(second)
            asking.born("n")
    assert asked == [0, 5, 15, 35, 75, 155, 315, 635, 955]


def test_rebirth_storm() -> None:
    """However often a connection comes and goes, a node is asked once an interval."""
    asking = Asking(INTERVAL_S)
    asked = []
    for tenth in range(300):
        asking.forget()
        asking.want(["n"], tenth / 10)
        asked += asking.due(tenth / 10)
    assert len(asked) == 6
