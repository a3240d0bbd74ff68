"""History read back: every page, no value twice, nothing forgotten by a server or a cut."""

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_continuity import Hole
from edge_runtime.sources.opcua_history import NODES_MAX, ROUNDS_MAX, TRIES
from edge_runtime.sources.opcua_recovery import Recovery
from edge_runtime.sources.opcua_subscription import subscribe
from edge_runtime.sources.opcua_tags import TagColumns
from edge_runtime.sources.sample import SampleBatch
from tests.simulators.opcua_session import BEGUN, NAMESPACE, SmallServer, refused
from tests.simulators.waiting import until

pytestmark = pytest.mark.anyio

SECOND = 1_000_000_000
T0 = int(BEGUN.timestamp()) * SECOND
CONFIG = OpcUaConfig(name="plc", url="opc.tcp://10.0.0.1:4840", publishing_s=0.001)
BUSY = 0x800A0000  # BadTimeout
Events = list[MutableMapping[str, Any]]  # Any: a fact of any type


@pytest.fixture
def events() -> Iterator[Events]:
    """What is logged."""
    with capture_logs() as found:
        yield found


def hole(tag: int, start_s: int, end_s: int) -> Hole:
    """Seconds after the beginning."""
    return Hole(tag, T0 + start_s * SECOND, T0 + end_s * SECOND)


class Source:
    """Tags of a server, what is read back for them, and lines one after the other."""

    def __init__(self, server: SmallServer, tags: int = 1) -> None:
        self.server = server
        self.columns = TagColumns(
            [
                TagConfig(role=f"p{at}", unit="1", source="plc", address=f"nsu={NAMESPACE};i={at}")
                for at in range(tags)
            ],
            range(tags),
        )
        self.found: list[tuple[int, int]] = []
        self.recovery = Recovery(CONFIG, self.columns, self._take)

    def _take(self, batch: SampleBatch) -> None:
        assert batch.historical
        seconds = ((batch.source_ns - T0) // SECOND).tolist()
        assert seconds == sorted(seconds)
        self.found += zip(batch.tags.tolist(), seconds, strict=True)

    async def line(self, events: Events, times: int = 1) -> None:
        """A line that lasts until so many readings are over."""
        known = await subscribe(self.server, CONFIG, self.columns)
        begun = said(events, "source.history_read")

        def read() -> bool:
            return len(said(events, "source.history_read")) >= len(begun) + times

        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.recovery.run(self.server, known))
            await until(read, "history")
            task.cancel()

    async def cut(self, reached: asyncio.Event) -> None:
        """A line that is cut in the middle of its reading."""
        known = await subscribe(self.server, CONFIG, self.columns)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.recovery.run(self.server, known))
            await reached.wait()
            task.cancel()


def said(events: Events, event: str) -> Events:
    """What was logged of this name."""
    return [each for each in events if each["event"] == event]


def seconds(*spans: tuple[int, int]) -> dict[int, float]:
    """A value at every second from one to another, both counted."""
    return {at: float(at) for first, last in spans for at in range(first, last + 1)}


async def test_two_pages(events: Events) -> None:
    """What does not fit into one answer comes in several, and nothing beyond the gap."""
    source = Source(SmallServer(history=seconds((0, 20)), page=7))
    source.recovery.add([hole(0, 3, 17)])
    await source.line(events)
    assert source.found == [(0, at) for at in range(4, 17)]
    assert source.server.requests["history"] == [1, 1, 1]
    assert source.server.points == {}
    assert said(events, "source.history_read")[0]["values"] == source.recovery.values == 13


async def test_many_nodes(events: Events) -> None:
    """Of many tags so many are asked for at once, and each has all that it lacks."""
    tags = 10 * NODES_MAX
    source = Source(SmallServer(history=seconds((0, 9))), tags)
    source.recovery.add(hole(tag, 0, 5) for tag in range(tags))
    await source.line(events)
    assert sorted(source.found) == [(tag, at) for tag in range(tags) for at in range(1, 5)]
    assert source.server.requests["history"] == [NODES_MAX] * 10


async def test_small_server(events: Events) -> None:
    """A server that answers two at once is asked for two, and none is left out or read twice."""
    source = Source(SmallServer(operations_max=3, history=seconds((0, 9)), page=2), NODES_MAX)
    source.recovery.add(hole(tag, 0, 9) for tag in range(NODES_MAX))
    await source.line(events)
    assert sorted(source.found) == [(tag, at) for tag in range(NODES_MAX) for at in range(1, 9)]
    assert source.server.requests["history"][:5] == [20, 10, 5, 2, 2]


async def test_few_continuation_points(events: Events) -> None:
    """Who cannot keep the places of many is asked for fewer, and keeps none in the end."""
    source = Source(SmallServer(history=seconds((0, 9)), page=4, points_max=3), 8)
    source.recovery.add(hole(tag, 0, 9) for tag in range(8))
    await source.line(events)
    assert sorted(source.found) == [(tag, at) for tag in range(8) for at in range(1, 9)]
    assert source.server.points == {}


async def test_intervals_apart(events: Events) -> None:
    """What is missing at two times is asked for apart, without all that lies between."""
    source = Source(SmallServer(history=seconds((0, 9), (5000, 5009)), page=5), 2)
    source.recovery.add([hole(0, 0, 5), hole(1, 5000, 5005)])
    await source.line(events)
    assert source.found == [(0, at) for at in range(1, 5)] + [(1, at) for at in range(5001, 5005)]
    assert source.server.requests["history"] == [1, 1, 1, 1]


