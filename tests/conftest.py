"""What every test shares: the one event loop we support, and Hypothesis without a stopwatch."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong; how fast things are is what `bench` says.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("house")


@pytest.fixture
def anyio_backend() -> str:
    """Daemons run on asyncio alone, since asyncua and aiomqtt know nothing else."""
    return "asyncio"
