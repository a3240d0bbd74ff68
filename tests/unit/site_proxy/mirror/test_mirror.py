"""Mirroring: what the channel names and verifies is served; nothing else ever is."""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.artefact import BUNDLE_TYPE
from edge_core.oci import Layout
from tests.unit.site_proxy.mirror.upstream import MODEL, WEIGHTS, Ear, Upstream, mirror_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """One good release, named by a channel."""
    made = Upstream(tmp_path)
    made.publish("1.0.0", 1)
    made.channel()
    return made


async def test_mirrors(upstream: Upstream) -> None:
    """A release that verifies is on the shelf with all it reaches, and the site is told once."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    await mirror.poll()
    (arrival,) = ear.arrived
    assert arrival.targets == ("linux-amd64/onnxruntime/fp32/b1",)
    assert arrival.signers == ("key-0",)
    assert arrival.facts["commit"] == "a1" * 20
    shelf = mirror.shelf
    assert shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]
    index = shelf.manifest(MODEL, f"{MODEL}-1.0.0")
    assert index is not None
    assert index.digest == arrival.release.digest
    inner = msgspec.json.decode(index.raw)["manifests"][0]["digest"]
    manifest = shelf.manifest(MODEL, inner)
    assert manifest is not None
    layer = msgspec.json.decode(manifest.raw)["layers"][0]["digest"]
    blob = shelf.blob(MODEL, layer)
    assert blob is not None
    assert blob.path.read_bytes() == WEIGHTS + b"1.0.0"
    (referrer,) = shelf.referrers(MODEL, index.digest)
    assert referrer.artifact_type == BUNDLE_TYPE
    assert shelf.tags("other") is None
    assert shelf.blob("other", layer) is None


async def test_restart_offline(upstream: Upstream) -> None:
    """After a restart with the WAN gone, everything is served as before."""
    await mirror_of(upstream, Ear()).poll()
    shutil.rmtree(upstream.root)
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.load()
    await mirror.poll()
    assert mirror.shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]
    assert ear.versions == ["1.0.0"]
    assert ear.alarms == {}


@dataclass(frozen=True)
class Bad:
    """A second release that must not pass, and a word of the reason."""

    spoil: Callable[[Upstream], None]
    says: str
    remembered: bool = True


def _unsigned(upstream: Upstream) -> None:
    upstream.publish("2.0.0", 2, signed=False)


def _stranger(upstream: Upstream) -> None:
    upstream.publish("2.0.0", 2, signer=upstream.stranger)


def _renamed(upstream: Upstream) -> None:
    release = upstream.publish("2.0.0", 2)
    upstream.releases[-1] = msgspec.structs.replace(release, version="9.0.0")


def _renumbered(upstream: Upstream) -> None:
    release = upstream.publish("2.0.0", 2)
    upstream.releases[-1] = msgspec.structs.replace(release, release=9)


def _tampered(upstream: Upstream) -> None:
    upstream.publish("2.0.0", 2)
    path = upstream.weights("2.0.0")
    path.write_bytes(path.read_bytes().replace(b"weights", b"WEIGHTS", 1))


BAD = {
    "nobody signed it": Bad(_unsigned, "key"),
    "a stranger signed it": Bad(_stranger, "key"),
    "the channel calls it otherwise": Bad(_renamed, "version"),
    "the channel counts it otherwise": Bad(_renumbered, "release number"),
    "its model was changed on the way": Bad(_tampered, "sha256", remembered=False),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_refused(bad: Bad, upstream: Upstream) -> None:
    """A bad release is refused once, kept as evidence, and never visible; the good one stays."""
    bad.spoil(upstream)
    upstream.channel()
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    await mirror.poll()
    ((name, reason),) = ear.refused
    assert name.startswith(MODEL)
    assert bad.says in reason
    assert mirror.shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]
    assert ear.versions == ["1.0.0"]
    evidence = list((upstream.folder / "mirror" / "refused").iterdir())
    assert len(evidence) == bad.remembered
    again = mirror_of(upstream, ear)
    await again.load()
    assert again.shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]


async def test_healed(upstream: Upstream) -> None:
    """Bytes that were spoilt on the way are fetched again; then the release arrives."""
    _tampered(upstream)
    upstream.channel()
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    upstream.weights("2.0.0").write_bytes(WEIGHTS + b"2.0.0")
    await mirror.poll()
    assert ear.versions == ["1.0.0", "2.0.0"]


async def test_key_arrives(upstream: Upstream) -> None:
    """A release that was refused passes once the policy knows its key."""
    upstream.publish("2.0.0", 2, signer=upstream.stranger)
    upstream.channel()
    await mirror_of(upstream, Ear()).poll()
    ear = Ear()
    await mirror_of(upstream, ear, upstream.trust(upstream.signer, upstream.stranger)).poll()
    assert ear.versions == ["1.0.0", "2.0.0"]


async def test_policy_changes(upstream: Upstream) -> None:
    """Under a policy without its key a mirrored release is withheld; under the old it is back."""
    await mirror_of(upstream, Ear()).poll()
    ear = Ear()
    stricter = mirror_of(upstream, ear, upstream.trust(upstream.stranger))
    await stricter.load()
    assert stricter.shelf.tags(MODEL) is None
    assert ear.refused
    assert ear.arrived == []
    again = mirror_of(upstream, Ear())
    await again.load()
    assert again.shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]


async def test_rolled_back(upstream: Upstream) -> None:
    """A lower channel than seen is an alarm, also after a restart; what is here stays."""
    upstream.channel()
    await mirror_of(upstream, Ear()).poll()
    upstream.channel(sequence=1)
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.load()
    await mirror.poll()
    assert "attack or restored upstream" in ear.alarms["mirror-channel"]
    assert mirror.shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]
    upstream.channel(sequence=3)
    await mirror.poll()
    assert ear.alarms == {}


async def test_forked(upstream: Upstream) -> None:
    """The same sequence with other content is an alarm."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    upstream.channel(sequence=1, releases=[])
    await mirror.poll()
    assert "mirror-channel" in ear.alarms


