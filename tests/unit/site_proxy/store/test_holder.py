"""One at a time holds a state folder, and each that did has a higher number."""

from pathlib import Path

import pytest

from edge_core.contracts.errors import TryAgainError
from edge_site_proxy.rollout.world import SiteSettings
from edge_site_proxy.site import Site, open_store
from edge_site_proxy.store.holder import holding
from tests.unit.site_proxy.plant.clocks import MONDAY, HandClock
from tests.unit.site_proxy.plant.plant import INVENTORY, POLICY


def test_one_at_a_time(tmp_path: Path) -> None:
    """The second is refused in words that name the first; afterwards the folder is free."""
    with holding(tmp_path / "site.lock") as first:
        first.note(17, MONDAY)
        with (
            pytest.raises(TryAgainError, match=r"epoch 17, since 2026-11-23 08:00:00 UTC"),
            holding(tmp_path / "site.lock"),
        ):
            pass
    with holding(tmp_path / "site.lock") as second:
        assert second.last == 17


def test_before_anything_was_noted(tmp_path: Path) -> None:
    """One that has said nothing yet holds the folder all the same."""
    with (
        holding(tmp_path / "site.lock") as first,
        pytest.raises(TryAgainError, match="found one at work"),
        holding(tmp_path / "site.lock"),
    ):
        assert first.last == 0


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"\x00" * 300, b'{"process":1,"epoch":"x"}', b"[" * 999]
)
def test_a_file_that_makes_no_sense(tmp_path: Path, said: bytes) -> None:
    """Whatever stands in the file, the lock is what counts; a short note leaves nothing behind."""
    path = tmp_path / "site.lock"
    path.write_bytes(said)
    with holding(path) as holder:
        assert holder.last == 0
        holder.note(123_456, MONDAY)
        holder.note(5, MONDAY)
    with holding(path) as again:
        assert again.last == 5


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """One line says so."""
    with pytest.raises(TryAgainError, match="lock file"), holding(tmp_path / "none" / "site.lock"):
        pass


@pytest.mark.anyio
async def test_the_number_outlives_the_database(tmp_path: Path) -> None:
    """An old copy of the database beside the lock file begins above every epoch that was."""
    clocks = HandClock().clocks()
    store = open_store(tmp_path / "site.db", now=clocks.now, clock=clocks.quality)
    async with store:
        settings = SiteSettings(policy=POLICY)
        key = tmp_path / "audit.key"
        site = await Site.open(store, INVENTORY, settings, key, clocks, fence=90_000)
        assert site.world.epoch > 90_000
