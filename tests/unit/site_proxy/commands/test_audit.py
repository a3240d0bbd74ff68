"""`site-proxy audit` at a site that has run: what it writes, proves, and refuses."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.unit.site_proxy.commands.sites import SiteFolder

pytestmark = pytest.mark.anyio


async def ran(site: SiteFolder) -> None:
    """Let the daemon start and end once."""
    async with site.running():
        pass


async def test_export_and_verify(site: SiteFolder, tmp_path: Path) -> None:
    """An export verifies, and where a byte was changed the entry is named with code 3."""
    await ran(site)
    folder = tmp_path / "export"
    assert site.on("audit", "export", str(folder)).code == 0
    said = site.on("audit", "verify", str(folder), "--json")
    assert (said.code, json.loads(said.out)["verified"]) == (0, True)
    assert site.on("audit", "verify").code == 0
    path = folder / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"site.started", b"site.stopped"))
    said = site.on("audit", "verify", str(folder), "--json")
    assert (said.code, json.loads(said.out)["first_bad"]) == (3, 1)


async def test_prove_and_consistency(site: SiteFolder, tmp_path: Path) -> None:
    """One event is proved; a checkpoint from yesterday fits, and another log's does not."""
    await ran(site)
    proof = site.on("audit", "prove", "--event", "0")
    assert (proof.code, proof.out.split("\n")[:2]) == (0, ["c2sp.org/tlog-proof@v1", "index 0"])
    assert site.on("audit", "prove", "--event", "900").code == 4
    old = tmp_path / "old.txt"
    old.write_text(proof.out.partition("\n\n")[2])
    await ran(site)
    said = site.on("audit", "consistency", str(old), "--json")
    assert (said.code, json.loads(said.out)["consistent"]) == (0, True)
    assert site.on("audit", "verify", "--witness", str(old)).code == 0
    old.write_text(old.read_text().replace("site/north", "site/south"))
    assert site.on("audit", "consistency", str(old)).code == 3
    assert site.on("audit", "verify", "--witness", str(old)).code == 3


async def test_rotate_key(site: SiteFolder) -> None:
    """The daemon makes the new key as soon as it has seen the wish, and the log still verifies."""
    await ran(site)
    before = (site.folder / "state" / "audit.key").read_bytes()
    assert site.on("audit", "rotate-key", "--reason", "x").code == 2
    assert site.on("audit", "rotate-key", "--reason", "the yearly change").code == 0
    async with site.running(), asyncio.timeout(30):
        while before == (site.folder / "state" / "audit.key").read_bytes():  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    assert site.on("audit", "verify").code == 0


REPORTS = {
    "the changes of a period": (("changes", "DIR", "--since", "2026-01-01T00:00:00Z"), 0),
    "an inventory": (("inventory", "DIR", "--at", "2126-01-01T00:00:00Z"), 0),
    "the access log": (("access", "DIR"), 0),
    "no such change": (("change", "DIR", "--change", "r"), 4),
    "a change without its id": (("change", "DIR"), 2),
    "an id without a change": (("changes", "DIR", "--change", "r"), 2),
    "a time without a zone": (("changes", "DIR", "--since", "2026-01-01T00:00:00"), 2),
    "no such report": (("weather", "DIR"), 2),
    "an export that is none": (("changes", "DIR", "--log", "/nowhere"), 3),
}


@pytest.mark.parametrize(("arguments", "code"), REPORTS.values(), ids=REPORTS.keys())
async def test_report(
    site: SiteFolder, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    """A report is written, or one line says what is wrong with the question."""
    await ran(site)
    folder = tmp_path / "report"
    chosen = [str(folder) if each == "DIR" else each for each in arguments]
    said = site.on("audit", "report", *chosen, "--json")
    assert said.code == code
    assert "Traceback" not in said.err
    if code == 0:
        assert json.loads(said.out)["report"] == arguments[0]
        assert (folder / f"{arguments[0]}.csv").exists()
        assert site.on("audit", "verify", str(folder)).code == 0
