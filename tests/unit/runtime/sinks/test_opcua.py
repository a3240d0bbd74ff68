"""Nodes of a real server on loopback: only the allowed ones are written, and each reads back."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.sinks.opcua import FAULT, OpcUaSink
from edge_runtime.sinks.panel import node_of
from edge_runtime.sinks.pen import NotAllowedError, Pen, Place
from edge_runtime.sinks.settings import OpcUaSinkConfig, Shows, mistake
from edge_runtime.sinks.standing import Shown, Standing
from edge_runtime.sources.opcua_client import library, open_session, throw_away
from edge_runtime.sources.opcua_config import OpcUaConfig
from tests.simulators.link import Link
from tests.simulators.ports import free_port
from tests.simulators.waiting import until

pytestmark = pytest.mark.anyio

URI = "urn:example:plant"
AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
KINDS = {
    "label": ua.VariantType.String,
    "place": ua.VariantType.Int16,
    "alarm": ua.VariantType.Boolean,
    "decided": ua.VariantType.Boolean,
    "confidence": ua.VariantType.Float,
    "counter": ua.VariantType.Byte,
    "bit": ua.VariantType.Boolean,
    "setpoint": ua.VariantType.Double,
    "text": ua.VariantType.String,
}
YESTERDAY = 17.0
FLOW = Shown("normal", Standing.DECIDED, AT, 0, value=42.5)
SAFE = Shown("normal", Standing.SAFE, AT, 0)
LEAK = Shown("leak", Standing.DECIDED, AT, 1, alarm=True, confidence=0.75)


def address(name: str) -> str:
    """As it is configured."""
    return f"nsu={URI};s={name}"


@dataclass(slots=True)
class Plc:
    """The server, and every write that reached it.

    Attributes:
        forgets: it takes writes of this node and does not keep them.
        untimed: it refuses a status for these nodes.
        careless: it takes a status for these nodes and keeps only the value.
    """

    server: Server
    port: int
    index: int
    written: list[tuple[str, ua.DataValue]] = field(default_factory=list)
    forgets: str = ""
    untimed: tuple[str, ...] = ()
    careless: tuple[str, ...] = ()

    def take(self, name: str, node: Any, attribute: Any, value: Any) -> None:  # Any: asyncua's
        """Somebody writes a node."""
        if name in self.untimed and value.SourceTimestamp is not None:
            raise ServiceError(StatusCodes.BadWriteNotSupported)
        self.written.append((name, value))
        if name in self.careless:
            value = ua.DataValue(value.Value)
        if name != self.forgets:
            node.attributes[attribute].value = value

    async def value(self, name: str) -> Any:  # Any: asyncua's, where all may be None
        """What a node has now."""
        node = self.server.get_node(ua.NodeId(ua.String(name), ua.Int16(self.index)))
        return await node.read_data_value(raise_on_bad_status=False)

    def texts(self) -> list[tuple[str, Any]]:  # Any: of their kinds
        """Every write: the node and the value."""
        return [(name, value.Value.Value) for name, value in self.written if value.Value]

    async def put(self, name: str, value: Any) -> None:  # Any: of its kind
        """Somebody else writes a node."""
        variant = ua.Variant(value, KINDS[name])
        await self.server.write_attribute_value(
            ua.NodeId(ua.String(name), ua.Int16(self.index)), ua.DataValue(variant)
        )

    def config(self, port: int = 0) -> OpcUaConfig:
        """The source of this server."""
        url = f"opc.tcp://127.0.0.1:{port or self.port}/plc"
        return OpcUaConfig(name="plc", url=url, retry_s=0.05, answer_s=5.0)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The server lives as long as the module, and so does the loop."""
    return "asyncio"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Plc]:
    """It takes seconds to start, so all tests have the same."""
    server = Server()
    await server.init()
    found = Plc(server, free_port(), await server.register_namespace(URI))
    server.set_endpoint(found.config().url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for name, kind in KINDS.items():
        node = ua.NodeId(ua.String(name), ua.Int16(found.index))
        first = {ua.VariantType.String: "", ua.VariantType.Boolean: False}.get(kind, 0)
        variable = await server.nodes.objects.add_variable(node, name, first, varianttype=kind)
        if name != "text":
            await variable.set_writable()
        server.set_attribute_value_setter(node, partial(found.take, name))
    async with server:
        yield found


@pytest.fixture
async def plc(server: Plc) -> Plc:
    """The server, as if nobody had ever written."""
    server.forgets = ""
    server.untimed = server.careless = ()
    await server.put("label", "")
    await server.put("setpoint", YESTERDAY)
    server.written.clear()
    return server


@dataclass(slots=True)
class Alarms:
    """What a person would be told."""

    faults: dict[str, str] = field(default_factory=dict)

    def fault(self, kind: str, words: str) -> None:
        """Something is wrong."""
        self.faults[kind] = words

    def mend(self, kind: str) -> None:
        """It is over."""
        self.faults.pop(kind, None)


def settings(allow: tuple[str, ...] = (), **nodes: str) -> OpcUaSinkConfig:
    """These nodes show these things, and *allow* may be written too."""
    asked = {
        "source": "plc",
        "allow": [address(name) for name in {*allow, *nodes.values()}],
        "nodes": {shows: address(name) for shows, name in nodes.items()},
        "check_s": 0.05,
    }
    return msgspec.convert(asked, OpcUaSinkConfig)


@asynccontextmanager
async def showing(
    config: OpcUaSinkConfig, server: OpcUaConfig
) -> AsyncIterator[tuple[OpcUaSink, Alarms]]:
    """A sink that runs."""
    alarms = Alarms()
    sink = OpcUaSink(config, server, alarms, lambda: AT)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sink.run())
        try:
            yield sink, alarms
        finally:
            task.cancel()


