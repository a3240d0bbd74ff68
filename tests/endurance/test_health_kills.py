"""A gateway's health windows through a hundred SIGKILLs: every window counted once, none twice."""

import asyncio
import os
import random
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_core.contracts.gateway import HealthWindow
from edge_runtime.document import KeptDocument
from edge_runtime.health import HealthSums
from edge_runtime.model import ROLE_COMMITTED
from edge_runtime.reporting import save
from edge_runtime.route import Route
from edge_runtime.spool import HealthSpool, open_spool
from tests.unit.runtime.test_health import FIRST, NORMAL, opinion, window

KILLS: Final = 100
LIFE_WINDOWS_MAX: Final = 40  # a life ends after so many at most, also before the first
WAIT_S: Final = 60.0  # far above what that takes
WINDOWS_A_PERIOD: Final = 7
SENT: Final = 5  # what the site takes at once, so that some always wait


class NoFaults:
    """The disk of this test takes everything."""

    def fault(self, name: str, reason: str) -> None:
        """Never."""
        raise AssertionError((name, reason))

    def mend(self, name: str) -> None:
        """As it was."""


async def live(folder: Path, epoch: int, counted: int, taken: int) -> None:
    """One life: score, close, save, be acknowledged, until the kill.

    It tells of each window that was counted by a byte to *counted*, and of each that the site
    stored by a line to *taken*; both outlive it.
    """
    sums = HealthSums(epoch, lambda: datetime.now(UTC), KeptDocument(folder / "h"))
    told = window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL))
    async with open_spool(folder / "s", "gw-1", time.time_ns) as spool:
        await save(sums, spool, NoFaults())
        while True:
            for _ in range(WINDOWS_A_PERIOD):
                sums.take(told)
                os.write(counted, b"x")
            sums.close()
            await save(sums, spool, NoFaults())
            await send(spool, taken)


async def send(spool: HealthSpool, taken: int) -> None:
    """A heartbeat: the site stores first, and we hear of it after."""
    due = spool.due()[:SENT]
    for each in due:
        os.write(taken, f"{each.epoch} {each.number} {each.scored}\n".encode())
    await spool.stored(due)


async def rest(folder: Path, epoch: int) -> list[HealthWindow]:
    """What the last start finds, all of it."""
    with KeptDocument(folder / "h") as book:
        sums = HealthSums(epoch, lambda: datetime.now(UTC), book)
        async with open_spool(folder / "s", "gw-1", time.time_ns) as spool:
            await save(sums, spool, NoFaults())
            found: list[HealthWindow] = []
            while spool.due():
                due = spool.due()
                found += due
                await spool.stored(due)
            return found


def wait_for(counted: int, size: int) -> None:
    """Return when so many windows were counted in all."""
    end_s = time.monotonic() + WAIT_S
    while os.fstat(counted).st_size < size:
        assert time.monotonic() < end_s, "a life counted nothing"
        time.sleep(0.0005)


def test_hundred_kills(tmp_path: Path) -> None:
    """The site's sum is the number of windows counted; at most one a kill had no time to say so.

    A window that the site got twice is the same window, by its epoch and number.
    """
    chance = random.Random(7)
    counted = os.open(tmp_path / "counted", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    taken = os.open(tmp_path / "taken", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    for epoch in range(1, KILLS + 1):
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(live(tmp_path, epoch, counted, taken))
            finally:
                os._exit(1)  # only the kill ends a life
        wait_for(counted, os.fstat(counted).st_size + chance.randint(0, LIFE_WINDOWS_MAX))
        time.sleep(chance.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it died of itself"
    left = asyncio.run(rest(tmp_path, KILLS + 1))
    site: dict[tuple[int, int], int] = {}
    for line in (tmp_path / "taken").read_text().splitlines():
        told, number, scored = map(int, line.split())
        assert site.setdefault((told, number), scored) == scored
    for each in left:
        key = (each.epoch, each.number)
        assert site.setdefault(key, each.scored) == each.scored
    said = (tmp_path / "counted").stat().st_size
    assert said > KILLS
    assert said <= sum(site.values()) <= said + KILLS
