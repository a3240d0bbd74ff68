"""A database that cannot grow: changes stop, everything else goes on, and it clears by itself."""

from functools import partial
from pathlib import Path

import pytest

from edge_site_proxy.store import StoreUnavailableError
from tests.unit.site_proxy.plant.plant import plant
from tests.unit.site_proxy.plant.unwritable import bind, changes_stop_and_go_on, unbind

pytestmark = pytest.mark.anyio


async def test_full(tmp_path: Path) -> None:
    """The whole story on a database that may not grow."""
    async with plant(tmp_path) as here:
        await changes_stop_and_go_on(here, partial(bind, here), partial(unbind, here))


async def test_a_mistake_is_no_trouble(tmp_path: Path) -> None:
    """A statement that SQLite refuses says nothing about the disk."""
    async with plant(tmp_path) as here:
        store = here.site.store
        with pytest.raises(StoreUnavailableError):
            await store.change("x", [], lambda tx: tx.db.execute("INSERT INTO nowhere VALUES (1)"))
        assert store.trouble is None
