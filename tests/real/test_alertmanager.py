"""Alarms at a real Alertmanager, and pages of a real site proxy that is killed half-way."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.alarms.catalogue import OFFLINE_KEY
from edge_site_proxy.alarms.pages.alertmanager import Alertmanager, AlertsWire, Showing
from edge_site_proxy.alarms.pages.patience import Patience
from edge_site_proxy.alarms.pages.wire import Post
from edge_site_proxy.identity import ledger
from edge_site_proxy.paths import StatePaths
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import AlarmCall, etag_of
from edge_site_proxy.site import open_store
from tests.architecture.reference import ROOT
from tests.simulators.pagers import Pagers, pagers
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.waiting import until
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.plant import V1, V2, Plant, plant

MISSING = shutil.which("prometheus-alertmanager") is None
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        MISSING and os.environ.get("CI") != "true",
        reason="no prometheus-alertmanager: apt-get install prometheus-alertmanager",
    ),
]
EXAMPLE = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
FASTER = {"group_wait: 10s": "group_wait: 1s", "group_interval: 5m": "group_interval: 1s"}


def started(folder: Path, pager: Pagers, port: int) -> Program:
    """An Alertmanager with our example; its receivers are *pager*, its waits are shorter."""
    text = EXAMPLE.read_text(encoding="utf-8").replace("http://127.0.0.1:9095", pager.url)
    for slow, fast in FASTER.items():
        assert slow in text
        text = text.replace(slow, fast)
    config = folder / "alertmanager.yml"
    config.write_text(text, encoding="utf-8")
    return Program(
        [
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        folder / "alertmanager.log",
        port,
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """A plant whose alarms are shown to an Alertmanager, and who it calls."""

    plant: Plant
    receiver: Alertmanager
    pager: Pagers
    program: Program
    url: str

    async def alerts(self) -> dict[str, dict[str, Any]]:  # Any: JSON
        """What Alertmanager has, by the alert's name."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v2/alerts") as answer,
        ):
            found: list[dict[str, Any]] = await answer.json()
        return {each["labels"]["alertname"]: each for each in found}

    def calls(self, status: str) -> int:
        """How often on-call was told that something is *status*."""
        return sum(each.body["status"] == status for each in self.pager.on("/on-call"))


@asynccontextmanager
async def shown(folder: Path) -> AsyncIterator[Shown]:
    """A plant an hour behind the rest of the world, since its clock is in the test's hand."""
    clock = HandClock(datetime.now(UTC) - timedelta(hours=1))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        pagers() as pager,
        plant(folder, clock=clock) as here,
        aiohttp.ClientSession() as session,
    ):
        now: Callable[[], datetime] = clock.clocks().now
        showing = Showing("P1", timedelta(minutes=1), timedelta(hours=3))
        wire = AlertsWire(Post(session, now), url, showing)
        patience = Patience(here.site.alarms, "am", Random(1))
        receiver = Alertmanager(here.site.pages, here.site.alarms, patience, "am", wire, now)
        program = started(folder, pager, port)
        with program:
            await program.ready()
            yield Shown(here, receiver, pager, program, url)


async def held(here: Plant) -> None:
    """A canary whose smoke vectors do not come out: the rollout is held, one P1 stands."""
    await here.bring(V1)
    await here.refused(V2)


async def test_a_held_canary(tmp_path: Path) -> None:
    """One page, however often the alarm is shown; resolved once the rollout was taken back."""
    async with shown(tmp_path) as here:
        await held(here.plant)
        for _ in range(5):
            assert await here.receiver.show() is None
        await until(lambda: here.calls("firing") > 0, "on-call is told")
        (alert,) = here.pager.on("/on-call")[0].body["alerts"]
        assert alert["labels"]["alertname"] == "EdgeGateFailed"
        assert "edgetui rollback" in alert["annotations"]["actions"]
        assert alert["annotations"]["runbook_url"].endswith("gate-failed.md")
        assert (await here.plant.site.alarms.standing())[0].paged
        rollout = here.plant.rollout(V2)
        await here.plant.site.desk.roll_back(
            rollout.id, "gate failed", Sender("olga", etag_of(rollout))
        )
        await here.plant.until(V2, RolloutState.ROLLED_BACK)
        for _ in range(3):
            assert await here.receiver.show() is None
        await until(lambda: here.calls("resolved") > 0, "on-call is told that it is over")
        assert (here.calls("firing"), here.calls("resolved")) == (1, 1)


async def test_known_to_be_offline(tmp_path: Path) -> None:
    """What depends on the way up is inhibited while that is known to be down."""
    async with shown(tmp_path) as here:
        alarms = here.plant.site.alarms
        for key, priority in (
            (OFFLINE_KEY, Priority.P3),
            ("mirror-expired", Priority.P3),
            ("telemetry-buffer", Priority.P2),
        ):
            await alarms.raise_alarm(AlarmCall(key, priority, "w", "c", "telemetry"))
        await here.receiver.show()
        found = await here.alerts()
        assert set(found) == {"EdgeSiteOffline", "EdgeTelemetryBuffer"}
        offline = found["EdgeSiteOffline"]["fingerprint"]
        assert found["EdgeTelemetryBuffer"]["status"]["inhibitedBy"] == [offline]
        # A cause that nothing inhibits goes the same way after it: when it is there, the rest was.
        await alarms.raise_alarm(AlarmCall("site/x", Priority.P2, "w", "c", "clock"))
        await here.receiver.show()
        await until(lambda: len(here.pager.on("/shift")) > 0, "the shift is told")
        told = [each for call in here.pager.on("/shift") for each in call.body["alerts"]]
        assert {each["labels"]["source"] for each in told} == {"site/x"}


