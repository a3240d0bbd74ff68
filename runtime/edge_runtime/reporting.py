"""Closes health windows when their period ends, and sees them safe before they are let go."""

import asyncio
from collections.abc import Callable
from typing import Final

from edge_core.contracts.errors import EdgeError
from edge_runtime.faults import Faults
from edge_runtime.health import HealthSums
from edge_runtime.spool import HealthSpool

LOOK_S: Final = 1.0  # the site may shorten the period while we wait for the end of a long one


async def close_health_windows(
    health: HealthSums,
    spool: HealthSpool,
    period_s: Callable[[], float],
    faults: Faults,
    monotonic: Callable[[], float],
) -> None:
    """One health window a model and period, for ever; first what the last life left.

    Args:
        health: where they are filled.
        spool: where they are kept until the site has them.
        period_s: how long one is, as the site wants it now.
        faults: hears of a disk that takes none.
        monotonic: the clock of periods.
    """
    await save(health, spool, faults)
    begun_s = monotonic()
    while True:
        left_s = begun_s + period_s() - monotonic()
        if left_s > 0:
            await asyncio.sleep(min(left_s, LOOK_S))
            continue
        begun_s = monotonic()
        health.close()
        await save(health, spool, faults)


async def save(health: HealthSums, spool: HealthSpool, faults: Faults) -> None:
    """Put every closed window into the spool; one that is not safe stays in the book."""
    unkept = health.unkept
    if not unkept:
        return
    try:
        await spool.add(unkept)
    except EdgeError as error:
        faults.fault("spool", str(error))
        return
    health.kept(unkept)
    faults.mend("spool")
