"""A release that fails its gate where the plan says that the site itself takes it back."""

from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.rollout import Hold, OnFail, RolloutState
from edge_core.contracts.shown import shown_digest
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.audit.log import events_about
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from edge_site_proxy.rollout.views import view
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.gateway import Behaviour
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, V3, Plant, plant

pytestmark = pytest.mark.anyio
ITSELF = msgspec.structs.replace(POLICY, on_fail=OnFail.AUTO_ROLLBACK)
BAD_IN_CHARGE = Behaviour(disagrees=0.6, hides=True)


class SiteDiedError(Exception):
    """The site's process ends here."""


async def begin(here: Plant) -> None:
    """V2 everywhere, then V3, which is bad once it is in charge and has gone beyond the canary."""
    await here.bring(V1)
    await here.bring(V2)
    await here.arrive(V3)
    await here.beat()
    await here.approve(V3)
    await here.until(V3, RolloutState.SOAKING)
    for each in here.gateways.values():
        each.models[V3.digest] = BAD_IN_CHARGE


async def said_of(here: Plant) -> list[AuditEvent]:
    """What the log says of the rollout of V3."""
    name = here.rollout(V3).id
    found = await here.site.store.read(partial(events_about, noun="rollout", subject=name))
    return [each for each in found if each.subject == name]


async def test_the_site_takes_it_back(tmp_path: Path) -> None:
    """Gate failed, held, ordered back by the site in a new epoch; one page; everybody is back."""
    async with plant(tmp_path, policy=ITSELF) as here:
        await begin(here)
        before = here.site.world.epoch
        done = await here.until(V3, RolloutState.ROLLED_BACK)
        assert here.site.world.epoch == done.header.rollback_epoch == before + 1
        for _ in range(10):
            await here.beat()
        assert {each.committed for each in here.gateways.values()} == {V2.digest}
        order = [each for each in await said_of(here) if each.kind == "rollout.rollback_ordered"]
        assert [each.who for each in order] == ["site-proxy"]
        open_pages = await here.site.store.read(pages)
        assert [page.alarm.runbook.rpartition("/")[2] for page in open_pages] == ["gate-failed.md"]
        assert "the site takes back" in open_pages[0].alarm.consequence


async def test_in_spite_of_a_hold(tmp_path: Path) -> None:
    """A person's hold keeps gateways from moving on, never from going back."""
    async with plant(tmp_path, policy=ITSELF) as here:
        await begin(here)
        rollout = here.rollout(V3)
        await here.site.desk.hold(rollout.id, "wait", Sender("olga", etag_of(rollout)))
        done = await here.until(V3, RolloutState.ROLLED_BACK)
        assert set(done.header.holds) == {Hold.OPERATOR, Hold.GATE_FAIL}


async def test_a_crash_in_between(tmp_path: Path) -> None:
    """Held when the site died: the order follows at its next start, and nobody is paged again."""
    clock, alive = HandClock(), [True]

    def stamp() -> datetime:
        if not alive[0] and Hold.GATE_FAIL in here.rollout(V3).header.holds:
            raise SiteDiedError
        return clock.wall

    async with plant(tmp_path, policy=ITSELF, clock=clock, stamp=stamp) as here:
        await begin(here)
        alive[0] = False
        with pytest.raises(SiteDiedError):
            await here.until(V3, RolloutState.ROLLING_BACK)
    async with plant(tmp_path, policy=ITSELF, clock=clock) as again:
        assert again.rollout(V3).header.rollback_epoch is not None
        again.gateways = here.gateways
        await again.until(V3, RolloutState.ROLLED_BACK)
        assert len(await again.site.store.read(pages)) == 1


async def test_nothing_to_go_back_to(tmp_path: Path) -> None:
    """The first release of a plant stays held: no model at all is a person's word."""
    async with plant(tmp_path, policy=ITSELF) as here:
        for each in here.gateways.values():
            each.models[V1.digest] = Behaviour(veto="smoke")
        await here.arrive(V1)
        await here.beat()
        await here.approve(V1)
        for _ in range(20):
            await here.beat()
        held = here.rollout(V1)
        assert held.open
        assert Hold.GATE_FAIL in held.header.holds
        (page,) = [a for a in await here.site.alarms.standing() if a.priority is Priority.P1]
        assert "the rollout is held" in page.consequence


async def test_it_is_signed(tmp_path: Path) -> None:
    """What a failed gate leads to is among what an approver signs."""
    async with plant(tmp_path, policy=ITSELF) as here:
        await here.arrive(V1)
        shown = view(here.site.world, here.rollout(V1))
        assert shown.on_fail is OnFail.AUTO_ROLLBACK
        other = msgspec.structs.replace(shown, on_fail=OnFail.PAUSE)
        assert shown_digest(other) != shown_digest(shown)
