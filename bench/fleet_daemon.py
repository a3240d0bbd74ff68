"""The daemon under test: `site-proxy run` in a process of its own, watched from outside."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import psutil  # type: ignore[import-untyped] # ships no types

from bench.fleet_site import SiteFolder

READY_S: Final = 120.0
LOOK_S: Final = 0.2
MB: Final = 1e6


@dataclass(slots=True)
class Daemon:
    """One run of the site proxy; begins with `start` and ends with `kill`.

    Attributes:
        made: the site.
        port: of the gateway API.
        rss_mb: the most memory that was seen since `forget`.
    """

    made: SiteFolder
    port: int = 0
    rss_mb: float = 0.0
    _process: Process | None = None
    _seen: list[psutil.Process] = field(default_factory=list)

    async def start(self) -> float:
        """Run it; seconds until it says that it is ready, which it says when it is reconciled."""
        began_s = time.monotonic()
        command = [sys.executable, "-m", "edge_site_proxy", "run", "--json"]
        with (self.made.folder / "daemon.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, "--config", str(self.made.config), stdout=PIPE, stderr=log
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await self._process.stdout.readline()
        assert line, f"the daemon did not start: {self.made.folder / 'daemon.log'}"
        self.port = json.loads(line)["gateways"]
        self._seen = [psutil.Process(self._process.pid)]
        return time.monotonic() - began_s

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
            self._seen = []

    def cpu_s(self) -> float:
        """Processor time of all its threads so far."""
        times = self._seen[0].cpu_times()
        return float(times.user + times.system)

    def forget(self) -> None:
        """Look for the most memory anew."""
        self.rss_mb = 0.0

    async def watch(self) -> None:
        """Note memory until cancelled."""
        while True:
            for process in self._seen:
                with suppress(psutil.NoSuchProcess):
                    self.rss_mb = max(self.rss_mb, process.memory_info().rss / MB)
            await asyncio.sleep(LOOK_S)

    async def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """One request to the operator API; what a person's console sends."""
        socket = str(self.made.folder / "operator.sock")
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session,
            session.request(method, f"http://site{path}", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()


def own_cpu_s() -> float:
    """Processor time of this process so far."""
    return time.process_time()
