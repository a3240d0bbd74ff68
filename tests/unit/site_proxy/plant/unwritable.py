"""The story of an audit log that cannot be written, on whatever disk a test brings."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_core.contracts.gateway import PermitRequest
from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.events import Event
from edge_site_proxy.fleet.watch import Watch
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import Rollout, etag_of
from edge_site_proxy.rollout.views import view
from edge_site_proxy.rollout.why import why_not
from edge_site_proxy.store import Store, StoreUnavailableError
from tests.unit.site_proxy.alarms.test_pages import Deaf, pager
from tests.unit.site_proxy.plant.connections import pragma
from tests.unit.site_proxy.plant.plant import V1, Plant

Turn = Callable[[], Awaitable[None]]
KEY = "site/audit"
PAGES_MAX = 1 << 30


async def changes_stop_and_go_on(here: Plant, refuse: Turn, allow: Turn) -> None:
    """Nothing changes while the disk refuses; one page; all of it goes by itself.

    Args:
        here: a plant that has not begun.
        refuse: from here on the disk takes nothing.
        allow: from here on it does.
    """
    watch, wire, number = await changes_stop(here, refuse)
    await allow()
    await watch.look()
    await all_is_well(here, watch, wire, number)
    await here.until(V1, RolloutState.COMPLETED)


async def changes_stop(here: Plant, refuse: Turn) -> tuple[Watch, Deaf, int]:
    """The first half; who watched, who was paged, and the number of the alarm."""
    watch = Watch(here.site.world, here.site.store, here.site.alarms, here.site.queue)
    wire = Deaf()
    await here.arrive(V1)
    await here.beat()
    await here.approve(V1)
    rollout = await here.until(V1, RolloutState.ACTIVATING)
    await watch.look()
    await refuse()
    size = await here.site.store.read(audit_log.size_of)
    await nothing_changes(here, rollout)
    await nobody_is_lost(here)
    number = await one_page(here, watch, wire)
    assert await here.site.store.read(audit_log.size_of) == size
    return watch, wire, number


async def nothing_changes(here: Plant, rollout: Rollout) -> None:
    """Who asks for a permit waits, who orders something is told, and the rollout shows why."""
    reply = await here.site.permit(*asked(here, rollout))
    assert (reply.granted, reply.reason.startswith("DEFER: audit: database: ")) == (False, True)
    with pytest.raises(StoreUnavailableError, match="nothing was changed") as refused:
        await here.site.desk.hold(rollout.id, "look", Sender("ana", etag_of(rollout)))
    assert "\n" not in str(refused.value)
    shown = view(here.site.world, here.rollout(V1))
    assert Hold.AUDIT in shown.holds
    assert "the audit log cannot be written" in shown.why
    assert shown.etag == etag_of(rollout)
    other = rollout.plan.cohorts[0].members[-1]
    assert "the audit log cannot be written" in why_not(here.site.world, other)


async def nobody_is_lost(here: Plant) -> None:
    """Heartbeats are answered."""
    here.clock.turn(1)
    for gateway in here.gateways.values():
        heard = await here.site.take_status(gateway.serial, gateway.report())
        assert heard.checkpoint is not None


async def one_page(here: Plant, watch: Watch, wire: Deaf) -> int:
    """One alarm stands, and pages once, though neither can be written; its number."""
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await watch.look()
        await pager(here, wire).send_due()
    (alarm,) = await about_the_log(here)
    assert (alarm.state, alarm.kind, alarm.paged) == (
        AlarmState.UNACK,
        "EdgeAuditUnwritable",
        True,
    )
    assert wire.heard == [("trigger", alarm.id)]
    with pytest.raises(StoreUnavailableError, match="a log that takes who saw it"):
        await here.site.alarm_desk.ack(alarm.id, "ana", "I see")
    assert (await here.site.alarm_desk.alarm(alarm.id)) == alarm
    assert (await here.site.alarms.summary()).standing == {Priority.P1.value: 1}
    return alarm.id


async def all_is_well(here: Plant, watch: Watch, wire: Deaf, number: int) -> None:
    """It is written down from when to when, resolved under its number, and permits go out."""
    assert here.site.store.trouble is None
    assert Hold.AUDIT not in view(here.site.world, here.rollout(V1)).holds
    (kept,) = await about_the_log(here)
    raised, ended = (f"{at:%Y-%m-%dT%H:%M:%S}" for at in (kept.raised, here.clock.wall))
    assert f"so it was from {raised}+00:00 to {ended}+00:00" in kept.what
    await watch.look()
    here.clock.turn(60)
    await here.site.alarms.look()
    (kept,) = await about_the_log(here)
    assert (kept.id, kept.state, kept.raises) == (number, AlarmState.RETURNED_UNACK, 1)
    await pager(here, wire).send_due()
    assert wire.heard == [("trigger", number), ("resolve", number)]
    reply = await here.site.permit(*asked(here, here.rollout(V1)))
    assert reply.granted


def asked(here: Plant, rollout: Rollout) -> tuple[str, PermitRequest]:
    """The first of the canary asks for its permit."""
    serial = rollout.plan.cohorts[0].members[0]
    boot = here.gateways[serial].boot_epoch
    return serial, PermitRequest(digest=V1.digest, attempt=1, boot_epoch=boot)


async def about_the_log(here: Plant) -> list[AlarmView]:
    """What stands about it."""
    return [each for each in await here.site.alarms.standing() if each.source == KEY]


async def until_refused(store: Store) -> None:
    """Write events, large ones first, until not even a small one is taken."""
    for letters in (2000, 200, 0):
        event = Event("test.filled", "x", {"fill": "x" * letters})
        with suppress(StoreUnavailableError):
            while True:
                await store.change("test", [event], lambda _: None)
    assert store.trouble is not None


async def bind(here: Plant) -> None:
    """Let the database grow no more, and fill what room it has."""
    await _bound(here, 1)
    await until_refused(here.site.store)


async def unbind(here: Plant) -> None:
    """Let it grow again."""
    await _bound(here, PAGES_MAX)


async def _bound(here: Plant, pages: int) -> None:
    """Let the database have at most so many pages; fewer than it has means none more."""
    await pragma(here.site.store, f"max_page_count = {pages}")
