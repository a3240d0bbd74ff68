"""A release carried on a disk: out of one site, into another, verified on the way."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_core.oci import Layout
from tests.unit.site_proxy.commands.sites import SiteFolder
from tests.unit.site_proxy.mirror.upstream import MODEL, Ear, Upstream, mirror_of

MIRROR = """
[mirror]
admission = false
[mirror.source]
kind = "layout"
directory = "nowhere"
"""
TRUST = """
version = 1
[[keys]]
id = "key-0"
path = "good.pub"
[[rules]]
stage = "production"
keys = ["key-0"]
threshold = 1
builder_ids = ["https://ci.example/edge-pack"]
sources = ["git+https://git.example/models"]
[channel]
keys = ["key-0"]
[plan]
keys = ["key-0"]
"""
TAG = f"{MODEL}-1.0.0"


@pytest.fixture
def upstream(tmp_path: Path, site: SiteFolder) -> Upstream:
    """A disk with one signed release its channel and its plan, which the site's policy trusts."""
    made = Upstream(tmp_path)
    made.plan(made.publish("1.0.0", 1), 3)
    made.channel()
    (site.folder / "good.pub").write_bytes(made.signer.public_key.to_pem())
    (site.folder / "trust-policy.toml").write_text(TRUST)
    site.config.write_text(site.config.read_text().replace("[rollout]", MIRROR + "\n[rollout]", 1))
    return made


def test_import(site: SiteFolder, upstream: Upstream) -> None:
    """A release that verifies is left where the daemon's mirror looks."""
    said = site.on("bundle", "import", TAG, str(upstream.root), "--json")
    assert said.code == 0, said.err
    answer = json.loads(said.out)
    assert (answer["signers"], answer["channel"], answer["plan"]) == (["key-0"], True, True)
    assert (site.folder / "state" / "carried" / "index.json").exists()


def test_import_unsigned(site: SiteFolder, upstream: Upstream) -> None:
    """One that does not verify is refused, and no model of it is kept."""
    upstream.publish("2.0.0", 2, signed=False)
    said = site.on("bundle", "import", f"{MODEL}-2.0.0", str(upstream.root))
    assert said.code == 3
    carried = site.folder / "state" / "carried" / "blobs" / "sha256"
    assert not (carried / upstream.weights("2.0.0").name).exists()


@pytest.mark.anyio
async def test_round_trip(site: SiteFolder, upstream: Upstream, tmp_path: Path) -> None:
    """What one site exports, another mirrors as if it came from upstream."""
    await mirror_of(upstream, Ear()).poll()
    exported = tmp_path / "disk"
    (tmp_path / "mirror").rename(site.folder / "state" / "mirror")
    assert exports(site, exported) == 0
    assert await Layout.open(exported).tags() == ["channel-north", f"plan-{MODEL}", TAG]
    upstream.root.rename(tmp_path / "gone")
    exported.rename(upstream.root)
    ear = Ear()
    await mirror_of(upstream, ear).poll()
    assert (ear.versions, ear.plans.told) == (["1.0.0"], [3])


def exports(site: SiteFolder, into: Path) -> int:
    """Export from another thread of life: the command runs its own event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(site.on, "bundle", "export", TAG, str(into)).result().code
