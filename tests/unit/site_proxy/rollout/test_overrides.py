"""Operators who turn a release down in its first hour page somebody, proved or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_core.contracts.api import AlarmState, Priority
from edge_core.contracts.gates import GateLimits
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.fleet.watch import Watch
from edge_site_proxy.rollout.gates.evidence import EMPTY, History
from edge_site_proxy.rollout.gates.overrides import turned_down
from edge_site_proxy.rollout.orders import Sender
from tests.unit.site_proxy.plant.gateway import Behaviour
from tests.unit.site_proxy.plant.plant import V1, V2, Plant, plant
from tests.unit.site_proxy.rollout.test_evidence import told, window

LIMITS = GateLimits(overrides_page_min=3, ratio_worst=3.0)
NEVER = History(exposure_s=100 * 3600.0)
TWICE_AN_HOUR = History(exposure_s=100 * 3600.0, overrides=200)


@dataclass(frozen=True)
class Row:
    """Minutes at which a verdict was overridden, and what was usual; what is said."""

    minutes: Sequence[int]
    history: History | None
    words: str = ""


ROWS = {
    "nobody overrides": Row([], NEVER),
    "twice may be chance": Row([5, 50], NEVER),
    "three times, and never before": Row(
        [5, 30, 55], NEVER, "3 verdicts overridden in the first hour, usually 0 an hour"
    ),
    "three times, of which one came later": Row([5, 30, 60], NEVER),
    "a gateway without a history": Row(
        [5, 5, 5], None, "3 verdicts overridden in the first hour, usually 0 an hour"
    ),
    "a history of no time is none": Row(
        [5, 5, 5], History(), "3 verdicts overridden in the first hour, usually 0 an hour"
    ),
    "three times what is usual": Row([0, 10, 20, 30, 40, 50], TWICE_AN_HOUR),
    "more than that": Row(
        [0, 10, 20, 30, 40, 50, 55],
        TWICE_AN_HOUR,
        "7 verdicts overridden in the first hour, usually 2 an hour",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_turned_down(name: str) -> None:
    """What is said of one gateway, in whatever order its windows came."""
    row = ROWS[name]
    windows = [window(each, overrides=1) for each in row.minutes]
    for order in (windows, windows[::-1]):
        running = told([window(), *order])
        assert turned_down(running, row.history, LIMITS) == row.words


def test_one_window_may_hold_them_all() -> None:
    """Overrides are counted, not windows with overrides; and nothing seen is nothing to say."""
    assert turned_down(told([window(overrides=3)]), NEVER, LIMITS)
    assert turned_down(EMPTY, NEVER, LIMITS) == ""


def watch(here: Plant) -> Watch:
    """The task, to be asked by hand."""
    site = here.site
    return Watch(site.world, site.store, site.alarms, site.queue)


@pytest.mark.anyio
async def test_a_page(tmp_path: Path) -> None:
    """One page a rollout, while nothing is proved; it goes when the rollout has ended."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        for each in here.gateways.values():
            each.models[V2.digest] = Behaviour(overridden=1)
        await here.arrive(V2)
        await here.approve(V2)
        await here.until(V2, RolloutState.SOAKING)
        for _ in range(3):
            await here.beat()
        await watch(here).look()
        await watch(here).look()
        (alarm,) = await here.site.alarms.standing()
        assert alarm.priority is Priority.P1
        assert "operators turn it down on 1 gateways" in alarm.what
        assert alarm.runbook.endswith("operator-overrides.md")
        assert len(await here.site.store.read(pages)) == 1
        await here.site.desk.roll_back(here.rollout(V2).id, "the shift says so", Sender("o", None))
        await here.until(V2, RolloutState.ROLLED_BACK)
        await watch(here).look()
        (alarm,) = await here.site.alarms.standing()
        assert alarm.state is AlarmState.RETURNED_UNACK
