"""Work that may fail, in a task of its own: its end is never taken for ours."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def attempt(work: Coroutine[Any, Any, None]) -> None:  # Any: never sent into
    """Carry out *work* in a task of its own.

    Whatever libraries cancel while their connection dies is that task. The group itself never
    sees an error: on Python 3.11 one that does leaves the task that waits for it marked as
    cancelled, or forgets that it was.

    Raises:
        Exception: whatever *work* raised, as itself.
        asyncio.CancelledError: we were cancelled, whatever *work* raised when it was.
    """
    failed: list[Exception] = []

    async def carry_out() -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - raised below as itself
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        group.create_task(carry_out())
    if failed:
        raise failed[0]
