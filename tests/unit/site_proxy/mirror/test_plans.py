"""Signed plans beside the channel: taken forward only, kept, and held to the channel."""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.artefact import ReleaseRef
from edge_core.oci import Layout, plan_tag
from edge_core.trust import Signed, Trust, document_digest
from edge_site_proxy.site import Arrival
from tests.unit.site_proxy.mirror.upstream import MODEL, Ear, Upstream, mirror_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """One good release, named by a channel, with a plan."""
    made = Upstream(tmp_path)
    made.plan(made.publish("1.0.0", 1), 7)
    made.channel()
    return made


@dataclass
class Order(Ear):
    """Notes which plans it was told of when the first release came."""

    heard: list[int] = field(default_factory=list)

    async def release_arrived(self, arrival: Arrival) -> None:
        """Note both."""
        self.heard = list(self.plans.told)
        await super().release_arrived(arrival)


async def tags(upstream: Upstream) -> list[str]:
    """What the site's mirror has."""
    return await Layout.open(upstream.folder / "mirror").tags()


async def test_taken(upstream: Upstream) -> None:
    """It is told of before its release is, with who signed it, and is served on from here."""
    ear = Order()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    assert ear.heard == [7]
    assert ear.plans.newest is not None
    assert ear.plans.newest.signers == ("key-0",)
    assert plan_tag(MODEL) in await tags(upstream)
    assert ear.alarms == {}
    first = await Layout.open(upstream.folder / "mirror").manifest(plan_tag(MODEL))
    await mirror.poll()
    again = await Layout.open(upstream.folder / "mirror").manifest(plan_tag(MODEL))
    assert again.digest == first.digest


async def test_restart_offline(upstream: Upstream) -> None:
    """A plan that is kept is no release, still verifies, and is told of again."""
    await mirror_of(upstream, Ear()).poll()
    shutil.rmtree(upstream.root)
    ear = Ear()
    await mirror_of(upstream, ear).load()
    assert (ear.refused, ear.plans.withdrawn, ear.versions) == ([], {}, ["1.0.0"])
    assert ear.plans.told == [7]


async def test_a_copy_that_is_behind(upstream: Upstream) -> None:
    """Told of a newer one before the power went: the older copy withdraws nothing."""
    ear = Ear()
    await mirror_of(upstream, ear).poll()
    newer = ear.plans.newest
    assert newer is not None
    document = msgspec.structs.replace(newer.document, sequence=8)
    ear.plans.newest = Signed(document, document_digest(document), newer.signers)
    await mirror_of(upstream, ear).load()
    assert ear.plans.newest.document.sequence == 8
    assert ear.plans.withdrawn == {}


async def test_a_key_that_is_trusted_no_more(upstream: Upstream) -> None:
    """What it signed is withdrawn at the next start, in words."""
    good = upstream.trust()
    await mirror_of(upstream, Ear(), good).poll()
    plan = msgspec.structs.replace(good.policy, plan=None)
    ear = Ear()
    await mirror_of(upstream, ear, Trust(plan, good.keyring, good.digest)).load()
    assert "expected [plan] in the trust policy" in ear.plans.withdrawn[MODEL]


def _stranger(upstream: Upstream, release: ReleaseRef) -> None:
    upstream.plan(release, 8, signer=upstream.stranger)


def _replayed(upstream: Upstream, release: ReleaseRef) -> None:
    upstream.plan(release, 6)


def _forked(upstream: Upstream, release: ReleaseRef) -> None:
    upstream.plan(release, 7, sites=["north", "south"])


def _renamed(upstream: Upstream, release: ReleaseRef) -> None:
    upstream.plan(msgspec.structs.replace(release, version="9.9.9"), 8)


def _something_else(upstream: Upstream, _: ReleaseRef) -> None:
    index = upstream.root / "index.json"
    text = index.read_text(encoding="utf-8").replace(plan_tag(MODEL), "elsewhere")
    index.write_text(text.replace(f"{MODEL}-1.0.0", plan_tag(MODEL)), encoding="utf-8")


@dataclass(frozen=True)
class Bad:
    """A plan that must not pass, and a word of the reason."""

    spoil: Callable[[Upstream, ReleaseRef], None]
    says: str


BAD = {
    "a stranger signed it": Bad(_stranger, "step 5 (keyring)"),
    "an older one is shown again": Bad(_replayed, "attack or restored upstream: plan: expected "),
    "another one under its number": Bad(_forked, "sequence 7 was"),
    "something else lies where it should": Bad(_something_else, "plan for pump-condition: "),
    "it calls its release otherwise": Bad(_renamed, "as the channel calls"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_refused(bad: Bad, upstream: Upstream) -> None:
    """One alarm, until a good one comes; what was in force stays, and releases still arrive."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    before = ear.plans.newest
    bad.spoil(upstream, upstream.releases[0])
    upstream.publish("2.0.0", 2)
    upstream.channel()
    await mirror.poll()
    assert bad.says in ear.alarms["mirror-plan"]
    assert ear.plans.newest is before
    assert ear.versions == ["1.0.0", "2.0.0"]
    upstream.plan(upstream.releases[1], 9)
    await mirror.poll()
    assert ear.plans.told[-1] == 9
    assert ear.alarms == {}


async def test_no_plan(tmp_path: Path) -> None:
    """A site whose upstream signs none is told of none, and of no mistake."""
    upstream = Upstream(tmp_path)
    upstream.publish("1.0.0", 1)
    upstream.channel()
    ear = Ear()
    await mirror_of(upstream, ear).poll()
    assert (ear.plans.told, ear.alarms, ear.versions) == ([], {}, ["1.0.0"])


async def test_a_plan_for_others(upstream: Upstream) -> None:
    """A plan that names other sites is none of ours; what we have stays."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    upstream.plan(upstream.releases[0], 8, sites=["south"])
    await mirror.poll()
    assert set(ear.plans.told) == {7}
    assert ear.alarms == {}


async def test_it_waits_for_its_release(upstream: Upstream) -> None:
    """Signed before the channel names its release, it counts from then on."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    await mirror.poll()
    later = upstream.publish("2.0.0", 2)
    upstream.plan(later, 8)
    await mirror.poll()
    assert set(ear.plans.told) == {7}
    upstream.channel()
    await mirror.poll()
    assert ear.plans.told[-1] == 8


async def test_an_old_disk_is_no_attack(upstream: Upstream) -> None:
    """What somebody carried here may be older than what is known; that is no alarm."""
    ear = Ear()
    mirror = mirror_of(upstream, ear)
    shutil.copytree(upstream.root, upstream.folder / "carried")
    upstream.plan(upstream.releases[0], 8)
    upstream.channel()
    shutil.move(upstream.folder / "carried", upstream.folder / "old")
    await mirror.poll()
    shutil.move(upstream.folder / "old", upstream.folder / "carried")
    await mirror.poll()
    assert set(ear.plans.told) == {8}
    assert ear.alarms == {}


async def test_nothing_new_under_an_expired_channel(upstream: Upstream) -> None:
    """An expired channel starts nothing, so its plans wait too."""
    upstream.channel(expires=-dt.timedelta(days=1))
    ear = Ear()
    await mirror_of(upstream, ear).poll()
    assert ear.plans.told == []
