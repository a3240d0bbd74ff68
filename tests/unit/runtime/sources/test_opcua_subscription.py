"""Subscriptions on servers that are small, slow, or lack a service: each tag all the same."""

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError
from structlog.testing import capture_logs

from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua_client import CONNECT_S
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_line import TAG_S, open_s
from edge_runtime.sources.opcua_subscription import CALL_MAX, REFUSED_S, ask_again, subscribe
from edge_runtime.sources.opcua_tags import UNIT_HANDLES, TagColumns
from tests.simulators.opcua_session import NAMESPACE, SmallServer
from tests.simulators.virtual import VirtualLoop

pytestmark = pytest.mark.anyio

COUNT = 2 * CALL_MAX + 1
CONFIG = OpcUaConfig(name="plc", url="opc.tcp://10.0.0.1:4840")
MILLIBAR = ua.EUInformation(DisplayName=ua.LocalizedText("mbar"))
Events = list[MutableMapping[str, Any]]  # Any: a fact of any type


@pytest.fixture
def events() -> Iterator[Events]:
    """What is logged."""
    with capture_logs() as found:
        yield found


def columns(count: int = COUNT) -> TagColumns:
    """So many tags in bar."""
    tags = [
        TagConfig(role=f"p{at}", unit="bar", source="plc", address=f"nsu={NAMESPACE};i={at}")
        for at in range(count)
    ]
    return TagColumns(tags, range(count))


LIMITS = {
    "none that matters": (1000, [CALL_MAX, CALL_MAX, 1]),
    "a half": (CALL_MAX // 2, [CALL_MAX, *[CALL_MAX // 2] * 4, 1]),
    "odd": (CALL_MAX // 4 + 1, [CALL_MAX, CALL_MAX // 2, *[CALL_MAX // 4] * 8, 1]),
}


@pytest.mark.parametrize("name", LIMITS)
async def test_limits(name: str) -> None:
    """Each row is how much a server answers at once, and what it is asked: each tag in the end."""
    limit, asked = LIMITS[name]
    server, made = SmallServer(limit, MILLIBAR), columns()
    found = await subscribe(server, CONFIG, made)
    assert server.monitored == [*range(COUNT), *range(UNIT_HANDLES, UNIT_HANDLES + COUNT)]
    assert found.history == frozenset(range(COUNT))
    assert found.refused == {}
    assert made.conversion(COUNT - 1) == pytest.approx((1e-3, 0.0))
    assert server.requests == {"translate": asked, "read": asked * 2, "monitor": asked * 2}


async def test_one_at_a_time() -> None:
    """A server that answers nothing but single things is asked so."""
    server = SmallServer(1)
    await subscribe(server, CONFIG, columns(3))
    assert server.requests["monitor"] == [3, 1, 1, 1]


async def test_not_even_one() -> None:
    """A server to which everything is too much is refused, and not asked for ever."""
    with pytest.raises(UaStatusCodeError):
        await subscribe(SmallServer(0), CONFIG, columns(3))


LACKS: dict[str, tuple[str, list[str], set[int]]] = {
    "paths to units": ("translate", ["units"], {0}),
    "reading": ("read", ["units", "history"], set()),
}


@pytest.mark.parametrize("name", LACKS)
async def test_service_that_is_lacking(name: str, events: Events) -> None:
    """Each row is a service that a server does not have: a line says so, and values come."""
    service, untold, history = LACKS[name]
    server = SmallServer(unit=MILLIBAR, unsupported=frozenset({service}))
    found = await subscribe(server, CONFIG, columns(1))
    assert server.monitored[0] == 0
    assert found.history == history
    lines = [each for each in events if each["event"] == "source.untold"]
    assert [each["what"] for each in lines] == untold
    assert {each["source"] for each in lines} == {"plc"}
    assert all("BadServiceUnsupported" in each["reason"] for each in lines)


async def test_units_left_empty(events: Events) -> None:
    """Units as they were made cost no value, and are one line however many they are."""
    made = columns()
    await subscribe(SmallServer(unit=ua.EUInformation()), CONFIG, made)
    assert {made.conversion(handle) for handle in range(COUNT)} == {(1.0, 0.0)}
    [line] = [each for each in events if each["event"] == "source.units_unsaid"]
    assert (line["source"], line["tags"], line["first"]) == ("plc", COUNT, "p0")


def test_more_tags_may_take_longer() -> None:
    """A slow controller with thousands of tags is waited for, as long as it answers."""
    assert open_s(0) == CONNECT_S
    assert open_s(2000) == CONNECT_S + 2000 * TAG_S
    assert open_s(2000) > 60


VIRTUAL = pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": VirtualLoop})])


@VIRTUAL
async def test_refused_tags_are_asked_for_again(events: Events) -> None:
    """Tags that the server lacks are asked for every half minute, until it has them all."""
    loop, made = asyncio.get_running_loop(), columns(4)
    server = SmallServer(nobody=frozenset({1, 3}))
    known = await subscribe(server, CONFIG, made)
    assert known.refused == dict.fromkeys((1, 3), "BadNodeIdUnknown")

    async def loaded() -> None:
        await asyncio.sleep(REFUSED_S + 1)
        server.nobody = frozenset({3})
        await asyncio.sleep(REFUSED_S)
        server.unsupported = frozenset({"monitor"})  # an answer that is none ends nothing
        await asyncio.sleep(REFUSED_S)
        server.unsupported, server.nobody = frozenset(), frozenset()

    async with asyncio.TaskGroup() as group:
        group.create_task(loaded())
        await ask_again(server, known, CONFIG, made)
    assert loop.time() == 4 * REFUSED_S
    assert server.monitored == [0, 2, 1, 3]
    assert server.requests["monitor"] == [4, 2, 2, 1]
    assert [each["role"] for each in events if each["event"] == "tag.accepted"] == ["p1", "p3"]


@VIRTUAL
async def test_nothing_refused() -> None:
    """Where nothing was refused nothing is asked for again."""
    server, made = SmallServer(), columns(2)
    known = await subscribe(server, CONFIG, made)
    await ask_again(server, known, CONFIG, made)
    assert server.requests["monitor"] == [2]
    assert asyncio.get_running_loop().time() == 0
