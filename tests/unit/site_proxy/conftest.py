"""What holds after every test of the site proxy, whatever it was about."""

import pytest

from edge_site_proxy.audit.export import check_state
from edge_site_proxy.store import Store


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
