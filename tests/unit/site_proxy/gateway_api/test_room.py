"""What may be in work at once: bounded in bytes, with half of it kept from what can wait."""

import asyncio
import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from edge_core.contracts.gateway import OTLP_BYTES_MAX
from edge_site_proxy.api.gateway.app import GatewayApp
from edge_site_proxy.api.gateway.ports import Peer, Received
from edge_site_proxy.api.gateway.room import REQUEST_BYTES, NoRoomError, Room
from edge_site_proxy.api.gateway.wire import Message
from tests.unit.site_proxy.gateway_api.served import FakeShelf, FakeSite

pytestmark = pytest.mark.anyio

ONE = 6 * 1024  # of a body; ten kibibytes with its request
ROOM = 8 * (ONE + REQUEST_BYTES)


def taken(room: Room, *, bulk: bool) -> int:
    """How many requests of `ONE` find room at once."""
    with ExitStack() as held:
        for count in range(100):
            try:
                held.enter_context(room.place(ONE, bulk=bulk))
            except NoRoomError:
                return count
    raise AssertionError("there was no bound")


def test_bound() -> None:
    """As many as fit, and again as many once they are done."""
    room = Room(ROOM)
    assert [taken(room, bulk=False), taken(room, bulk=False)] == [8, 8]


def test_bulk_leaves_half() -> None:
    """Telemetry and review fill half of it, and a heartbeat still finds room."""
    room = Room(ROOM)
    assert taken(room, bulk=True) == 4
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(room.place(ONE, bulk=True))
        with pytest.raises(NoRoomError, match="6144 bytes"):
            held.enter_context(room.place(ONE, bulk=True))
        held.enter_context(room.place(ONE, bulk=False))


def test_too_long_for_any_call() -> None:
    """A body that no call would take is not called "later": its call refuses it for good."""
    with Room(OTLP_BYTES_MAX + REQUEST_BYTES).place(10**12, bulk=False):
        pass


def test_left_when_it_fails() -> None:
    """A request that failed gives its room back."""
    room = Room(ROOM)
    with pytest.raises(ValueError, match="x"), room.place(ONE, bulk=False):
        raise ValueError("x")
    assert taken(room, bulk=False) == 8


@dataclass
class Stuck:
    """A journal whose disk hangs until a test lets go."""

    wanted: int
    full: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, _: Received) -> None:
        """Wait."""
        self.wanted -= 1
        if not self.wanted:
            self.full.set()
        await self.go.wait()


class Anybody:
    """Lets every certificate pass."""

    def admit(self, peer: Peer, now: dt.datetime) -> None:
        """Yes."""

    async def renew(self, serial: str, request: bytes, *, now: dt.datetime) -> bytes:
        """Nobody asks."""
        raise AssertionError((serial, request, now))


async def answered(app: GatewayApp, path: str, body: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of one request to *app*."""
    peer = Peer("gw-101", "01", dt.datetime.max.replace(tzinfo=dt.UTC))
    scope: Message = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/x-protobuf"),
        ],
        "extensions": {"tls": {"peer": peer}},
    }
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said[0]["status"], dict(said[0]["headers"])


async def test_hanging_disk() -> None:
    """Beyond the bound telemetry is told when to come again, and is taken once work is done."""
    stuck = Stuck(wanted=4)
    app = GatewayApp(
        identity=Anybody(),
        site=FakeSite(),
        receiver=stuck,
        shelf=FakeShelf(),
        now=lambda: dt.datetime.now(dt.UTC),
        room=Room(ROOM),
    )
    async with asyncio.TaskGroup() as group:
        first = [group.create_task(answered(app, "/v1/metrics", b"x" * ONE)) for _ in range(4)]
        await stuck.full.wait()
        status, headers = await answered(app, "/v1/metrics", b"x" * ONE)
        assert (status, headers[b"retry-after"]) == (503, b"5")
        stuck.go.set()
    assert [task.result()[0] for task in first] == [200] * 4
    assert (await answered(app, "/v1/metrics", b"x" * ONE))[0] == 200
