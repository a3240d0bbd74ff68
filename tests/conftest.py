"""What every test shares: the one event loop we support."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Daemons run on asyncio alone, since asyncua and aiomqtt know nothing else."""
    return "asyncio"
