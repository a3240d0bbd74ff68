"""A signed plan on its way: packer, registry, mirror, site and gateways."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.plant import SafetyClass
from edge_core.contracts.rollout import OnFail, RolloutState
from edge_core.oci import Layout
from edge_packaging.__main__ import main as edge_pack
from edge_site_proxy.audit.log import events_about
from edge_site_proxy.mirror.gate import admit_any
from edge_site_proxy.mirror.mirror import Mirror
from edge_site_proxy.mirror.rules import Rules
from edge_site_proxy.rollout.records import Rollout
from tests.unit.site_proxy.mirror.upstream import Upstream
from tests.unit.site_proxy.plant.plant import POLICY, Plant, plant

pytestmark = pytest.mark.anyio
TERMS = """
safety_lag_s = 10.0
on_fail = "auto_rollback"
cohorts = [{ name = "canary", share = 0.01, least = 1 }, { name = "rest", share = 1.0 }]

[gate]
windows_min = 20
inferences_min = 300
soak_min_s = 60.0
bad_windows_max = 0.5
restarts_per_day_max = 1e6
history_days_min = 0
history_windows_min = 1
shifts_min = 0

[trial]
inferences_min = 100
duration_min_s = 2.0
duration_max_s = 60.0
"""


class Upstreams:
    """What upstream publishes and how this site looks at it."""

    def __init__(self, folder: Path, here: Plant) -> None:
        self.packer = Upstream(folder)
        self.here = here
        self.terms = folder / "plan.toml"
        self.terms.write_text(TERMS, encoding="utf-8")
        self.mirror = Mirror(
            folder / "mirror",
            source=lambda: Layout.open(self.packer.root),
            rules=Rules("north", self.packer.trust(), "production", SafetyClass.NONE),
            gate=admit_any,
            site=here.site,
            now=here.clock.clocks().now,
        )

    def publish(self, version: str, number: int) -> ReleaseRef:
        """A release that the channel names."""
        release = self.packer.publish(version, number)
        self.packer.channel()
        return release

    async def sign(self, release: ReleaseRef, sequence: int, *more: str) -> None:
        """`edge-pack plan`."""
        asked = ["plan", str(self.packer.root), str(self.terms), "--sequence", str(sequence)]
        tag, key = f"{release.model}-{release.version}", str(self.packer.folder / "good.key")
        words = [*asked, "--release", tag, "--key", key, "--site", "north", *more]
        assert await asyncio.to_thread(edge_pack, words) == 0

    async def look(self, release: ReleaseRef) -> Rollout:
        """The site looks upstream; the newest rollout of *release*."""
        await self.mirror.poll()
        await self.here.beat()
        return self.newest(release)

    def newest(self, release: ReleaseRef) -> Rollout:
        """The last rollout that was opened of *release*."""
        return [
            each
            for each in self.here.site.world.rollouts.values()
            if each.digest == release.digest
        ][-1]


async def test_a_plan_tightens_the_gate_and_bars_what_it_does_not_name(tmp_path: Path) -> None:
    """Signed upstream, it restricts this site; another release is refused until it has its own."""
    async with plant(tmp_path) as here:
        upstream = Upstreams(tmp_path, here)
        first = upstream.publish("1.0.0", 1)
        assert (await upstream.look(first)).plan.signed is None
        await here.approve(first)
        await here.until(first, RolloutState.COMPLETED)

        second = upstream.publish("2.0.0", 2)
        await upstream.sign(second, 1, "--rollback", first.digest)
        waits = await upstream.look(second)
        signed = waits.plan.signed
        assert signed is not None
        assert (signed.sequence, signed.signers) == (1, ["key-0"])
        gate = waits.plan.policy.gate
        assert (POLICY.gate.soak_min_s, gate.soak_min_s, gate.windows_min) == (6.0, 60.0, 20)
        assert waits.plan.policy.on_fail is OnFail.AUTO_ROLLBACK
        await here.approve(second)
        done = await here.until(second, RolloutState.COMPLETED, beats=600)
        assert all(report.exposure_s >= 60.0 for report in done.header.gates)
        assert {each.committed for each in here.gateways.values()} == {second.digest}
        said = await here.site.store.read(
            partial(events_about, noun="plan", subject=signed.digest)
        )
        assert [each.kind for each in said] == ["plan.accepted"]

        third = upstream.publish("3.0.0", 3)
        refused = await upstream.look(third)
        assert refused.state is RolloutState.REJECTED
        assert refused.header.why.startswith(
            f"signed plan 1 of pump-condition: expected 2.0.0 ({second.digest})"
        )
        assert {each.committed for each in here.gateways.values()} == {second.digest}

        await upstream.sign(third, 2, "--rollback", first.digest)
        elsewhere = await upstream.look(third)
        assert elsewhere.state is RolloutState.REJECTED
        assert "this site would go back to 2.0.0" in elsewhere.header.why
        await upstream.sign(third, 3, "--rollback", second.digest)
        opened = await upstream.look(third)
        assert (opened.id, opened.state) == (
            "pump-condition-3.0.0-r3-p3",
            RolloutState.AWAITING_APPROVAL,
        )

        await upstream.sign(second, 1)
        await upstream.look(second)
        standing = {each.source: each.what for each in await here.site.alarms.standing()}
        assert "expected sequence 3 or higher, found 1" in standing["mirror-plan"]
        assert upstream.newest(third).state is RolloutState.AWAITING_APPROVAL