async def test_shown(plc: Plc) -> None:
    """What holds is on the nodes with status and source time, and nothing else was written."""
    config = settings(
        label="label", alarm="alarm", decided="decided", confidence="confidence", heartbeat="bit"
    )
    async with showing(config, plc.config()) as (sink, alarms):
        sink.show(LEAK)
        sink.beat(1)
        await until(lambda: sink.written > 0, "written and read back")
        found = {name: await plc.value(name) for name in KINDS}
        assert found["label"].Value == ua.Variant("leak", ua.VariantType.String)
        assert (found["alarm"].Value.Value, found["decided"].Value.Value) == (True, True)
        assert found["confidence"].Value.Value == 0.75
        assert found["label"].SourceTimestamp == AT
        assert found["label"].StatusCode.is_good()
        later = AT + timedelta(seconds=9)
        for standing, status in ((Standing.HELD, 0x40900000), (Standing.SAFE, 0x40910000)):
            said = Shown("normal", standing, later, 0)
            before = sink.written
            sink.show(said)
            await until(lambda before=before: sink.written > before, "written")  # type: ignore[misc]  # a default
            assert (await plc.value("label")).StatusCode.value == status
        await until(lambda: "bit" in [name for name, _ in plc.written], "a beat")
        assert {name for name, _ in plc.written} == {
            "label",
            "alarm",
            "decided",
            "confidence",
            "bit",
        }
    assert alarms.faults == {}


async def test_numbers(plc: Plc) -> None:
    """On an integer a class is its number, and a heartbeat counts and wraps as its type does."""
    config = settings(label="place", heartbeat="counter")
    async with showing(config, plc.config()) as (sink, _):
        sink.show(LEAK)
        for count in (255, 256):
            sink.beat(count)
            wanted = ("counter", count % 256)

            def counted(wanted: tuple[str, int] = wanted) -> bool:
                return wanted in plc.texts()

            await until(counted, "a beat")
        assert (await plc.value("place")).Value == ua.Variant(1, ua.VariantType.Int16)


