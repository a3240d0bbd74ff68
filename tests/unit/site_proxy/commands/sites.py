"""A site on disk as `site-proxy init` makes it, with two gateways and free ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_site_proxy import config, daemon
from edge_site_proxy.__main__ import main
from edge_site_proxy.daemon import Ports, Signals

INVENTORY = """
site = "north"

[[zones]]
name = "process"
"""
GATEWAY = """
[[gateways]]
serial = "{serial}"
zone = "process"
model = "pump-condition"
[gateways.position]
site = "north"
area = "utilities"
line = "line-1"
cell = "cell-{number}"
asset = "pump-{number}"
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass
class SiteFolder:
    """One site."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / "site.toml"

    def make(self) -> "SiteFolder":
        """Run `init` and put two gateways into the inventory."""
        assert (
            self.run("init", str(self.folder), "--site", "north", "--name", "127.0.0.1").code == 0
        )
        text = self.config.read_text().replace("9443", "0").replace("9444", "0")
        self.config.write_text(text.replace('"0.0.0.0"', '"127.0.0.1"'))
        gateways = "".join(
            GATEWAY.format(serial=f"gw-10{number}", number=number) for number in (1, 2)
        )
        (self.folder / "inventory.toml").write_text(INVENTORY + gateways)
        return self

    def run(self, *arguments: str) -> Said:
        """Run one command."""
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capture.readouterr()
        return Said(code, out, err)

    def on(self, *arguments: str) -> Said:
        """Run one command on this site's configuration."""
        return self.run(*arguments, "--config", str(self.config))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Ports]:
        """The daemon, until the block is left."""
        signals = Signals(stop=asyncio.Event(), reload=asyncio.Event())
        ready: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
        settings = config.load(self.config)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(daemon.run(settings, signals, ready.set_result))
            while not ready.done():
                if running.done():
                    await running
                await asyncio.sleep(0.01)
            try:
                yield ready.result()
            finally:
                signals.stop.set()
