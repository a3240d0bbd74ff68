"""The exceptions trip: what stands apart at the site is what the console says, and can settle."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edge_core.contracts.api import ExceptionKind
from edgetui.__main__ import main
from tests.trips.test_console_at_site import site
from tests.unit.edgetui.made import at_console
from tests.unit.site_proxy.plant.gateway import Gateway
from tests.unit.site_proxy.plant.plant import V1, V2, V3

pytestmark = pytest.mark.anyio
WHY = ("--reason", "as agreed on site")


class Commands:
    """Subcommands of the console, beside the loop on which the site answers."""

    def __init__(self, socket: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._socket = str(socket)
        self._capture = capture

    async def code(self, *words: str) -> int:
        """How the command ends."""
        return await asyncio.to_thread(main, ["--socket", self._socket, *words])

    async def said(self, *words: str) -> Any:  # Any: JSON
        """The document that the command prints."""
        self._capture.readouterr()
        assert await self.code("--json", *words) == 0
        return json.loads(self._capture.readouterr().out.splitlines()[-1])

    async def kinds(self) -> dict[str, str]:
        """Who stands apart, and how."""
        return {each["serial"]: each["kind"] for each in await self.said("exceptions")}


async def test_each_is_listed_and_settled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drift, conflict, a dead gateway and a replaced one: listed with age, settled by command."""
    async with site(tmp_path) as (here, socket):
        commands = Commands(socket, capsys)
        await here.bring(V1)
        assert await commands.kinds() == {}
        here.gateways["g1"].swapped = V3.digest
        here.gateways["g4"].generation_seen += 10
        gone = here.gateways.pop("g3")
        here.clock.turn(60)
        await here.beat()
        assert await commands.kinds() == {
            "g1": ExceptionKind.DRIFT.value,
            "g4": ExceptionKind.CONFLICT.value,
        }
        assert await commands.code("declare-dead", "g1", *WHY) == 3
        assert await commands.code("resume", "--gateway", "g1", *WHY) == 3
        (dead,) = (await commands.said("declare-dead", "g3", *WHY))["exceptions"]
        assert (dead["kind"], dead["why"]) == ("dead", "as agreed on site")
        here.gateways["g1"].swapped = None
        (resumed,) = await commands.said("resume", "--conflicts", *WHY)
        assert resumed["exceptions"] == []
        assert await commands.said("resume", "--conflicts", *WHY) == []
        await here.beat()
        assert await commands.kinds() == {"g3": "dead"}
        async with at_console(socket, size=(120, 36)) as person:
            await person.press("f3")
            await person.shows("DEAD: as agreed on site")
        (place,) = [
            each["place"]["position"]["asset"]
            for each in await commands.said("decommission", "g3", "--by", "n3", *WHY)
        ]
        assert place == f"pump-{gone.serial}"
        assert await commands.code("gateway", "g3") == 4
        here.gateways["n3"] = Gateway(serial="n3", clock=here.clock)
        for _ in range(20):
            await here.beat()
        assert await commands.kinds() == {}
        assert here.gateways["n3"].committed == V1.digest
        kinds = [event["kind"] for event in await commands.said("audit", "--limit", "500")]
        wanted = {
            "gateway.drift_found",
            "gateway.drift_ended",
            "gateway.conflict_found",
            "gateway.conflict_settled",
            "gateway.declared_dead",
            "gateway.retired",
        }
        assert wanted <= set(kinds)


async def test_what_makes_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two things at once, nobody at all, or a serial that stands elsewhere: one line each."""
    async with site(tmp_path) as (here, socket):
        commands = Commands(socket, capsys)
        await here.bring(V1)
        await here.arrive(V2)
        assert await commands.code("resume", *WHY) == 2
        assert await commands.code("resume", "--conflicts", "--gateway", "g1", *WHY) == 2
        assert await commands.code("decommission", "g1", *WHY) == 3
        assert await commands.code("decommission", "zz", *WHY) == 4
        assert await commands.code("declare-dead", "zz", *WHY) == 4
        said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if line.startswith("edgetui: ")]
        assert len(lines) == 5
        assert all("expected" in line for line in lines)
        assert "Traceback" not in said
