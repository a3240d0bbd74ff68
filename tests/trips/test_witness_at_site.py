"""A gateway is a witness of its site's audit log, and finds it out when the log is replaced."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.gateway import StatusReply
from edge_runtime.errors import SiteUnreachableError
from edge_runtime.link import SiteLink
from edge_runtime.witness import load
from tests.trips.test_telemetry_at_site import SERIAL, WAIT_S, linked, report
from tests.unit.site_proxy.commands.sites import SiteFolder

pytestmark = pytest.mark.anyio


async def heartbeat(link: SiteLink) -> StatusReply:
    """One heartbeat, as soon as the link is up."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await link.status(report())
            except SiteUnreachableError:
                await asyncio.sleep(0.02)


async def test_log_that_was_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the gateway kept verifies against the log, and convicts the one put in its place."""
    site = SiteFolder(tmp_path / "site", capsys).make()
    gateway, witness = tmp_path / "gateway", tmp_path / "gateway" / "witness.json"
    gateway.mkdir()
    token = json.loads(site.on("token", "--serial", SERIAL, "--json").out)["token"]
    (gateway / "token").write_text(token)
    async with (
        site.running() as ports,
        linked(site, gateway, (ports.gateways, ports.enrolment)) as link,
    ):
        await heartbeat(link)
    async with (
        site.running() as ports,
        linked(site, gateway, (ports.gateways, ports.enrolment)) as link,
    ):
        kept = (await heartbeat(link)).checkpoint
    assert kept is not None
    assert load(witness).checkpoint == kept
    status = tmp_path / "gw.json"
    status.write_bytes(msgspec.json.encode(load(witness)))
    assert site.on("audit", "verify", "--witness", str(status)).code == 0
    for path in (site.folder / "state").glob("site.db*"):
        path.unlink()
    async with (
        site.running() as ports,
        linked(site, gateway, (ports.gateways, ports.enrolment)) as link,
    ):
        shown = (await heartbeat(link)).checkpoint
    assert shown is not None
    assert shown.size < kept.size
    assert load(witness).checkpoint == kept
    assert load(witness).contradiction == (kept, shown)
    said = site.on("audit", "verify", "--witness", str(status), "--json")
    assert (said.code, json.loads(said.out)["verified"]) == (3, False)
