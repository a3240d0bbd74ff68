"""A gateway that starts where nothing is there yet: no site, no broker, no server, and 1970.

Real processes: the daemon as systemd starts it, mosquitto, an OPC UA server, and a site behind
links that are opened one after the other. Everything comes by itself.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_fixtures.plant import NAMESPACE, node_name
from tests.simulators.broker import Broker, broker
from tests.simulators.field import SERIAL, TAGS
from tests.simulators.gateway_site import TOKEN, GatewaySite, serving
from tests.simulators.link import Link
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.releases import Workshop
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

WATCHDOG_S = 2.0
WAIT_S = 240.0  # far more than it takes, also on a machine with other work
TOPIC = "edge/plant/gw-1/verdict"
# libfaketime: 1970 until the file says otherwise. A clock that is set leaves durations alone.
FAKE = (
    "LD_PRELOAD",
    "FAKETIME_TIMESTAMP_FILE",
    "FAKETIME_NO_CACHE",
    "FAKETIME_DONT_FAKE_MONOTONIC",
)
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def need(*tools: str) -> None:
    """Skip, or fail in CI, when a tool is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"a start from nothing needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"a start from nothing needs {', '.join(missing)}")


@dataclass(slots=True)
class Plant:
    """Everything around one gateway; it begins with nobody there.

    Attributes:
        ports: of the OPC UA server and of nothing else.
        links: the gateway API and enrolment, broken until they are opened.
    """

    folder: Path
    site: GatewaySite
    workshop: Workshop
    links: tuple[Link, Link]
    broker: Broker
    field: Program
    systemd: socket.socket

    @property
    def config(self) -> Path:
        """The gateway's configuration."""
        return self.folder / "gateway.toml"

    @property
    def clock(self) -> Path:
        """What the gateway takes for the time."""
        return self.folder / "clock"

    def write(self, **settings: object) -> str:
        """The configuration's text, written."""
        api, enrolment = (f"https://127.0.0.1:{link.port}" for link in self.links)
        level = settings.get("log_level", "info")
        tags = "".join(
            f'\n[[tags]]\nrole = "{tag}"\nunit = "bar"\nsource = "plc"\n'
            f'address = "nsu={NAMESPACE};s={node_name(SERIAL, tag)}"\n'
            for tag in TAGS
        )
        text = (
            f'serial = "{SERIAL}"\nsite = "plant"\ndata = "data"\nlog_level = "{level}"\n'
            'trust_policy = "trust-policy.toml"\n'
            'targets = ["linux-amd64/onnxruntime/fp32/b1"]\n\n'
            f'[proxy]\nurl = "{api}"\nenrol_url = "{enrolment}"\nca = "ca.pem"\ntoken = "token"\n'
            f"heartbeat_s = {settings.get('heartbeat_s', 0.2)}\n\n"
            f'[[sources]]\nkind = "opcua"\nname = "plc"\n'
            f'url = "opc.tcp://127.0.0.1:{self.field.port}/demo-plant"\nretry_s = 0.2\n'
            f'{tags}\n[sinks.mqtt]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
            f"\n[disk]\nreserve_bytes = 0\n"
        )
        self.config.write_text(text)
        return text

    def heard(self) -> list[str]:
        """What systemd was told since the last look, without the status."""
        found: list[str] = []
        while True:
            try:
                found.append(self.systemd.recv(4096).decode().partition("\n")[0])
            except BlockingIOError:
                return found

    def verdict(self) -> dict[str, Any]:  # Any: JSON values
        """The verdict that holds, by the broker; empty without one."""
        raw = self.broker.retained(TOPIC)
        return {} if raw is None else dict(json.loads(raw))

    async def holds(self, right: Callable[[dict[str, Any]], bool]) -> None:  # Any: as above
        """Wait for the right verdict."""
        async with asyncio.timeout(WAIT_S):
            while not right(await asyncio.to_thread(self.verdict)):  # noqa: ASYNC110 - see `until`
                await asyncio.sleep(0.2)

    async def decided(self, version: str) -> None:
        """Wait for a verdict of *version*."""
        await self.holds(lambda found: bool(found.get("decided")) and found["version"] == version)


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    """A plant that is dark."""
    need("mosquitto", "mosquitto_sub", "faketime")
    workshop = Workshop.below(tmp_path / "workshop")
    (tmp_path / "trust-policy.toml").write_text(workshop.policy())
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "clock").write_text("@1970-01-01 00:10:00\n")
    port = free_port()
    field = Program(
        [sys.executable, "-m", "tests.simulators.field", "opcua", str(port)],
        tmp_path / "field.log",
        port,
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0)
        async with serving(SERIAL, workshop.layout, tmp_path) as site:
            links = tuple(
                Link(int(url.rpartition(":")[2]), closed=True)
                for url in (site.url, site.enrol_url)
            )
            async with links[0].open(), links[1].open():
                made = Plant(
                    tmp_path,
                    site,
                    workshop,
                    (links[0], links[1]),
                    broker("plain", tmp_path),
                    field,
                    systemd,
                )
                made.write()
                try:
                    yield made
                finally:
                    field.kill()
                    made.broker.program.kill()


