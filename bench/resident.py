"""How much memory a whole gateway takes, and how long until its first verdict.

A site is simulated in this process; the gateway is `bench.whole_gateway`. Memory is the sum of
Pss over the daemon, its fork server and every worker: a page that several share counts once.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped] # ships no types

from tests.simulators.gateway_site import GatewaySite, serving
from tests.simulators.releases import ROLES, TARGET, WINDOWING, Workshop

SERIAL = "gw-1"
WORKERS = 3  # committed, its spare, the one that looks on
WINDOW_S = WINDOWING.period_s * WINDOWING.length_rows
SETTLE_S = 2.0  # after the last process came
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Resident:
    """What a whole gateway takes.

    Attributes:
        parts_mb: Pss of each process, by what it is.
        start_s: from its start to the first verdict, less the length of a window.
    """

    parts_mb: dict[str, float]
    start_s: list[float]


async def whole(folder: Path, starts: int) -> Resident:
    """Measure one gateway with a committed model, its spare and a candidate in shadow."""
    workshop = Workshop.below(folder / "workshop")
    (folder / "trust-policy.toml").write_text(workshop.policy())
    async with serving(SERIAL, workshop.layout, folder) as site:
        config = folder / "gateway.toml"
        config.write_text(settings(site))
        first, second = workshop.release("1"), workshop.release("2", leak=3.0)
        site.assign(first)
        async with running(config) as gateway:
            await first_verdict(gateway)
            await until(lambda: bool(site.reports) and committed(site) == first.digest)
        start_s = []
        for _ in range(starts):
            began_s = time.monotonic()
            async with running(config) as gateway:
                start_s.append(await first_verdict(gateway) - began_s - WINDOW_S)
        site.assign(second, activate=False, shadow_pairs_min=10**6)
        async with running(config) as gateway:
            await until(lambda: len(workers(gateway.pid)) >= WORKERS)
            await asyncio.sleep(SETTLE_S)
            return Resident(memory_mb(gateway.pid), start_s)


def committed(site: GatewaySite) -> str | None:
    """What the gateway says it has committed."""
    return site.last.references.committed


def settings(site: GatewaySite) -> str:
    """A gateway with both kinds of source loaded; neither server is there."""
    tags = "".join(
        f'[[tags]]\nrole = "{role}"\nunit = "bar"\nsource = "none"\naddress = "plant#{role}"\n'
        for role in ROLES
    )
    return f"""
serial = "{SERIAL}"
site = "plant"
data = "data"
trust_policy = "trust-policy.toml"
targets = ["{TARGET}"]
lateness_s = 0.0

[proxy]
url = "{site.url}"
enrol_url = "{site.enrol_url}"
ca = "ca.pem"
token = "token"
heartbeat_s = 0.1

[disk]
reserve_bytes = 0

[inference]
spare = true

[[sources]]
kind = "mqtt"
name = "none"
host = "127.0.0.1"
port = 9
retry_s = 3600.0

[[sources]]
kind = "opcua"
name = "plc"
url = "opc.tcp://127.0.0.1:9"
retry_s = 3600.0

{tags}"""


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Process]:
    """The gateway's process, as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.whole_gateway", str(config), stdout=PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def first_verdict(process: Process) -> float:
    """When it came, by the monotonic clock."""
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_S):
        while line := await process.stdout.readline():
            if line.startswith(b"verdict "):
                return float(line.split()[1])
    raise AssertionError("the gateway ended before its first verdict")


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes bring about."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - other processes bring it about
            await asyncio.sleep(0.05)


def fork_server(pid: int) -> psutil.Process | None:
    """Of the gateway *pid*; None until it has one. Admission has children of its own."""
    for child in psutil.Process(pid).children():
        if "edge_runtime.inference.forkserver" in child.cmdline():
            return child
    return None


def workers(pid: int) -> list[psutil.Process]:
    """Those of the gateway *pid*."""
    server = fork_server(pid)
    return [] if server is None else server.children()


def memory_mb(pid: int) -> dict[str, float]:
    """Pss of each process, in MB."""
    named = {
        "daemon": psutil.Process(pid),
        "fork server": fork_server(pid),
        **{f"worker {at}": each for at, each in enumerate(workers(pid), 1)},
    }
    return {name: each.memory_full_info().pss / 1e6 for name, each in named.items()}
