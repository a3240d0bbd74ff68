"""Says which of our own small files the disk does not take, and that it takes them again."""

import asyncio
from collections.abc import Sequence
from typing import Final

from edge_runtime.faults import Faults
from edge_runtime.inplace import InPlaceFile

FAULT: Final = "disk"
LOOK_S: Final = 1.0


async def tell_refusals(files: Sequence[InPlaceFile], faults: Faults) -> None:
    """Look at *files* for ever; they share a disk, so the first that fails speaks for all."""
    while True:
        look(files, faults)
        await asyncio.sleep(LOOK_S)


def look(files: Sequence[InPlaceFile], faults: Faults) -> None:
    """Look once."""
    failure = next((file.failure for file in files if file.failure), "")
    if failure:
        faults.fault(FAULT, failure)
    else:
        faults.mend(FAULT)
