"""Downloads at a whole site: tokens, places, what a restart leaves, and what never waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_core.contracts.gateway import PullReply, PullRequest, UpdateState
from edge_core.contracts.rollout import ChangeWindow, Hold, RolloutState
from edge_site_proxy.rollout.budget import MIB, Downloads
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from edge_site_proxy.rollout.why import why_not
from edge_site_proxy.rollout.world import SiteSettings
from edge_site_proxy.site import Arrival, Site, open_store
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.gateway import BEAT_S, Gateway
from tests.unit.site_proxy.plant.plant import INVENTORY, POLICY, TARGET, V1, V2, Plant

pytestmark = pytest.mark.anyio
LIMITS = Downloads(
    budget_bytes=200 * MIB, period_s=3600.0, token_bytes=64 * MIB, pullers_max=1, lease_s=60.0
)
ALL = ("g1", "g2", "g3", "g4", "g5")


@asynccontextmanager
async def metered(
    folder: Path, limits: Downloads = LIMITS, clock: HandClock | None = None, **policy: object
) -> AsyncIterator[Plant]:
    """The plant of the other tests, where downloads are held back."""
    clock = clock or HandClock()
    clocks = clock.clocks()
    async with open_store(folder / "site.db", now=clocks.now, clock=clocks.quality) as store:
        settings = SiteSettings(
            policy=replace(POLICY, **policy), health_window_s=BEAT_S, downloads=limits
        )
        site = await Site.open(store, INVENTORY, settings, folder / "audit.key", clocks)
        gateways = {serial: Gateway(serial=serial, clock=clock) for serial in ALL}
        yield Plant(site, clock, gateways)


async def assigned(here: Plant, size: int = 100 * MIB) -> None:
    """V1 is to go to all, and everybody has heard so."""
    arrival = Arrival(
        release=V1, targets=(TARGET,), signers=("a",), author="ci", sizes={TARGET: size}
    )
    await here.site.release_arrived(arrival)
    await here.beat()
    await here.approve(V1)
    await here.site.reconcile()


async def pull(here: Plant, serial: str, missing: int = 100 * MIB) -> PullReply:
    """What *serial* is told when it asks for bytes."""
    request = PullRequest(digest=V1.digest, attempt=1, bytes_missing=missing)
    return await here.site.pull(serial, request)


async def told(here: Plant, serial: str) -> bool:
    """Whether *serial* is told that its bytes are metered."""
    _, desired = await here.site.desired(serial)
    assert desired.assignment is not None
    return desired.assignment.metered


async def test_one_after_the_other(tmp_path: Path) -> None:
    """One place: the second waits until the first has its bytes, and is told who is ahead."""
    async with metered(tmp_path) as here:
        await assigned(here)
        assert await told(here, "g1")
        assert (await pull(here, "g1")).bytes == 64 * MIB
        waits = await pull(here, "g2")
        assert waits.reason == "DEFER: 1 of 1 gateways download now (g1)"
        assert why_not(here.site.world, "g2") == waits.reason
        assert (await pull(here, "g1", 36 * MIB)).bytes == 36 * MIB
        await here.gateways["g1"].beat(here.site)
        await here.gateways["g1"].beat(here.site)
        assert here.gateways["g1"].state is UpdateState.STAGED
        await here.gateways["g1"].beat(here.site)
        await here.site.reconcile()
        assert (await pull(here, "g2")).granted
        assert "DEFER" not in why_not(here.site.world, "g2")


async def test_a_place_that_is_not_used(tmp_path: Path) -> None:
    """Whoever asks for no more loses its place, and its bytes stay counted."""
    async with metered(tmp_path) as here:
        await assigned(here)
        await pull(here, "g1")
        here.clock.turn(61.0)
        await here.site.reconcile()
        assert (await pull(here, "g2")).granted
        assert sum(here.site.world.ledger_now().slots.values()) == 128 * MIB


async def test_the_budget_holds_over_a_restart(tmp_path: Path) -> None:
    """What was given out is in the database; a restart forgets nothing and gives no more."""
    async with metered(tmp_path) as here:
        await assigned(here)
        given = [(await pull(here, "g1")).bytes for _ in range(3)]
        assert given == [64 * MIB, 64 * MIB, 64 * MIB]
    here.clock.turn(100_000.0)
    async with metered(tmp_path, clock=here.clock) as here:
        assert (await pull(here, "g1")).bytes == 8 * MIB
        over = await pull(here, "g1")
        assert "budget of 210 MB in 1 h is given out" in over.reason
        here.clock.turn(3600.0 + 150.0)
        assert (await pull(here, "g1")).granted


async def test_no_byte_that_was_not_given(tmp_path: Path) -> None:
    """The registry counts what it sends, and stops at what was given."""
    async with metered(tmp_path) as here:
        await assigned(here)
        assert not here.site.may_send("g1", 1)
        await pull(here, "g1")
        assert here.site.may_send("g1", 60 * MIB)
        assert not here.site.may_send("g1", 5 * MIB)
        assert here.site.may_send("g1", 4 * MIB)
        assert not here.site.may_send("g2", 1)


async def test_nothing_is_counted_where_nothing_is_bounded(tmp_path: Path) -> None:
    """Without limits nobody asks, and everything is sent."""
    async with metered(tmp_path, Downloads()) as here:
        await assigned(here)
        assert not await told(here, "g1")
        assert here.site.may_send("g1", 10**12)


async def test_only_what_is_assigned(tmp_path: Path) -> None:
    """Bytes of another release, or before the cohort's turn, are not given out."""
    async with metered(tmp_path) as here:
        await assigned(here)
        request = PullRequest(digest=V2.digest, attempt=1, bytes_missing=1)
        answer = await here.site.pull("g1", request)
        assert answer.reason == "this release is not assigned to the gateway"