async def test_value_that_does_not_stay(plc: Plc) -> None:
    """A node that takes a value and shows another is a fault, named with both."""
    config = settings(label="label", alarm="alarm")
    plc.forgets = "label"
    async with showing(config, plc.config()) as (sink, alarms):
        sink.show(LEAK)
        await until(lambda: FAULT in alarms.faults, "a fault")
        assert f"{address('label')}: wrote 'leak', reads ''" in alarms.faults[FAULT]
        assert sink.mismatched > 0


async def test_somebody_else_writes(plc: Plc) -> None:
    """What somebody else writes over ours is found out by itself; we do not fight over it."""
    config = settings(label="label")
    async with showing(config, plc.config()) as (sink, alarms):
        sink.show(LEAK)
        await until(lambda: sink.written > 0, "written")
        await plc.put("label", "mine")
        await until(lambda: FAULT in alarms.faults, "a fault")
        sink.show(LEAK)
        await until(lambda: FAULT not in alarms.faults, "no fault")


async def test_server_without_status(plc: Plc) -> None:
    """A server that takes no status is given the value alone."""
    config = settings(label="label")
    plc.untimed = ("label",)
    async with showing(config, plc.config()) as (sink, alarms):
        sink.show(LEAK)
        await until(lambda: sink.written > 0, "written")
        assert (await plc.value("label")).Value.Value == "leak"
    assert alarms.faults == {}


OLD_NUMBERS = {
    "a number, and then none": [FLOW, SAFE],
    "none since we are there": [SAFE],
    "one that is held, and then none": [FLOW, replace(FLOW, standing=Standing.HELD), SAFE],
}


@pytest.mark.parametrize("name", OLD_NUMBERS)
async def test_no_number(name: str, plc: Plc) -> None:
    """Each row is what held one after the other: at the end the node has no number, and is bad."""
    async with showing(settings(value="setpoint"), plc.config()) as (sink, alarms):
        for shown in OLD_NUMBERS[name]:
            before = sink.written
            sink.show(shown)
            await until(lambda before=before: sink.written > before, "written")  # type: ignore[misc]  # a default
        found = await plc.value("setpoint")
        assert (found.Value.Value, found.StatusCode.value) == (None, 0x808D0000)
        before = sink.written
        sink.show(FLOW)
        await until(lambda: sink.written > before, "a number again")
        found = await plc.value("setpoint")
        assert (found.Value.Value, found.StatusCode.is_good()) == (42.5, True)
    assert alarms.faults == {}


NO_STATUS = {"refused": "untimed", "not kept": "careless"}


@pytest.mark.parametrize("name", NO_STATUS)
async def test_no_number_and_no_status(name: str, plc: Plc) -> None:
    """Each row is how a server has no status for us: the number goes, and `decided` says so."""
    setattr(plc, NO_STATUS[name], ("setpoint", "decided"))
    config = settings(value="setpoint", decided="decided")
    async with showing(config, plc.config()) as (sink, alarms):
        for shown, decided in ((FLOW, True), (SAFE, False)):
            before = sink.written
            sink.show(shown)
            await until(lambda before=before: sink.written > before, "written")  # type: ignore[misc]  # a default
            assert (await plc.value("decided")).Value.Value is decided
        found = await plc.value("setpoint")
        assert math.isnan(found.Value.Value)
        assert found.StatusCode.is_good()
    assert alarms.faults == {}


@pytest.mark.parametrize("name", NO_STATUS)
async def test_number_that_could_be_old(name: str, plc: Plc) -> None:
    """A number on a server without status is refused where nothing says that it is old."""
    setattr(plc, NO_STATUS[name], ("setpoint", "label"))
    sink = OpcUaSink(settings(value="setpoint", label="label"), plc.config(), Alarms(), lambda: AT)
    sink.show(SAFE)
    with pytest.raises(ConfigurationError, match="add `decided` to"):
        await sink.run()
    assert "label" not in [node for node, _ in plc.written] or name == "not kept"
    assert FLOW.value not in [value for _, value in plc.texts()]


