"""The runbook "the model behaves badly", followed to the letter: every command of it is run."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from edge_core.contracts.rollout import RolloutState
from edgetui.__main__ import main
from tests.architecture.reference import ROOT
from tests.trips.test_console_at_site import site
from tests.unit.site_proxy.plant.plant import V1, V2, Plant
from tests.unit.site_proxy.review.test_queue import window

pytestmark = pytest.mark.anyio
PAGE = ROOT / "docs" / "operate" / "runbooks" / "model-behaves-badly.md"
BEATS = 10  # what an order needs to be carried out, while the reader goes on to the next line


def commands() -> list[list[str]]:
    """What the page tells its reader to type, in its order."""
    text = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"^    ((?:edgetui|edge-gateway) .*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


async def gone_bad(here: Plant) -> str:
    """A release has just begun to decide on its canary, and the line complains; the canary."""
    await here.bring(V1)
    await here.arrive(V2)
    await here.approve(V2)
    for _ in range(100):
        await here.beat()
        for serial, gateway in here.gateways.items():
            if gateway.committed == V2.digest:
                await here.site.take_window(serial, window(1, serial))
                return serial
    raise AssertionError("no gateway took the release")


async def test_every_command_of_the_page(tmp_path: Path) -> None:
    """All of them end well, in their order; afterwards the plant is back, with a label for it.

    The one that is typed at the gateway is for the day on which the site proxy is away, and is
    tried there, in `tests.real.test_console_rollback`.
    """
    async with site(tmp_path) as (here, socket):
        serial = await gone_bad(here)
        rollout = here.rollout(V2)
        words = {
            "SERIAL": serial,
            "ROLLOUT": rollout.id,
            "LINE": here.site.world.plant.line_of(serial),
            "ITEM": "1",
        }
        at_gateway = []
        for program, *typed in commands():
            if program != "edgetui":
                at_gateway.append(typed[0])
                continue
            filled = ["--socket", str(socket), *(words.get(word, word) for word in typed)]
            assert await asyncio.to_thread(main, filled) == 0, shlex.join(typed)
            for _ in range(BEATS):
                await here.beat()
        assert at_gateway == ["rollback"]
        assert here.rollout(V2).state is RolloutState.ROLLED_BACK
        assert {each.effective for each in here.gateways.values()} == {V1.digest}
        assert not any(each.safe_mode for each in here.gateways.values())
        assert (await here.site.queue.summary()).labelled == 1
