"""What every test shares: one event loop, no stopwatch, logs of its own, and S16 at its end.

And the order of files: those that take longest begin first, so that no process waits for them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings

from edge_site_proxy.audit.export import check_state
from edge_site_proxy.store import Store

# A busy machine is slow, not wrong; how fast things are is what `bench` says.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# The same few examples for each of hundreds of mutants, and no search for the smallest that fails.
settings.register_profile(
    "mutants",
    parent=settings.get_profile("house"),
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
# Longest first; everything else follows in whatever order it was shuffled into.
LONGEST = (
    "trips/test_story.py",
    "real/test_disk.py",
    "unit/site_proxy/rollout/test_plant_search.py",
    "real/test_gateway_opcua.py",
    "unit/site_proxy/rollout/test_any_order.py",
    "unit/packing/test_kinds.py",
    "real/test_opcua_resumption.py",
    "unit/edgetui/test_console.py",
    "unit/runtime/test_gateway.py",
    "real/test_console_rollback.py",
    "unit/site_proxy/rollout/test_catch_up.py",
    "real/test_opcua_security.py",
    "real/test_clock_off.py",
    "unit/fixtures/test_models.py",
    "unit/packing/test_commands.py",
    "real/test_commission.py",
)

settings.load_profile(os.environ.get("EDGE_HYPOTHESIS_PROFILE", "house"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `LONGEST` in front; a file stays together."""
    folder = Path(__file__).parent
    place = {folder / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture
def anyio_backend() -> str:
    """Daemons run on asyncio alone, since asyncua and aiomqtt know nothing else."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Where a daemon under test sends its log is not where the next test's goes."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def state_is_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of every store that a test opened is what its log leads to (S16)."""
    close = Store.close

    async def checked(store: Store) -> None:
        try:
            await store.read(check_state)
        finally:
            await close(store)

    monkeypatch.setattr(Store, "close", checked)
