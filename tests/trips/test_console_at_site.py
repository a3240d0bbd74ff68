"""The command trip: keys, operator API, audit and state, and back on the screen."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_core.contracts.api import Role, TelemetryView
from edge_core.contracts.plant import Inventory
from edge_core.contracts.rollout import Hold, Policy, RolloutState
from edge_site_proxy.api.operator.app import operator_app
from edge_site_proxy.api.operator.server import serve
from edge_site_proxy.api.operator.settings import OperatorSettings
from tests.unit.edgetui.made import Person, at_console
from tests.unit.site_proxy.plant.plant import INVENTORY, POLICY, V1, Plant, plant

pytestmark = pytest.mark.anyio
NAME = "pump-condition-1.0.0-r1"


def nothing_waits() -> TelemetryView:
    """A telemetry buffer with nothing in it."""
    return TelemetryView(
        state="ok",
        waiting_records=0,
        bytes=0,
        oldest_age_s=None,
        upstream_ok=True,
        upstream_since=None,
    )


def everybody(uid: int) -> tuple[str, frozenset[str]]:
    """Whoever runs this test may do everything."""
    assert uid == os.getuid()
    return "ana", frozenset(role.value for role in Role)


@asynccontextmanager
async def site(
    folder: Path, *, policy: Policy = POLICY, inventory: Inventory = INVENTORY
) -> AsyncIterator[tuple[Plant, Path]]:
    """A site proxy's operator API in front of a plant."""
    settings = OperatorSettings(socket=folder / "o.sock")
    async with (
        plant(folder, policy=policy, inventory=inventory) as here,
        asyncio.TaskGroup() as group,
    ):
        app = operator_app(
            here.site,
            settings,
            telemetry=nothing_waits,
            enrolled=lambda _: True,
            lookup=everybody,
        )
        server = group.create_task(serve(app, settings))
        await asyncio.sleep(0)  # the server's first step makes the socket
        yield here, settings.socket
        server.cancel()


async def open_dialog(person: Person, key: str, title: str) -> None:
    """Arm, press a capital key, wait for its dialog."""
    await person.press("e")
    await person.press(key)
    await person.shows(title, "F9 sign")
    person.clock.forward(1.0)


async def test_approve_and_hold_from_the_console(tmp_path: Path) -> None:
    """Approved by keys: ticket, who and plan are at the site; a hold follows, and is shown."""
    async with site(tmp_path) as (here, socket):
        await here.arrive(V1)
        await here.beat()
        async with at_console(socket) as person:
            await person.shows("APPROVE")
            await person.press("f2")
            await person.shows(f"> {NAME}")
            await open_dialog(person, "A", f"APPROVE {NAME}")
            await person.type("L1\tCHG-1042\tas agreed")
            await person.press("f9")
            await person.shows(f"{NAME}: signed")
            rollout = here.site.world.rollouts[NAME]
            assert rollout.state is not RolloutState.AWAITING_APPROVAL
            await open_dialog(person, "H", f"HOLD {NAME}")
            await person.type("noise on the line")
            await person.press("f9")
            await person.shows("hold done", "HELD")
            assert Hold.OPERATOR in here.site.world.rollouts[NAME].header.holds
            await person.press("f6")
            await person.shows("rollout.approved", "rollout.held")
            await person.press("down", "enter")
            await person.shows("Audit >", "ana", "CHG-1042", "as agreed", rollout.header.id)


async def test_two_operators_and_one_rollout(tmp_path: Path) -> None:
    """Both have the dialog open: one approves, the other is shown who did, and signs nothing."""
    async with site(tmp_path) as (here, socket):
        await here.arrive(V1)
        await here.beat()
        async with at_console(socket) as first, at_console(socket) as second:
            for person in (first, second):
                await person.press("f2")
                await person.shows(f"> {NAME}")
                await open_dialog(person, "A", f"APPROVE {NAME}")
                await person.type("L1\tCHG-1042\tas agreed")
            await first.press("f9")
            await first.shows(f"{NAME}: signed")
            await second.press("f9")
            await second.shows("NOTHING WAS DONE", "CHANGED  signed by", "ana")
        approvals = here.site.world.rollouts[NAME].header.approvals
        assert len(approvals) == 1


async def test_gateways_and_their_health(tmp_path: Path) -> None:
    """The list and one gateway decode as the site sends them."""
    async with site(tmp_path) as (here, socket):
        await here.bring(V1)
        async with at_console(socket, size=(120, 36)) as person:
            await person.press("f3")
            await person.shows("> ", "pump-condition 1.0.0")
            await person.press("enter")
            await person.shows("golden", "committed", "Gateways >")
