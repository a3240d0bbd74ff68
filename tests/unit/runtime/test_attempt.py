"""An attempt that fails is the attempt's own failure, whoever is told to end meanwhile."""

import asyncio

import pytest

from edge_runtime.attempt import attempt

pytestmark = pytest.mark.anyio


async def fail(*, at_end: bool) -> None:
    """Fail at once, or when told to end."""
    try:
        await asyncio.sleep(3600 if at_end else 0.01)
    finally:
        raise OSError("the link is gone")


async def test_fails() -> None:
    """Its error is raised as itself, and we are as we were: nobody has cancelled us."""
    for _ in range(3):
        with pytest.raises(OSError, match="the link is gone"):
            await attempt(fail(at_end=False))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancelled() -> None:
    """Told to end we end, though the attempt fails at that."""

    async def again_and_again() -> None:
        while True:
            with pytest.raises(OSError, match="the link is gone"):
                await attempt(fail(at_end=True))

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(again_and_again())
        await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()
