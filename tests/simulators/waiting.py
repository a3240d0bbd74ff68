"""Waits for what another process brings about: looks again and again, but not for ever."""

import asyncio
from collections.abc import Callable

DEADLINE_S = 120.0  # far more than anything here takes, also on a machine with other work
PAUSE_S = 0.005


async def until(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as *holds* does; *what* is said where it never does."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # noqa: ASYNC110 - another process knows no event of ours
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:g} s: {what}") from None
