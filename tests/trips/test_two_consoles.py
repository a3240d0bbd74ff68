"""Two people, two consoles, one rollout: one wins, and the other sees who and why."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.api import Role
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.rollout import Policy, RolloutState
from edge_site_proxy.api.operator.app import operator_app
from edge_site_proxy.api.operator.people import Lookup
from edge_site_proxy.api.operator.server import serve
from edge_site_proxy.api.operator.settings import OperatorSettings
from edge_site_proxy.audit import log as audit_log
from tests.trips.test_console_at_site import nothing_waits
from tests.unit.edgetui.made import Person, at_console
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, Plant, plant

pytestmark = pytest.mark.anyio
FIRST, SECOND = "pump-condition-1.0.0-r1", "pump-condition-2.0.0-r2"


def called(name: str) -> Lookup:
    """Whoever runs this test is *name* behind one socket, with every role."""

    def lookup(uid: int) -> tuple[str, frozenset[str]]:
        assert uid == os.getuid()
        return name, frozenset(role.value for role in Role)

    return lookup


@asynccontextmanager
async def people_at(
    folder: Path,
    *names: str,
    policy: Policy = POLICY,
    clock: HandClock | None = None,
) -> AsyncIterator[tuple[Plant, dict[str, Path]]]:
    """A plant, and an operator socket of its own for each of *names*."""
    async with plant(folder, policy=policy, clock=clock) as here, asyncio.TaskGroup() as group:
        sockets, servers = {}, []
        for name in names:
            settings = OperatorSettings(socket=folder / f"{name}.sock")
            app = operator_app(
                here.site,
                settings,
                telemetry=nothing_waits,
                enrolled=lambda _: True,
                lookup=called(name),
            )
            servers.append(group.create_task(serve(app, settings)))
            sockets[name] = settings.socket
        await asyncio.sleep(0)  # the servers' first steps make the sockets
        yield here, sockets
        for server in servers:
            server.cancel()


async def events(here: Plant, *kinds: str) -> list[AuditEvent]:
    """What the log has of these kinds, in order."""
    leaves = await here.site.store.read(lambda db: audit_log.leaves_after(db, -1, 10_000))
    found = [msgspec.json.decode(leaf, type=AuditEvent) for leaf in leaves]
    return [event for event in found if event.kind in kinds]


async def at_dialog(person: Person, name: str, key: str, title: str, typed: str) -> None:
    """Open the dialog of *key* about a rollout, and fill it in."""
    await person.press("f2")
    await person.shows(f"> {name}")
    await person.press("e")
    await person.press(key)
    await person.shows(f"{title} {name}", "F9 sign")
    person.clock.forward(1.0)
    await person.type(typed)


async def race(
    stack: AsyncExitStack, sockets: dict[str, Path], name: str, key: str, title: str, typed: str
) -> tuple[str, Person]:
    """Both send the same order in the same moment: who won, and whoever lost."""
    people = {who: await stack.enter_async_context(at_console(sockets[who])) for who in sockets}
    for who, person in people.items():
        await at_dialog(person, name, key, title, typed.format(who))
    for person in people.values():
        await person.pilot.press("f9")

    def lost() -> list[str]:
        return [who for who, person in people.items() if "NOTHING WAS DONE" in person.text()]

    await next(iter(people.values())).until(lambda: bool(lost()), "one has lost")
    (loser,) = lost()
    (winner,) = people.keys() - {loser}
    return winner, people[loser]


async def test_both_approve(tmp_path: Path) -> None:
    """Both sign in the same moment: one signature, and the other reads whose it was and why."""
    async with people_at(tmp_path, "ana", "bob") as (here, sockets), AsyncExitStack() as stack:
        await here.arrive(V1)
        await here.beat()
        typed = "L1\tCHG-1042\tagreed with {}"
        winner, loser = await race(stack, sockets, FIRST, "A", "APPROVE", typed)
        await loser.shows(f"CHANGED  {winner} approved it at", f"UTC: agreed with {winner}")
        (event,) = await events(here, "rollout.approved", "rollout.signed")
        assert (event.who, event.facts["reason"]) == (winner, f"agreed with {winner}")
        assert [each.who for each in here.rollout(V1).header.approvals] == [winner]


async def test_both_roll_back(tmp_path: Path) -> None:
    """One order, one epoch, one fleet: everybody goes back once, and the other reads by whom."""
    async with people_at(tmp_path, "ana", "bob") as (here, sockets), AsyncExitStack() as stack:
        await here.bring(V1)
        await here.bring(V2)
        winner, loser = await race(stack, sockets, SECOND, "R", "ROLLBACK", "noise, says {}")
        await loser.shows(f"CHANGED  {winner} rolled it back at", f"UTC: noise, says {winner}")
        (ordered,) = await events(here, "rollout.rollback_ordered")
        assert ordered.who == winner
        await here.until(V2, RolloutState.ROLLED_BACK)
        assert {gateway.effective for gateway in here.gateways.values()} == {V1.digest}