async def test_alertmanager_away(tmp_path: Path) -> None:
    """Killed and back with nothing: told anew what stands; until then that is an alarm."""
    async with shown(tmp_path) as here:
        here.program.kill()
        await held(here.plant)
        waits = [await here.receiver.show() for _ in range(4)]
        assert None not in waits
        sources = {each.source for each in await here.plant.site.alarms.standing()}
        assert "pages/am" in sources
        here.program.start()
        await here.program.ready()
        assert await here.receiver.show() is None
        await until(lambda: here.calls("firing") > 0, "on-call is told")
        assert await here.receiver.show() is None
        here.plant.clock.turn(60)
        await here.plant.site.alarms.look()
        shown_ = {each.source: each.active for each in await here.plant.site.alarms.standing()}
        assert shown_["pages/am"] is False
        assert here.calls("firing") == 1


CONFIG = """\
site = "plant-1"
clock = "trusted"
directory = "state"

[gateways]
host = "127.0.0.1"
port = {port}

[enrolment]
host = "127.0.0.1"
port = 0

[identity]
names = ["localhost"]

[operator]
socket = "operator.sock"

[telemetry.upstream]
kind = "folder"
directory = "telemetry-out"

[[pages]]
kind = "webhook"
url = "{pager}/hook"

[[pages]]
kind = "pagerduty"
url = "{pager}"
routing_key = "pagerduty.key"

[[pages]]
kind = "alertmanager"
url = "{alertmanager}"
resend_s = 1
hold_s = 60

[[rollout.policy.cohorts]]
name = "all"
share = 1.0
"""


async def proxy(*words: str) -> int:
    """Run a `site-proxy` command; its exit code."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "edge_site_proxy", *words)
    return await process.wait()


async def raised(folder: Path) -> None:
    """A site proxy raised a P1 and was killed before it told anybody."""
    paths = StatePaths(folder / "state")

    def now() -> datetime:
        return datetime.now(UTC)

    def quality() -> ClockQuality:
        return ClockQuality(synchronised=True, error_max_us=1)

    store = open_store(paths.database, more=(ledger.MIGRATIONS,), now=now, clock=quality)
    async with store:
        book = AlarmBook(store, now, "docs/operate/runbooks", lambda _: "")
        call = AlarmCall("rollout/r-1/gate", Priority.P1, "failed", "held", "gate-failed")
        await book.raise_alarm(call)


async def test_killed_between_raising_and_telling(tmp_path: Path) -> None:
    """Killed before it tells, and while it tells: each receiver knows of one page."""
    site, port, am_port = tmp_path / "site", free_port(), free_port()
    async with pagers() as pager:
        with started(tmp_path, pager, am_port) as alertmanager:
            await alertmanager.ready()
            assert await proxy("init", str(site), "--site", "plant-1", "--name", "localhost") == 0
            key = site / "pagerduty.key"
            key.write_text("k", encoding="ascii")
            key.chmod(0o600)
            url = f"http://127.0.0.1:{am_port}"
            (site / "site.toml").write_text(
                CONFIG.format(port=port, pager=pager.url, alertmanager=url), encoding="utf-8"
            )
            config = ["--config", str(site / "site.toml")]
            assert await proxy("page-test", *config) == 0
            tests = [each.headers.get("Idempotency-Key") for each in pager.on("/hook")]
            assert len(tests) == 1
            pager.heard.clear()
            await raised(site)
            pager.mute = True
            command = [sys.executable, "-m", "edge_site_proxy", "run", *config]
            daemon = Program(command, tmp_path / "said", port)
            with daemon:
                await until(lambda: len(pager.on("/hook")) == 1, "the page is on its way")
                daemon.kill()
                pager.mute = False
                daemon.start()
                await until(lambda: said_by(daemon, "page.sent") == 2, "both took it")
                await until(lambda: len(pager.on("/on-call")) == 1, "on-call is told")
                daemon.kill()
                daemon.start()
                await daemon.ready()
                await until(lambda: said_by(daemon, "daemon.started") == 3, "it is up again")
        keys = {each.headers["Idempotency-Key"] for each in pager.on("/hook")}
        dedup = {each.body["dedup_key"] for each in pager.on("/v2/enqueue")}
        assert (keys, dedup) == ({"plant-1-alarm-1"}, {"plant-1-alarm-1"})
        assert len(pager.on("/hook")) == 2
        calls = [each for each in pager.on("/on-call") if "EdgeGateFailed" in str(each.body)]
        assert len(calls) == 1


def said_by(daemon: Program, event: str) -> int:
    """How often the daemon has logged *event*."""
    return sum(event in line for line in daemon.lines())
