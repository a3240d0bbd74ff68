"""A canary fails its gate: nobody else is touched, one page, and a person takes it back."""

from pathlib import Path

import pytest

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.alarms.pages.queue import pages
from tests.trips.test_console_at_site import site
from tests.trips.test_exceptions_at_site import Commands
from tests.unit.edgetui.made import at_console
from tests.unit.site_proxy.plant.gateway import SCORED, Behaviour
from tests.unit.site_proxy.plant.plant import V1, V2

pytestmark = pytest.mark.anyio


async def test_canary_fails_its_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong in charge while its alarms look fine: held, measured, paged once, taken back."""
    async with site(tmp_path) as (here, socket):
        commands = Commands(socket, capsys)
        await here.bring(V1)
        for each in here.gateways.values():
            each.models[V2.digest] = Behaviour(outside=0.9, hides=True)
        rollout = (await here.arrive(V2)).id
        canary = here.rollout(V2).plan.cohorts[0].members[0]
        await here.approve(V2)
        while Hold.GATE_FAIL not in here.rollout(V2).header.holds:
            await here.beat()
        others = {serial: each for serial, each in here.gateways.items() if serial != canary}
        assert here.gateways[canary].effective == V2.digest
        assert {each.committed for each in others.values()} == {V1.digest}
        assert {each.state for each in others.values()} == {UpdateState.COMMITTED}
        for _ in range(20):
            await here.beat()
        assert {each.committed for each in others.values()} == {V1.digest}
        due = [page.alarm for page in await here.site.store.read(pages)]
        assert [page.source for page in due] == [f"rollout/{rollout}/gate"]
        assert due[0].runbook.endswith("gate-failed.md")

        (report,) = await commands.said("gates", rollout)
        (domain,) = [row for row in report["measurements"] if row["gate"] == "domain"]
        assert (report["verdict"], report["by"], domain["verdict"]) == ("fail", ["domain"], "fail")
        assert domain["value"] > domain["limit"]
        async with at_console(socket) as person:
            await person.press("f2")
            await person.shows(rollout, "HELD")

        before = here.gateways[canary].window
        why = "blind on the recipe of line L1"
        assert await commands.code("rollback", rollout, "--reason", why) == 0
        await here.until(V2, RolloutState.ROLLED_BACK)
        await here.beat()
        gateway = here.gateways[canary]
        assert (gateway.committed, gateway.report().running) == (V1.digest, V1.digest)
        # A window each beat, before, in and after the way back: none is missing.
        assert gateway.window - before >= 3
        windows = (await commands.said("gateway", canary))["health"]
        numbers = sorted(each["number"] for each in windows)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert {each["scored"] for each in windows} == {SCORED}
        assert len(await here.site.store.read(pages)) == 1
        events = await commands.said("audit", "--limit", "500", "--filter", "rollback_ordered")
        assert [event["facts"]["reason"] for event in events] == [why]
