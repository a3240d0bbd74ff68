"""Memory of connections that have ended: given back once there are many."""

import asyncio

import pytest

from edge_site_proxy.api.gateway.memory import MANY, Ended, give_back, trim

pytestmark = pytest.mark.anyio


async def test_given_back_once_many_have_ended() -> None:
    """Not for one fewer, and once for all of them."""
    ended, asked = Ended(MANY - 1), asyncio.Semaphore(0)
    loop, times = asyncio.get_running_loop(), list[int]()

    def trimmed() -> None:
        times.append(ended.count)
        loop.call_soon_threadsafe(asked.release)

    async with asyncio.TaskGroup() as group:
        giving = group.create_task(give_back(ended, trimmed, 0.0))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not times
        ended.count += 1
        await asked.acquire()
        for _ in range(50):
            await asyncio.sleep(0)
        ended.count += MANY
        await asked.acquire()
        giving.cancel()
    assert times == [MANY, 2 * MANY]


def test_this_machine_takes_it() -> None:
    """Asked for real, nothing breaks."""
    trim()
