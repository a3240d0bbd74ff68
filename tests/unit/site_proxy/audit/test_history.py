"""What ran where and when, asked of a plant that was updated; and the log as files."""

from datetime import timedelta
from pathlib import Path

import pytest

from edge_site_proxy.audit.errors import LogBrokenError, NothingRanError
from edge_site_proxy.audit.export import (
    export_log,
    open_read_only,
    verify_database,
    verify_folder,
)
from edge_site_proxy.audit.history import reference_changes, what_ran
from edge_site_proxy.audit.log import leaves_after, parse
from tests.unit.site_proxy.plant.plant import V1, V2, plant

pytestmark = pytest.mark.anyio


async def test_what_ran(tmp_path: Path) -> None:
    """Before, between and after two swaps, with the exact boundary, signers and approval."""
    async with plant(tmp_path) as here:
        start = here.clock.wall
        await here.bring(V1)
        await here.bring(V2)
        store = here.site.store
        changes = await store.read(lambda db: reference_changes(db, "pump-g1"))
        swaps = [event.facts["effective"] for event in changes]
        assert swaps == [V1.digest, V2.digest]
        end = here.clock.wall
        last = await store.read(lambda db: what_ran(db, "pump-g1", end))
        assert last.release == V2
        assert last.until is None
        assert last.signers == ["key-a", "key-b"]
        assert [each["ticket"] for each in last.approvals] == ["CHG-1042"]
        boundary = last.since
        assert boundary is not None
        moment = boundary - timedelta(microseconds=1)
        before = await store.read(lambda db: what_ran(db, "pump-g1", moment))
        assert before.release == V1
        assert before.until == boundary
        early = start - timedelta(days=1)
        nothing = await store.read(lambda db: what_ran(db, "pump-g1", early))
        assert nothing.digest is None


async def test_unknown_asset(tmp_path: Path) -> None:
    """An asset that the log never heard of is not "nothing ran"."""
    async with plant(tmp_path) as here:
        with pytest.raises(NothingRanError, match="pump-99"):
            await here.site.store.read(lambda db: what_ran(db, "pump-99", here.clock.wall))


async def test_export_verifies(tmp_path: Path) -> None:
    """A log of a whole rollout, written out while the site runs, verifies from its files."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.site.notary.sign()
        db = open_read_only(tmp_path / "site.db")
        public = here.site.notary.public
        count = export_log(db, tmp_path / "export", public)
        assert verify_folder(tmp_path / "export").size == count
        assert verify_database(db, public).size == count
        db.close()
    lines = (tmp_path / "export" / "audit.jsonl").read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"site-proxy", b"site-prozy").replace(b"gateway", b"gatewax")
    (tmp_path / "export" / "audit.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(LogBrokenError) as caught:
        verify_folder(tmp_path / "export")
    assert caught.value.first_bad == 5


async def test_every_event_has_somebody(tmp_path: Path) -> None:
    """Who did it is never empty, and the numbers have no hole."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        leaves = await here.site.store.read(lambda db: leaves_after(db, -1, 10_000))
        events = [parse(leaf) for leaf in leaves]
        assert [event.sequence for event in events] == list(range(len(events)))
        assert all(event.who for event in events)
