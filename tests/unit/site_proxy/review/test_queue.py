"""The review queue: each window once, each label kept with its author, nothing lost."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from edge_core.contracts.api import LabelRequest, LeaseRequest
from edge_core.contracts.errors import ConflictError, NotFoundError, RefusedError
from edge_core.contracts.review import UNSURE, Channel, ItemState, Routing, SuspectWindow
from edge_site_proxy.audit.log import events_about
from edge_site_proxy.fleet.errors import IdentityMismatchError
from edge_site_proxy.review.queue import PER_GATEWAY_MAX, Bounds, ReviewQueue
from tests.unit.site_proxy.plant.clocks import MONDAY
from tests.unit.site_proxy.plant.plant import INVENTORY, V1, Plant, plant

pytestmark = pytest.mark.anyio


def window(number: int, serial: str = "g1") -> SuspectWindow:
    """One strange window."""
    return SuspectWindow(
        id=f"{serial}:1:{number}",
        serial=serial,
        digest=V1.digest,
        started=MONDAY,
        ended=MONDAY + timedelta(seconds=60),
        period_s=1.0,
        channels=[Channel(role="flow", unit="L/min", values=[1.0, None, 2.0])],
        classes=["normal", "valve", "imbalance"],
        scores=[0.4, 0.35, 0.25],
        prediction="normal",
        routing=Routing.UNCERTAIN,
        why="the two best classes are close",
        inclusion_probability=0.25,
    )


async def filled(here: Plant, count: int) -> None:
    """Put *count* windows in."""
    for number in range(count):
        assert await here.site.take_window("g1", window(number))


async def test_a_repeat_is_recognised(tmp_path: Path) -> None:
    """A window that is sent twice is one item and one event."""
    async with plant(tmp_path) as here:
        assert await here.site.take_window("g1", window(1))
        assert not await here.site.take_window("g1", window(1))
        assert len(await here.site.queue.items(None, 10)) == 1
        events = await here.site.store.read(lambda db: events_about(db, "review", "1"))
        assert [event.kind for event in events] == ["review.received"]


async def test_in_its_own_name(tmp_path: Path) -> None:
    """A gateway sends windows of its own only."""
    async with plant(tmp_path) as here:
        with pytest.raises(IdentityMismatchError, match="g1"):
            await here.site.take_window("g1", window(1, "g2"))


async def test_fifty_labels(tmp_path: Path) -> None:
    """Fifty labels with a restart in the middle: none lost, none doubled, undo works."""
    async with plant(tmp_path) as here:
        await filled(here, 50)
        for item in await here.site.queue.lease("lea", LeaseRequest(count=30)):
            await here.site.queue.label(item.item, "lea", LabelRequest(label="valve", seconds=8))
    async with plant(tmp_path) as here:
        rest = await here.site.queue.lease("lea", LeaseRequest(count=30))
        assert [item.item for item in rest] == list(range(31, 51))
        for item in rest:
            await here.site.queue.label(item.item, "lea", LabelRequest(label="normal"))
            await here.site.queue.label(item.item, "lea", LabelRequest(label="normal"))
        undone = await here.site.queue.undo(50, "lea")
        assert undone.labels[0].undone
        await here.site.queue.label(50, "lea", LabelRequest(label="valve"))
        summary = await here.site.queue.summary()
        assert (summary.open, summary.labelled) == (0, 50)
        lines = [json.loads(line) for line in await here.site.queue.export()]
        assert len({line["window"] for line in lines}) == 50
        assert lines[49]["label"] == "valve"
        assert len(lines[49]["history"]) == 2


async def test_export_has_what_trust_takes(tmp_path: Path) -> None:
    """Digest, labeller, inclusion probability and the window's hash; unsure is never exported."""
    async with plant(tmp_path) as here:
        await filled(here, 2)
        await here.site.queue.label(1, "lea", LabelRequest(label="valve"))
        await here.site.queue.label(2, "lea", LabelRequest(label=UNSURE))
        (line,) = [json.loads(line) for line in await here.site.queue.export()]
        assert line["digest"] == V1.digest
        assert line["labeller"] == "lea"
        assert line["pi"] == 0.25
        assert len(line["window_sha256"]) == 64
        assert line["channels"][0]["values"] == [1.0, None, 2.0]


async def test_one_asset_is_found_behind_a_crowd(tmp_path: Path) -> None:
    """Whoever looks for one pump sees its windows, however many of another came before."""
    async with plant(tmp_path) as here:
        await filled(here, 60)
        assert await here.site.take_window("g2", window(1, "g2"))
        queue = here.site.queue
        (mine,) = await queue.lease("lea", LeaseRequest(count=50, asset="pump-g2"))
        assert mine.asset == "pump-g2"
        assert await queue.items(None, 10, asset="pump-g2") == [mine]
        assert not await queue.lease("lea", LeaseRequest(asset="pump-g9"))


async def test_a_lease_keeps_others_out_for_a_while(tmp_path: Path) -> None:
    """Two labellers do not meet on one window; after the lease it is free again."""
    async with plant(tmp_path) as here:
        await filled(here, 2)
        (mine,) = await here.site.queue.lease("lea", LeaseRequest(count=1, seconds=60))
        assert mine.state is ItemState.LEASED
        (theirs,) = await here.site.queue.lease("max", LeaseRequest(count=5, seconds=60))
        assert theirs.item != mine.item
        with pytest.raises(ConflictError, match="lea has it"):
            await here.site.queue.label(mine.item, "max", LabelRequest(label="valve"))
        here.clock.turn(61)
        await here.site.queue.label(mine.item, "max", LabelRequest(label="valve"))
        with pytest.raises(ConflictError, match="found labelled"):
            await here.site.queue.label(mine.item, "lea", LabelRequest(label="normal"))
        with pytest.raises(ConflictError, match="found one by max"):
            await here.site.queue.undo(mine.item, "lea")


async def test_refusals(tmp_path: Path) -> None:
    """A label that is no class of the window, and an item that is none."""
    async with plant(tmp_path) as here:
        await filled(here, 1)
        with pytest.raises(RefusedError, match="expected one of normal, valve, imbalance, unsure"):
            await here.site.queue.label(1, "lea", LabelRequest(label="leak"))
        with pytest.raises(NotFoundError, match="queue item 99"):
            await here.site.queue.label(99, "lea", LabelRequest(label="valve"))


async def test_caps(tmp_path: Path) -> None:
    """A full queue lets its oldest open items go, and so does one for a noisy gateway."""
    async with plant(tmp_path) as here:
        clocks = here.clock.clocks()
        queue = ReviewQueue(here.site.store, Bounds(3, 3600), clocks.now, clocks.monotonic)
        for number in range(5):
            await queue.take(INVENTORY.gateways[0], window(number))
        summary = await queue.summary()
        assert (summary.open, summary.expired) == (3, 2)
        here.clock.turn(3601)
        await queue.expire_due()
        assert (await queue.summary()).open == 0
        assert PER_GATEWAY_MAX < 2000
