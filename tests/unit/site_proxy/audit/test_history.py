"""What ran where and when, asked of a plant that was updated; and the log as files."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from edge_site_proxy.audit.errors import LogBrokenError, NothingRanError
from edge_site_proxy.audit.export import (
    export_log,
    open_read_only,
    verify_database,
    verify_folder,
)
from edge_site_proxy.audit.history import answer, reference_changes, what_ran
from edge_site_proxy.audit.log import leaves_after, parse
from tests.unit.site_proxy.plant.gateway import SCORED
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


async def test_what_else_is_known(tmp_path: Path) -> None:
    """Both sides of a swap, how many windows were scored, with which tags, on which clock."""
    one, two = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    async with plant(tmp_path) as here:
        gateway = here.gateways["g1"]
        gateway.config = one
        first = await here.bring(V1)
        begun = here.clock.wall
        await here.beat()
        gateway.config = two
        second = await here.bring(V2)
        store = here.site.store
        now = await store.read(lambda db: what_ran(db, "pump-g1", here.clock.wall))
        then = await store.read(lambda db: what_ran(db, "pump-g1", begun))
    assert (then.digest, then.before, then.after) == (V1.digest, None, V2.digest)
    assert (now.digest, now.before, now.after) == (V2.digest, V1.digest, None)
    assert (then.until, then.rollout, now.rollout) == (now.since, first.id, second.id)
    assert (then.config, now.config) == (one, two)
    assert then.inputs == now.inputs == ["flow plc:ns=2;s=P7.Flow", "torque mqtt:p7"]
    assert then.inferences is not None
    assert now.inferences is not None
    assert then.inferences % SCORED == now.inferences % SCORED == 0
    assert then.inferences > 0
    assert (then.clock_synchronised, then.clock_error_max_us) == (True, 10)


async def test_inputs_are_asked_for(tmp_path: Path) -> None:
    """A site that does not know a configuration asks once; a repeat is no event."""
    async with plant(tmp_path) as here:
        gateway = here.gateways["g1"]
        gateway.config = "sha256:" + "a" * 64
        asked = []
        for _ in range(4):
            await here.beat(["g1"])
            asked.append(gateway.tell_inputs)
        assert asked == [True, False, False, False]
        leaves = await here.site.store.read(lambda db: leaves_after(db, -1, 1000))
    told = [parse(leaf) for leaf in leaves if b"gateway.config_changed" in leaf]
    assert [event.facts["asset"] for event in told] == ["pump-g1"]


async def test_another_box(tmp_path: Path) -> None:
    """Where another box went on, or nobody counted, the number is not made up."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        (event,) = await here.site.store.read(lambda db: reference_changes(db, "pump-g1"))
    at = event.at
    assert answer([event], "a", at, 9).inferences is None
    assert answer([event], "a", at, 9, scored=0).inferences is None
    scored = event.facts["scored"]
    assert answer([event], "a", at, 9, scored=scored + 5).inferences == 5
    later = {**event.facts, "since": (at + timedelta(hours=1)).isoformat(), "scored": scored + 7}
    same = msgspec.structs.replace(event, sequence=event.sequence + 1, facts=later)
    other = msgspec.structs.replace(same, subject="g9")
    assert answer([event, same], "a", at, 9, scored=1).inferences == 7
    assert answer([event, other], "a", at, 9, scored=1).inferences is None
    old = {key: value for key, value in event.facts.items() if key != "scored"}
    assert answer([msgspec.structs.replace(event, facts=old)], "a", at, 9).inferences is None


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
