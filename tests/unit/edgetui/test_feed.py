"""The feed: fresh while the site speaks, STALE when it is silent, and back by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.rollout import RolloutState
from edgetui.feed import AUDIT, GATEWAYS, Feed, Pace
from tests.simulators.site import Site, serve
from tests.unit.edgetui.made import QUICK, Clock

pytestmark = pytest.mark.anyio
NAME = "ro-07-soaking"
WAIT_S = 20.0


@asynccontextmanager
async def following(socket: Path, pace: Pace = QUICK) -> AsyncIterator[tuple[Feed, Clock]]:
    """A feed at work."""
    clock = Clock()
    feed = Feed(socket, clock, lambda: None, pace)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(feed.run())
        yield feed, clock
        work.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until *holds*."""
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def state(feed: Feed) -> RolloutState | None:
    """What the feed knows of one rollout."""
    view = feed.seen.rollout(NAME)
    return None if view is None else view.state


async def test_a_change_is_seen_long_before_the_next_poll(tmp_path: Path) -> None:
    """The live feed wakes the console; it does not wait for its own clock."""
    slow = Pace(poll_s=600.0, between_s=0.01)
    site = Site()
    async with serve(site, tmp_path / "s"), following(tmp_path / "s", slow) as (feed, _):
        await until(lambda: state(feed) is RolloutState.SOAKING)
        await until(lambda: bool(site.feeds))
        view = msgspec.structs.replace(site.rollouts[NAME], state=RolloutState.COMPLETED)
        site.put(view)
        site.touch("rollout", NAME)
        await until(lambda: state(feed) is RolloutState.COMPLETED)


async def test_silence_is_noticed_whatever_the_connection_claims(tmp_path: Path) -> None:
    """A site that holds the connection and says nothing is STALE after the limit."""
    site = Site()
    async with serve(site, tmp_path / "s"), following(tmp_path / "s") as (feed, clock):
        await until(lambda: not feed.stale)
        site.silent = True
        clock.forward(QUICK.silent_s + 1)
        await until(lambda: feed.stale)


async def test_a_site_that_comes_back_is_followed_again(tmp_path: Path) -> None:
    """After a restart of the site the feed goes on by itself, and the trouble is over."""
    async with following(tmp_path / "s") as (feed, clock):
        await until(lambda: "does it run" in feed.trouble)
        assert feed.stale
        async with serve(Site(), tmp_path / "s"):
            await until(lambda: not feed.stale and not feed.trouble)
        await until(lambda: bool(feed.trouble))
        clock.forward(3600.0)
        await until(lambda: feed.stale)
        site = Site()
        site.put(msgspec.structs.replace(site.rollouts[NAME], state=RolloutState.CANCELLED))
        async with serve(site, tmp_path / "s"):
            await until(lambda: not feed.stale and state(feed) is RolloutState.CANCELLED)


async def test_gateways_are_read_only_when_wanted(tmp_path: Path) -> None:
    """The list comes with the screen that shows it, and health for those in sight."""
    site = Site()
    async with serve(site, tmp_path / "s"), following(tmp_path / "s") as (feed, _):
        await until(lambda: not feed.stale)
        assert feed.seen.gateways == {}
        feed.see("gw-0003")
        feed.want(GATEWAYS)
        await until(lambda: len(feed.seen.gateways) == 37)
        await until(lambda: bool(feed.seen.gateways["gw-0003"].health))
        assert not feed.seen.gateways["gw-0020"].health


async def test_a_gateway_that_changed_is_read_again(tmp_path: Path) -> None:
    """One change is one gateway read, not the whole fleet."""
    pace = Pace(poll_s=600.0, between_s=0.01, fleet_poll_s=600.0)
    site = Site()
    async with serve(site, tmp_path / "s"), following(tmp_path / "s", pace) as (feed, _):
        feed.want(GATEWAYS)
        await until(lambda: len(feed.seen.gateways) == 37)
        await until(lambda: bool(site.feeds))
        changed = msgspec.structs.replace(site.gateways["gw-0005"], safe_mode=True)
        site.gateways["gw-0005"] = changed
        site.touch("gateway", "gw-0005")
        await until(lambda: feed.seen.gateways["gw-0005"].safe_mode)


async def test_the_audit_tail_is_the_newest(tmp_path: Path) -> None:
    """Of a long log the last events are shown."""
    site = Site()
    for number in range(300):
        site.record("gateway.told", "gw-0001", {"n": number})
    async with serve(site, tmp_path / "s"), following(tmp_path / "s") as (feed, _):
        feed.want(AUDIT)
        await until(lambda: bool(feed.seen.audit))
        assert feed.seen.audit[-1].sequence == site.audit[-1].sequence
        assert len(feed.seen.audit) == 200