@dataclass(slots=True)
class Daemon:
    """The daemon, as systemd would run it."""

    plant: Plant
    process: asyncio.subprocess.Process

    def log(self) -> list[dict[str, Any]]:  # Any: JSON values
        """The events of its log so far."""
        lines = (self.plant.folder / "daemon.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:  # Any: as above
        """Those of one name."""
        return [event for event in self.log() if event["event"] == name]

    async def stop(self) -> int:
        """As `systemctl stop` does; the exit code."""
        self.process.terminate()
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def running(plant: Plant) -> AsyncIterator[Daemon]:
    """The daemon with systemd's environment, in 1970 unless the plant's clock says otherwise."""
    log = plant.folder / "daemon.log"
    fake = dict(zip(FAKE, (str(LIBRARY), str(plant.clock), "1", "1"), strict=True))
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "edge_runtime",
                "run",
                "--config",
                str(plant.config),
            ),
            env={
                **os.environ,
                **fake,
                "NOTIFY_SOCKET": str(plant.folder / "notify"),
                "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            },
            stdout=said,
            stderr=said,
        )
    daemon = Daemon(plant, process)
    try:
        yield daemon
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def command(plant: Plant, *words: str) -> tuple[int, str]:
    """A command of a person at the gateway: exit code, and both streams."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_runtime", *words, "--config", str(plant.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert "Traceback" not in said.decode()
    return process.returncode or 0, said.decode()


async def alive(plant: Plant) -> None:
    """Signs of life go on."""
    plant.heard()
    await until(lambda: plant.heard().count("WATCHDOG=1") > 0, "a sign of life")


async def test_from_nothing(plant: Plant) -> None:
    """READY with nobody there; then broker, server, clock and site come, each by itself.

    Afterwards the same gateway starts with all of them gone again: it judges windows as soon as
    the server is back, in 1970 and without a site, and a person at it can roll back.
    """
    async with running(plant) as daemon:
        await until(lambda: "READY=1" in plant.heard(), "READY with nobody there")
        await alive(plant)
        code, said = await command(plant, "status")
        assert (code, "no model" in said) == (0, True)
        plant.broker.program.start()
        await plant.broker.program.ready()
        await plant.holds(lambda verdict: verdict.get("reason") == "no model")
        plant.field.start()
        code, said = await command(plant, "watch", "--lines", "1")
        assert (code, "value" in said) == (0, True)
        # The site is there, and in 1970 nobody's certificate is valid yet: nothing is believed.
        plant.site.assign(plant.workshop.release("1"))
        for link in plant.links:
            link.closed = False
        failed = len(daemon.events("enrolment.failed"))
        await until(lambda: len(daemon.events("enrolment.failed")) > failed, "another attempt")
        assert plant.site.certificates == 0
        await alive(plant)
        plant.clock.write_text("+0\n")
        await plant.decided("1")
        plant.site.assign(plant.workshop.release("2"), attempt=2)
        await plant.decided("2")
        await until(lambda: plant.site.last.references.committed is not None, "a commit")
        committed = plant.workshop.releases["2"].digest
        await until(lambda: plant.site.last.references.committed == committed, "its commit")
        plant.heard()
        assert await daemon.stop() == 0
        assert "STOPPING=1" in plant.heard()
    for link in plant.links:
        link.closed = True
        link.cut()
    plant.field.kill()
    plant.broker.program.kill()
    plant.clock.write_text("@1970-01-01 00:10:00\n")
    async with running(plant) as daemon:
        await until(lambda: "READY=1" in plant.heard(), "READY with nobody there")
        plant.broker.program.start()
        await plant.broker.program.ready()
        plant.field.start()
        await plant.decided("2")
        code, _ = await command(plant, "rollback", "--reason", "odd noise")
        assert code == 0
        await plant.decided("1")
        code, said = await command(plant, "rollback", "--reason", "odd noise again")
        assert (code, said.count("\n")) == (6, 1)
        await alive(plant)
        assert await daemon.stop() == 0


async def test_reload(plant: Plant) -> None:
    """SIGHUP: half a file changes nothing, a whole one what can be changed; the rest is named."""
    async with running(plant) as daemon:
        await until(lambda: "READY=1" in plant.heard(), "READY")
        whole = plant.write(log_level="debug", heartbeat_s=0.1)
        plant.config.write_text(whole[: len(whole) // 2])
        daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: daemon.events("config.refused") != [], "half a file is refused")
        await until(lambda: "READY=1" in plant.heard(), "READY again")
        plant.config.write_text(whole.replace('site = "plant"', 'site = "other"'))
        daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: daemon.events("config.reloaded") != [], "a whole file is taken")
        [event] = daemon.events("config.reloaded")
        assert set(event["applied"]) == {"log_level", "proxy.heartbeat_s"}
        assert event["kept"] == ["site"]
        [kept] = daemon.events("config.kept")
        assert "`$.site`: expected plant" in kept["reason"]
        code, said = await command(plant, "status")
        assert code == 0
        assert "`$.site`" in said
        plant.config.write_text(whole)
        daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: len(daemon.events("config.reloaded")) == 2, "and set right")
        _, said = await command(plant, "status")
        assert "`$.site`" not in said
        assert await daemon.stop() == 0


async def test_stands_still(plant: Plant) -> None:
    """A daemon that stands still gives no sign of life, so that systemd replaces it."""
    async with running(plant) as daemon:
        await until(lambda: "READY=1" in plant.heard(), "READY")
        daemon.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.2)
        plant.heard()
        await asyncio.sleep(WATCHDOG_S)
        assert plant.heard() == []
        # systemd ends it so: where every thread stood is in the log, and nothing is half-written.
        daemon.process.send_signal(signal.SIGABRT)
        daemon.process.send_signal(signal.SIGCONT)
        assert await daemon.process.wait() == -signal.SIGABRT
        assert "Current thread" in (plant.folder / "daemon.log").read_text()
    async with running(plant) as daemon:
        await until(lambda: "READY=1" in plant.heard(), "READY after that")
        assert await daemon.stop() == 0