async def test_more_pages_than_one_reading_takes(events: Events) -> None:
    """A server that always has more is left after so many pages; it need not keep our place."""
    last = ROUNDS_MAX + 50
    source = Source(SmallServer(history=seconds((0, last)), page=1))
    source.recovery.add([hole(0, 0, last)])
    await source.line(events)
    assert source.found == [(0, at) for at in range(1, last)]
    # The first reading ends in its middle and lets the server forget it; the second has the rest.
    assert len(source.server.requests["history"]) == ROUNDS_MAX + 52
    assert source.server.points == {}


async def test_refusal(events: Events) -> None:
    """A server that does not give its history says so, once, and is not asked again."""
    source = Source(SmallServer(unsupported=frozenset({"history"})), 3)
    source.recovery.add(hole(tag, 0, 9) for tag in range(3))
    await source.line(events)
    [line] = said(events, "source.history_refused")
    assert "BadServiceUnsupported" in line["status"]
    assert (line["source"], line["tags"]) == ("plc", 3)
    source.server.unsupported = frozenset()
    source.server.history = seconds((0, 9))
    source.recovery.add([hole(0, 4, 6)])
    await source.line(events)
    assert source.found == [(0, 5)]


async def test_refusal_of_one(events: Events) -> None:
    """A node without a history costs the others nothing, and its status is said."""
    source = Source(SmallServer(history=seconds((0, 9)), no_history=frozenset({1})), 3)
    source.recovery.add(hole(tag, 0, 9) for tag in range(3))
    await source.line(events)
    assert {tag for tag, _ in source.found} == {0, 2}
    [line] = said(events, "source.history_refused")
    assert (line["status"], line["tags"]) == ("BadHistoryOperationInvalid", 1)


async def test_written_late(events: Events) -> None:
    """What the server has not written yet is asked for again, and only that."""
    source = Source(SmallServer(history=seconds((0, 4))))
    answers = 0

    async def written() -> None:
        nonlocal answers
        answers += 1
        if answers == 2:
            source.server.history = seconds((0, 9))

    source.server.before_history = written
    source.recovery.add([hole(0, 0, 9)])
    await source.line(events)
    assert source.found == [(0, at) for at in range(1, 9)]
    assert source.server.requests["history"] == [1, 1]


async def test_no_history_at_all(events: Events) -> None:
    """A server that never comes to the end of a gap is asked a few times."""
    source = Source(SmallServer())
    source.recovery.add([hole(0, 0, 9)])
    await source.line(events)
    assert source.server.requests["history"] == [1] * TRIES
    assert source.found == []


async def test_cut_while_reading(events: Events) -> None:
    """A second cut in the middle: the next line reads on from where this one was."""
    source = Source(SmallServer(history=seconds((0, 9)), page=3))
    reached = asyncio.Event()

    async def second_page() -> None:
        if source.found:
            reached.set()
            await asyncio.Event().wait()

    source.server.before_history = second_page
    source.recovery.add([hole(0, 0, 9)])
    await source.cut(reached)
    assert source.found == [(0, 1), (0, 2)]
    source.server.before_history = None
    await source.line(events)
    assert source.found == [(0, at) for at in range(1, 9)]


FAILS: dict[str, Exception | int] = {
    "the connection goes": ConnectionError("gone"),
    "no answer in time": TimeoutError(),
    "the session is over": 0x80250000,  # BadSessionIdInvalid
    "the server is busy": BUSY,
}


@pytest.mark.parametrize("name", FAILS)
async def test_failure_while_reading(name: str, events: Events) -> None:
    """Each row is what goes wrong while it is read: said once, and read on the next line."""
    source = Source(SmallServer(history=seconds((0, 9))), 2)

    async def fails() -> None:
        error = FAILS[name]
        if isinstance(error, Exception):
            raise error
        refused(error)

    source.server.before_history = fails
    source.recovery.add([hole(0, 0, 5), hole(1, 0, 5)])
    await source.line(events)
    [line] = said(events, "source.history_unanswered")
    assert line["gaps"] == 2
    assert line["reason"]
    source.server.before_history = None
    await source.line(events)
    assert sorted(source.found) == [(tag, at) for tag in range(2) for at in range(1, 5)]


async def test_nonsense(events: Events) -> None:
    """What cannot be read is a refusal: it would be the same the next time."""
    source = Source(SmallServer(history=seconds((0, 9))))

    async def nonsense() -> None:
        raise ValueError("no such type")

    source.server.before_history = nonsense
    source.recovery.add([hole(0, 0, 5)])
    await source.line(events)
    assert "no such type" in said(events, "source.history_refused")[0]["status"]


async def test_slow_server(events: Events) -> None:
    """Who has no answer in time for many is asked for fewer."""
    source = Source(SmallServer(history=seconds((0, 9))), 4)

    async def slow() -> None:
        if len(source.server.requests.get("history", ())) == 0:
            source.server.requests["history"] = []
            source.server.before_history = None
            raise TimeoutError

    source.server.before_history = slow
    source.recovery.add(hole(tag, 0, 5) for tag in range(4))
    await source.line(events)
    assert len(source.found) == 4 * 4
    assert source.server.requests["history"] == [2, 2]


async def test_while_reading_more_is_lost(events: Events) -> None:
    """What comes to be missing while something is read is read next."""
    source = Source(SmallServer(history=seconds((0, 90))))

    async def lost() -> None:
        source.server.before_history = None
        source.recovery.add([hole(0, 50, 55)])

    source.server.before_history = lost
    source.recovery.add([hole(0, 0, 5)])
    await source.line(events, 2)
    assert source.found == [(0, at) for at in (*range(1, 5), *range(51, 55))]
