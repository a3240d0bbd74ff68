"""One engine with its fork server for the tests of a module."""

from collections.abc import AsyncIterator

import pytest

from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.spec import EngineConfig


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all of these, so that one fork server serves them."""
    return "asyncio"


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Engine]:
    """One engine with its fork server."""
    async with open_engine(EngineConfig(restarts_max=3)) as opened:
        yield opened
