"""A forced rollback when nothing else works: at the gateway's console, without site or network.

The site proxy is the real one; it is stopped meanwhile, and the links to it are broken.
"""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_core.contracts.artefact import ReleaseRef
from edge_runtime.update.store import RecordStore
from edge_site_proxy.fleet.changes import REFERENCE_CHANGED
from tests.real.gateway_at_plant import Contact, GatewayAtPlant, at_plant
from tests.simulators.gateway_site import serving
from tests.simulators.link import Link
from tests.simulators.releases import Workshop
from tests.simulators.waiting import until
from tests.unit.site_proxy.commands.sites import SiteFolder

pytestmark = [pytest.mark.anyio, pytest.mark.real]

SERIAL = "gw-101"
ROLLBACK_S = 30.0
CONFLICT = 6
REASON = "odd noise since the night shift"


@dataclass(frozen=True, slots=True)
class Site:
    """A real site proxy, which comes and goes; the gateway finds it through two links."""

    folder: SiteFolder
    links: tuple[Link, Link]

    @property
    def contact(self) -> Contact:
        """For the gateway."""
        api, enrolment = (f"https://127.0.0.1:{link.port}" for link in self.links)
        return Contact(api, enrolment, self.folder.folder / "identity" / "ca.pem")

    @asynccontextmanager
    async def reachable(self) -> AsyncIterator[None]:
        """It runs and can be reached; afterwards neither."""
        async with self.folder.running() as ports:
            numbers = (ports.gateways, ports.enrolment)
            for link, number in zip(self.links, numbers, strict=True):
                link.to_port, link.closed = number, False
            yield
            for link in self.links:
                link.closed = True
                link.cut()

    def events(self, kind: str) -> list[dict[str, Any]]:  # Any: JSON values
        """What the audit log has of this gateway, as an export shows it."""
        export = self.folder.folder / "export"
        assert self.folder.on("audit", "export", str(export)).code == 0
        lines = (export / "audit.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [each for each in found if each["kind"] == kind and each["subject"] == SERIAL]

    def effective(self) -> list[str]:
        """Which digests decided there, one after the other."""
        return [each["facts"]["effective"] for each in self.events(REFERENCE_CHANGED)]


async def bring(gateway: GatewayAtPlant, workshop: Workshop) -> tuple[ReleaseRef, ReleaseRef]:
    """Two versions, each committed, from a bench; what the gateway knew of that is forgotten."""
    folder = gateway.folder
    async with serving(SERIAL, workshop.layout, folder) as bench:
        gateway.configure(Contact(bench.url, bench.enrol_url, folder / "ca.pem"))
        gateway.daemon.start()
        for version in ("1", "2"):
            release = workshop.release(version)
            bench.assign(release, attempt=int(version))
            await until(
                lambda digest=release.digest: (  # type: ignore[misc]  # a default
                    bool(bench.reports) and bench.last.references.committed == digest
                ),
                f"version {version} is committed",
            )
        assert await gateway.stop() == 0
    store = RecordStore(gateway.data / "record")
    forgot = {"desired": None, "generation_seen": 0, "epoch_seen": 0}
    store.save(msgspec.structs.replace(store.record, **forgot))
    shutil.rmtree(gateway.data / "identity")
    return workshop.releases["1"], workshop.releases["2"]


@asynccontextmanager
async def enrolled(
    folder: Path, capture: pytest.CaptureFixture[str]
) -> AsyncIterator[tuple[GatewayAtPlant, Site]]:
    """A gateway that is about to meet its site, and is known there."""
    site = Site(SiteFolder(folder / "site", capture).make(), (Link(0), Link(0)))
    one, other = site.links
    async with at_plant(folder, folder / "data", SERIAL) as gateway, one.open(), other.open():
        yield gateway, site


async def test_rollback_at_the_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within 30 s the version before decides; a second order is refused; the site hears it later.

    No window is without its verdict, and the log of the site verifies.
    """
    workshop = Workshop.below(tmp_path / "workshop")
    (tmp_path / "trust-policy.toml").write_text(workshop.policy())
    async with enrolled(tmp_path, capsys) as (gateway, site):
        first, second = await bring(gateway, workshop)
        token = json.loads(site.folder.on("token", "--serial", SERIAL, "--json").out)["token"]
        (tmp_path / "token").write_text(token)
        gateway.configure(site.contact)
        gateway.daemon.start()
        async with site.reachable():
            await until(lambda: site.effective() == [second.digest], "the site knows what runs")
        await gateway.until_decided("2")
        ordered_s = time.monotonic()
        code, said = await gateway.command("rollback", "--reason", REASON)
        assert (code, first.digest in said) == (0, True)
        await gateway.until_decided("1")
        assert time.monotonic() - ordered_s < ROLLBACK_S
        code, said = await gateway.command("rollback", "--reason", "once more")
        assert (code, said.count("\n")) == (CONFLICT, 1)
        await gateway.until_more(5)
        status = await asyncio.to_thread(gateway.status)
        assert status.running == status.references.committed == first.digest
        numbers = [verdict.window for verdict in gateway.verdicts() if verdict.window]
        assert {after - before for before, after in pairwise(numbers)} == {1}
        assert site.effective() == [second.digest]
        async with site.reachable():
            await until(
                lambda: site.effective() == [second.digest, first.digest], "the site hears of it"
            )
            told = site.events("gateway.update_changed")[-1]["facts"]
        assert (told["digest"], told["reason"]) == (second.digest, REASON)
        assert told["outcome"] == "failed_rolled_back"
        assert site.folder.on("audit", "verify").code == 0
