"""What systemd hears: READY once the pipeline has gone round, and life while it goes on."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_runtime.service import Notifier, keep_alive

pytestmark = pytest.mark.anyio

WATCHDOG_S = 0.08


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that a service manager listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(0)
        yield listening


def heard(systemd: socket.socket) -> list[str]:
    """What came since the last look, without the status."""
    found = []
    while True:
        try:
            found.append(systemd.recv(4096).decode().partition("\n")[0])
        except BlockingIOError:
            return found


@asynccontextmanager
async def watched(systemd: socket.socket, beats: list[int]) -> AsyncIterator[None]:
    """A daemon whose pipeline has gone on *beats[0]* times."""
    notifier = Notifier(str(systemd.getsockname()), WATCHDOG_S)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_alive(notifier, lambda: beats[0], lambda: "well"))
        yield
        task.cancel()


async def test_ready_when_it_works(systemd: socket.socket) -> None:
    """READY waits for the first round of the pipeline."""
    beats = [0]
    async with watched(systemd, beats):
        await asyncio.sleep(0.1)
        assert heard(systemd) == []
        beats[0] = 1
        async with asyncio.timeout(5):
            while not (said := heard(systemd)):  # noqa: ASYNC110 - another task says it
                await asyncio.sleep(0.01)
    assert said == ["READY=1"]


async def test_life_while_it_goes_on(systemd: socket.socket) -> None:
    """As long as the pipeline goes on there are signs of life, oftener than systemd asks for."""
    beats = [1]
    async with watched(systemd, beats):
        for _ in range(20):
            beats[0] += 1
            await asyncio.sleep(WATCHDOG_S / 4)
    said = heard(systemd)
    assert said[0] == "READY=1"
    assert set(said[1:]) == {"WATCHDOG=1"}
    assert len(said) > 5


async def test_no_life_while_it_hangs(systemd: socket.socket) -> None:
    """A loop that turns while the pipeline stands still gives no sign, until it goes on again."""
    beats = [1]
    async with watched(systemd, beats):
        await asyncio.sleep(3 * WATCHDOG_S)
        assert heard(systemd) == ["READY=1"]
        beats[0] = 2
        async with asyncio.timeout(5):
            while "WATCHDOG=1" not in heard(systemd):  # noqa: ASYNC110 - another task says it
                await asyncio.sleep(0.01)


ENVIRONMENTS: dict[str, tuple[dict[str, str], Notifier]] = {
    "no systemd": ({}, Notifier()),
    "no watchdog": ({"NOTIFY_SOCKET": "/run/n"}, Notifier("/run/n")),
    "a watchdog": (
        {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"},
        Notifier("@n", 30.0),
    ),
    "a watchdog for another process": (
        {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"},
        Notifier("/run/n"),
    ),
    "a watchdog that is no number": ({"WATCHDOG_USEC": "soon"}, Notifier()),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
async def test_environment(name: str) -> None:
    """Each row is what systemd puts into the environment, and what process 7 makes of it."""
    environment, expected = ENVIRONMENTS[name]
    assert Notifier.of(environment, 7) == expected


async def test_abstract_socket() -> None:
    """An address with an @ is a name without a file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"edge-test-{time.monotonic_ns()}"
        listening.bind(f"\0{name}")
        Notifier(f"@{name}").stopping()
        assert listening.recv(100) == b"STOPPING=1"


async def test_reloading(systemd: socket.socket) -> None:
    """A reload says since when, on the monotonic clock, as systemd wants it."""
    Notifier(str(systemd.getsockname())).reloading(12.5)
    assert systemd.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=12500000"


async def test_nobody_listens(tmp_path: Path) -> None:
    """A keeper that is gone is no reason to end."""
    Notifier(str(tmp_path / "gone")).stopping()