async def test_channel_of_a_stranger(upstream: Upstream) -> None:
    """A channel that a stranger signed moves nothing."""
    upstream.publish("2.0.0", 2)
    upstream.channel(signer=upstream.stranger)
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    assert ear.arrived == []
    assert "mirror-channel" in ear.alarms


async def test_expired(upstream: Upstream) -> None:
    """An expired channel starts nothing new, and takes nothing away."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    upstream.publish("2.0.0", 2)
    upstream.channel(expires=-dt.timedelta(days=1))
    await mirror.poll()
    assert ear.versions == ["1.0.0"]
    assert "mirror-expired" in ear.alarms
    assert mirror.shelf.tags(MODEL) == [f"{MODEL}-1.0.0"]


async def test_below_the_floor(upstream: Upstream) -> None:
    """A release below the channel's floor is not fetched."""
    upstream.publish("2.0.0", 2)
    upstream.channel(lowest={MODEL: 2})
    ear = Ear()
    await mirror_of(upstream, ear).poll()
    assert ear.versions == ["2.0.0"]


async def test_named_before_published(upstream: Upstream) -> None:
    """A channel may name a release a moment before it is there; that is no refusal."""
    release = upstream.publish("2.0.0", 2)
    upstream.channel()
    hidden = upstream.root / "blobs" / "sha256" / release.digest.removeprefix("sha256:")
    content = hidden.read_bytes()
    hidden.unlink()
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    assert ear.refused == []
    hidden.write_bytes(content)
    await mirror.poll()
    assert ear.versions == ["1.0.0", "2.0.0"]


async def test_carried(upstream: Upstream) -> None:
    """A newer channel and its release that somebody carried here count as if upstream had them."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    upstream.publish("2.0.0", 2)
    upstream.channel()
    upstream.root.rename(upstream.folder / "carried")
    await mirror.poll()
    assert ear.versions == ["1.0.0", "2.0.0"]


async def test_old_disk(upstream: Upstream) -> None:
    """A disk with an older channel is no attack."""
    shutil.copytree(upstream.root, upstream.folder / "carried")
    upstream.publish("2.0.0", 2)
    upstream.channel()
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    await mirror.poll()
    assert ear.alarms == {}
    assert ear.versions == ["1.0.0", "2.0.0"]


async def test_readable_by_others(upstream: Upstream) -> None:
    """The mirror's folder is an image layout that any tool reads."""
    await mirror_of(upstream, Ear()).poll()
    layout = Layout.open(upstream.folder / "mirror")
    assert await layout.tags() == ["channel-north", f"{MODEL}-1.0.0"]