async def test_server_away(plc: Plc) -> None:
    """A server that is away costs nothing; when it is back it shows what holds now."""
    link = Link(plc.port, closed=True)
    async with (
        link.open(),
        showing(settings(label="label"), plc.config(link.port)) as (sink, told),
    ):
        for number in range(100):
            sink.show(Shown(f"n{number}", Standing.DECIDED, AT))
        await until(lambda: FAULT in told.faults, "a fault")
        link.closed = False
        await until(lambda: sink.written > 0, "written")
        assert (await plc.value("label")).Value.Value == "n99"
        assert FAULT not in told.faults
        link.cut()
        sink.show(LEAK)
        await until(lambda: ("label", "leak") in plc.texts(), "written again")
    assert sink.dropped == 99


async def test_ended_at_any_time(plc: Plc) -> None:
    """A sink that is told to end does so, whatever it waits for just then."""
    config = settings(label="label", heartbeat="bit")
    async with asyncio.timeout(30):
        for number in range(25):
            async with showing(config, plc.config()) as (sink, _):
                for count in range(number):
                    sink.show(LEAK)
                    sink.beat(count)
                    await asyncio.sleep(0.001)


UNFIT = {
    "a node that is not there": ({"label": "nowhere"}, "nowhere: expected a variable"),
    "a node we may not write": ({"label": "text"}, "text: expected the right to write"),
    "a node of another type": ({"label": "setpoint"}, "to show label expected"),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_unfit(name: str, plc: Plc) -> None:
    """Each row is a node that cannot show what it shall, and what is said of it."""
    nodes, words = UNFIT[name]
    sink = OpcUaSink(settings((), **nodes), plc.config(), Alarms(), lambda: AT)
    with pytest.raises(ConfigurationError, match=words):
        await sink.run()
    assert plc.written == []


async def test_not_reachable(plc: Plc) -> None:
    """The pen itself refuses any node beyond its list, though the server would take it."""
    client = await open_session(plc.config(), library())
    try:
        known = await client.get_namespace_array()
        label, other = (node_of(address(name), known) for name in ("label", "setpoint"))
        pen = Pen(client, frozenset({label}))
        place = Place(Shows.CONFIDENCE, address("setpoint"), other, ua.VariantType.Double)
        with pytest.raises(NotAllowedError, match="not on the allow-list"):
            await pen.write(place, 99.0, Standing.DECIDED, AT)
        with pytest.raises(NotAllowedError):
            await pen.place(Shows.CONFIDENCE, address("setpoint"), other)
    finally:
        await throw_away(client)
    assert plc.written == []
    assert (await plc.value("setpoint")).Value.Value == YESTERDAY


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a node that is not allowed": (
        {"nodes": {"label": address("setpoint")}},
        r"sinks\.opcua\.nodes\.label: expected a node of `allow`",
    ),
    "a node of the server's own": (
        {"allow": ["ns=0;i=2258"], "nodes": {"label": "ns=0;i=2258"}},
        "is the server's own",
    ),
    "one node for two things": (
        {"nodes": {"label": address("label"), "alarm": address("label")}},
        "expected each node once",
    ),
    "no node id": ({"allow": ["setpoint"]}, "allow"),
    "nothing allowed": ({"allow": []}, "allow"),
    "something that nobody shows": ({"nodes": {"weather": address("label")}}, "weather"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Each row is a mistake in the configuration, found before anything is dialled."""
    changes, words = REFUSED[name]
    usual: dict[str, Any] = {
        "source": "plc",
        "allow": [address("label")],
        "nodes": {"label": address("label")},
    }
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert({**usual, **changes}, OpcUaSinkConfig)


def test_never_what_is_read() -> None:
    """A node that is read as a tag is refused, and so is a server that nobody configured."""
    config = settings(label="label")
    assert mistake(config, ["plc"], [("plc", address("flow"))]) is None
    assert mistake(config, ["plc"], [("other", address("label"))]) is None
    found = mistake(config, ["plc"], [("plc", f"{address('label')}#[2]")])
    assert found is not None
    assert "is read as a tag" in found
    unknown = mistake(config, ["dcs"], [])
    assert unknown is not None
    assert "expected an OPC UA source (dcs), found plc" in unknown
