"""Two site proxies at once: on one folder the second refuses, on a copy the gateways choose."""

import asyncio
import getpass
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import pytest

from edge_core.contracts.errors import UnreachableError
from edge_core.contracts.gateway import (
    Desired,
    PermitRequest,
    References,
    StatusReport,
)
from edge_core.contracts.plant import ClockQuality
from edge_runtime.config import ProxyConfig
from edge_runtime.identity import IdentityFolder
from edge_runtime.link import SiteLink
from edge_runtime.update import events
from edge_runtime.update.machine import advance
from edge_runtime.update.record import Record
from edge_runtime.witness import Witness
from tests.unit.runtime.heard import Heard
from tests.unit.site_proxy.commands.sites import SiteFolder

pytestmark = pytest.mark.anyio
SERIAL: Final = "gw-101"
A: Final = "sha256:" + "a" * 64


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[dict[str, int]]:
    """`site-proxy run` as a process of its own; gives where it listens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_site_proxy", "run", "--json", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def linked(folder: Path, ca: Path, ports: dict[str, int]) -> AsyncIterator[SiteLink]:
    """A gateway's link to one of the two, always with the same identity."""
    config = ProxyConfig(
        url=f"https://127.0.0.1:{ports['gateways']}",
        enrol_url=f"https://127.0.0.1:{ports['enrolment']}",
        ca=ca,
        token=folder / "token",
    )
    witness = Witness(folder / "witness.json", Heard(), time.monotonic)
    identity = IdentityFolder(folder / "id", SERIAL)
    link = SiteLink(config, identity, lambda: datetime.now(UTC), witness, Heard())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(link.run())
        try:
            await enrolled(link)
            yield link
        finally:
            job.cancel()


async def enrolled(link: SiteLink) -> None:
    """Return when *link* has its certificate and is answered."""
    async with asyncio.timeout(30):
        while True:
            try:
                await link.desired()
            except UnreachableError:
                await asyncio.sleep(0.05)
            else:
                return


class Box:
    """A gateway's record, moved by the update machine itself."""

    def __init__(self) -> None:
        self.record = Record()
        self.sequence = 0

    async def beat(self, link: SiteLink) -> Desired:
        """Report to *link*'s site, and hear what it wants."""
        self.sequence += 1
        await link.status(
            StatusReport(
                serial=SERIAL,
                boot_epoch=1,
                sequence=self.sequence,
                software="test",
                clock=ClockQuality(synchronised=True, error_max_us=10),
                references=References(),
                effective=None,
                running=None,
                generation_seen=self.record.generation_seen,
                epoch_seen=self.record.epoch_seen,
            )
        )
        desired = await link.desired()
        self.record = advance(self.record, events.Told(desired))
        return desired


async def test_the_second_on_a_folder_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While one works on a folder a second start ends with 75 and one line that names it."""
    site = SiteFolder(tmp_path / "site", capsys).make()
    async with running(site.config):
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_site_proxy", "run", "--config", str(site.config)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, said = await second.communicate()
    assert second.returncode == 75
    (line,) = [each for each in said.decode().splitlines() if "state folder" in each]
    assert "expected to be the only site proxy there, found one at work (process" in line
    assert "Traceback" not in said.decode()
    async with running(site.config) as ports:
        assert ports["gateways"] > 0


async def ordered(site: Path, *words: str) -> list[dict[str, object]]:
    """What a subcommand of the console answers at the site in folder *site*."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgetui", "--socket", str(site / "operator.sock"), "--json"),
        *words,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return msgspec.json.decode(said, type=list[dict[str, object]])


async def test_a_gateway_obeys_one_of_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two on copies of one folder: the gateway obeys the higher epoch, and the other sees it."""
    first, second = SiteFolder(tmp_path / "first", capsys).make(), tmp_path / "second"
    roles = f'[operator.roles_by_user]\n{getpass.getuser()} = ["edge-admin"]\n\n[telemetry'
    first.config.write_text(first.config.read_text().replace("[telemetry", roles, 1))
    token = json.loads(first.on("token", "--serial", SERIAL, "--json").out)["token"]
    (tmp_path / "token").write_text(token)
    box, ca = Box(), first.folder / "identity" / "ca.pem"
    async with running(first.config) as ports, linked(tmp_path, ca, ports) as old:
        await box.beat(old)
        shutil.copytree(first.folder, second, ignore=shutil.ignore_patterns("*.sock"))
        async with running(second / "site.toml") as others, linked(tmp_path, ca, others) as new:
            await ordered(second, "safe-mode", SERIAL, "on", "--reason", "a look inside")
            taken = await box.beat(new)
            assert (box.record.epoch_seen, taken.safe_mode) == (taken.epoch, True)
            before = box.record
            refused = await box.beat(old)
            assert refused.epoch < taken.epoch
            assert box.record == before
            reply = await old.permit(PermitRequest(digest=A, attempt=1, boot_epoch=1))
            assert (reply.granted, reply.epoch < taken.epoch) == (False, True)
            assert "CONFLICT" in reply.reason
            assert [each["kind"] for each in await ordered(first.folder, "exceptions")] == [
                "conflict"
            ]
            assert await ordered(second, "exceptions") == []
