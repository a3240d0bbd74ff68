"""Approving under a ticket in a change window, as a person at the console meets it."""

import asyncio
import os
import shutil
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.rollout import ChangeWindow, PinRule, RolloutState
from edgetui.__main__ import main
from tests.real.test_calendar import asked
from tests.trips.test_two_consoles import FIRST, at_dialog, events, people_at
from tests.unit.edgetui.made import Person, at_console
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.plant import POLICY, V1

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None and os.environ.get("CI") != "true",
        reason="no systemd-analyze: apt-get install systemd",
    ),
]
SHIFT = ChangeWindow(days=[1, 2, 3, 4, 5], start="06:00", end="14:00", zone="Europe/Madrid")
STRICT = msgspec.structs.replace(
    POLICY, windows=[SHIFT], pin=PinRule.SAFETY, acknowledged_within_s=3600.0
)
SATURDAY = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MONDAY_0605 = datetime(2026, 11, 23, 5, 5, tzinfo=UTC)  # 06:05 in Madrid
PIN = "271828"
KEYS_MAX = 8
REFUSED, NOT_PERMITTED, USAGE = 3, 77, 2


async def command(socket: Path, *words: str) -> int:
    """The exit code of a subcommand, run beside the site."""

    def run() -> int:
        try:
            return main(["--socket", str(socket), "--json", *words])
        except SystemExit as ended:
            return int(ended.code or 0)

    return await asyncio.to_thread(run)


async def counted(person: Person, *typed: str) -> int:
    """Approve by keys from the first screen; answers how many it took, letters not counted."""
    keys = ["f2", "e", "A"]
    await at_dialog(person, FIRST, "A", "APPROVE", "\t".join(typed))
    keys += ["tab"] * (len(typed) - 1)
    await person.press("f9")
    return len([*keys, "f9"])


async def test_approve_in_a_change_window(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Saturday is refused with the next window, no ticket and the author are refused; then yes."""
    clock = HandClock(SATURDAY)
    secret = tmp_path / "pin"
    secret.touch(mode=0o600)
    secret.write_text(f"{PIN}\n{PIN}\n")
    async with (
        people_at(tmp_path, "ana", "ci", policy=STRICT, clock=clock) as (here, sockets),
        AsyncExitStack() as stack,
    ):
        await here.arrive(V1)
        await here.beat()
        for who in sockets:
            assert await command(sockets[who], "pin", "--pin-file", str(secret)) == 0
        secret.write_text(f"{PIN}\n")
        approve = ["approve", FIRST, "--reason", "as agreed", "--pin-file", str(secret)]
        ticket = ["--ticket", "CHG-1042"]

        person = await stack.enter_async_context(at_console(sockets["ana"], size=(100, 30)))
        await counted(person, "L1", "CHG-1042", "as agreed", PIN)
        opens = asked(SHIFT, clock.wall)
        assert opens == datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
        await person.shows("REFUSED", "expected an open change window")
        capfd.readouterr()
        assert await command(sockets["ana"], *approve, *ticket) == REFUSED
        assert f"{opens:%Y-%m-%d %H:%M} UTC (Mon 06:00 Europe/Madrid)" in capfd.readouterr().err
        await person.press("escape")

        clock.turn((MONDAY_0605 - clock.wall).total_seconds())
        await here.beat()
        assert await command(sockets["ana"], *approve, "--ticket", "") == USAGE
        assert await command(sockets["ana"], *approve, "--ticket", "1042") == REFUSED
        assert await command(sockets["ci"], *approve, *ticket) == NOT_PERMITTED
        assert here.rollout(V1).state is RolloutState.AWAITING_APPROVAL
        assert await events(here, "rollout.approved", "rollout.signed") == []

        fresh = await stack.enter_async_context(at_console(sockets["ana"], size=(80, 24)))
        assert await counted(fresh, "L1", "CHG-1042", "as agreed", PIN) <= KEYS_MAX
        await fresh.shows(f"{FIRST}: signed")
        (event,) = await events(here, "rollout.approved")
        assert (event.who, event.facts["ticket"]) == ("ana", "CHG-1042")
        assert event.facts["plan"] == here.rollout(V1).plan_digest
        assert str(event.facts["shown"]).startswith("sha256:")
        assert event.facts["pin"] is True
        assert event.facts["tzdata"] == here.site.world.tzdata
        assert abs(event.at - MONDAY_0605) < timedelta(minutes=1)