async def test_neither_permit_nor_rollback_waits_for_bytes(tmp_path: Path) -> None:
    """With the budget gone and every place taken gateways activate, and go back."""
    async with metered(tmp_path) as here:
        await assigned(here)
        for _ in range(4):
            await pull(here, "g5")
        assert not (await pull(here, "g5")).granted
        done = await here.until(V1, RolloutState.COMPLETED)
        assert all(each.committed == V1.digest for each in here.gateways.values())
        await here.site.desk.roll_back(done.id, "wrong model", Sender("olga", etag_of(done)))
        await here.until(V1, RolloutState.ROLLED_BACK)


async def test_a_cohort_that_cannot_have_its_bytes(tmp_path: Path) -> None:
    """It is held while there is time to do something, and goes on with who has them after that."""
    async with metered(tmp_path, replace(LIMITS, budget_bytes=200 * MIB)) as here:
        await assigned(here, 100 * MIB)
        held = here.rollout(V1).header.holds
        assert held == {
            Hold.BUDGET: "cohort install needs 524 MB for 5 gateways; the site gives out 210 MB "
            "before its staging is due in 5 min; allow more, or whoever has no bytes by then is "
            "late"
        }
        for serial in ("g1", "g2", "g3"):
            for _ in range(3):
                await here.gateways[serial].beat(here.site)
        await here.site.reconcile()
        assert not here.rollout(V1).header.holds


async def test_the_deadline_ends_that_hold(tmp_path: Path) -> None:
    """After it the others go on without whoever has no bytes."""
    async with metered(tmp_path) as here:
        await assigned(here, 100 * MIB)
        for _ in range(3):
            await here.gateways["g1"].beat(here.site)
        await here.site.reconcile()
        assert Hold.BUDGET in here.rollout(V1).header.holds
        here.clock.turn(300.0)
        for serial in ALL:
            await here.site.take_status(serial, here.gateways[serial].report())
        await here.site.reconcile()
        moved = here.rollout(V1)
        assert not moved.header.holds
        assert moved.state is RolloutState.ACTIVATING
        assert set(moved.header.late) == {"g2", "g3", "g4", "g5"}


async def test_by_night_only(tmp_path: Path) -> None:
    """A site with nothing but a download window meters as well, and says when it opens."""
    night = ChangeWindow(days=[1, 2, 3, 4, 5, 6, 7], start="22:00", end="06:00")
    async with metered(tmp_path, Downloads(), download_windows=[night]) as here:
        await assigned(here)
        assert await told(here, "g1")
        answer = await pull(here, "g1")
        assert "the next download window opens at 2026-11-23 22:00 UTC" in answer.reason
        here.clock.turn(timedelta(hours=15).total_seconds())
        assert (await pull(here, "g1")).granted
