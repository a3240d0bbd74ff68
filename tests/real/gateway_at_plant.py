"""One gateway as it stands at a plant: its daemon, a server of another make, a broker, its site.

The daemon is a process of its own. Whatever it publishes is kept by a client of the broker's own
make, so a verdict that is missing is missing for everybody.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_core.contracts.gateway import StatusReport
from edge_runtime.control import StatusAsked, ask
from edge_runtime.verdict import Verdict
from tests.real.other_make import other_make_program
from tests.simulators.broker import HOST, Broker, broker
from tests.simulators.programs import Program
from tests.simulators.releases import ROLES, TARGET
from tests.simulators.waiting import until

TOOLS = ("mosquitto", "mosquitto_sub")
NAMESPACE = "urn:bad:sensor"


def need(*tools: str) -> None:
    """Skip, or fail in CI, when a tool is missing."""
    missing = [tool for tool in (*TOOLS, *tools) if shutil.which(tool) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"a gateway at a plant needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"a gateway at a plant needs {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Contact:
    """How a gateway reaches its site: two addresses, and the file with the site's CA."""

    url: str
    enrol_url: str
    ca: Path


@dataclass(slots=True)
class GatewayAtPlant:
    """Everything of one gateway that lies in *folder*; the data may lie elsewhere."""

    folder: Path
    data: Path
    serial: str
    server: Program
    broker: Broker
    daemon: Program
    listener: Program

    @property
    def config(self) -> Path:
        """The gateway's configuration."""
        return self.folder / "gateway.toml"

    @property
    def socket(self) -> Path:
        """Where it answers: not on a disk that may fail."""
        return self.folder / "control.sock"

    def configure(self, contact: Contact) -> None:
        """Write the configuration; the token and the trust policy lie beside it."""
        tags = "".join(
            f'\n[[tags]]\nrole = "{role}"\nunit = "bar"\nsource = "plc"\n'
            f'address = "nsu={NAMESPACE};s={role}"\n'
            for role in ROLES
        )
        self.config.write_text(
            f'serial = "{self.serial}"\nsite = "plant"\ndata = "{self.data}"\n'
            f'trust_policy = "trust-policy.toml"\ntargets = ["{TARGET}"]\n'
            f'control_socket = "{self.socket}"\n\n'
            f'[proxy]\nurl = "{contact.url}"\nenrol_url = "{contact.enrol_url}"\n'
            f'ca = "{contact.ca}"\ntoken = "token"\nheartbeat_s = 0.2\ntelemetry_s = 0.3\n\n'
            f'[[sources]]\nkind = "opcua"\nname = "plc"\nretry_s = 0.2\n'
            f'url = "opc.tcp://{HOST}:{self.server.port}/plant"\n{tags}\n'
            f'[sinks.mqtt]\nhost = "{HOST}"\nport = {self.broker.port}\n\n'
            f"[disk]\nreserve_bytes = 65536\n"
        )

    async def stop(self) -> int:
        """End the daemon as `systemctl stop` does; the exit code."""
        return await asyncio.to_thread(self.daemon.stop)

    async def command(self, *words: str) -> tuple[int, str]:
        """A command of a person at the gateway: exit code, and both streams."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_runtime", *words, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert "Traceback" not in said.decode()
        return process.returncode or 0, said.decode()

    def verdicts(self) -> list[Verdict]:
        """What the broker was given, in its order."""
        whole = self.listener.said.read_bytes().rpartition(b"\n")[0]
        return [msgspec.json.decode(line, type=Verdict) for line in whole.splitlines()]

    def status(self) -> StatusReport:
        """What a person at the gateway is shown."""
        body = ask(self.socket, StatusAsked()).body
        report = {key: body[key] for key in StatusReport.__struct_fields__}
        return msgspec.convert(report, StatusReport)

    async def until_decided(self, version: str) -> None:
        """Wait for a verdict of *version*."""
        await until(lambda: self._last_is(version), f"a verdict of version {version}")

    async def until_more(self, windows: int) -> None:
        """Wait for so many decided windows more."""
        before = len(self.verdicts())
        await until(
            lambda: sum(each.decided for each in self.verdicts()[before:]) >= windows,
            "verdicts go on",
        )

    def events(self, name: str) -> list[dict[str, Any]]:  # Any: JSON values
        """The events of one name in the daemon's log."""
        found = [json.loads(line) for line in self.daemon.lines() if line.startswith("{")]
        return [event for event in found if event["event"] == name]

    def _last_is(self, version: str) -> bool:
        found = self.verdicts()
        return bool(found) and found[-1].decided and found[-1].version == version


@asynccontextmanager
async def at_plant(folder: Path, data: Path, serial: str) -> AsyncIterator[GatewayAtPlant]:
    """A plant whose server and broker run; the gateway is neither configured nor started."""
    need()
    talk = broker("plain", folder)
    topic = f"edge/plant/{serial}/verdict"
    listen = ["mosquitto_sub", *talk.flags, "-q", "1", "-t", topic]
    run: list[str | Path] = [
        sys.executable,
        "-m",
        "edge_runtime",
        "run",
        "--config",
        folder / "gateway.toml",
    ]
    listener = Program(listen, folder / "heard")
    daemon = Program(run, folder / "daemon.log")
    with other_make_program(folder, "plant.js") as server, talk.program:
        await talk.program.ready()
        with listener:
            await server.ready()
            made = GatewayAtPlant(folder, data, serial, server, talk, daemon, listener)
            try:
                yield made
            finally:
                daemon.kill()
