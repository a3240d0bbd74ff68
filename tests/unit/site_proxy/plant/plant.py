"""The demo plant in small: two lines, three cells, five pumps; one pair, one safety zone."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import TrialPolicy, UpdateState
from edge_core.contracts.plant import (
    GatewayPlace,
    Inventory,
    Position,
    SafetyClass,
    Zone,
)
from edge_core.contracts.rollout import ChangeWindow, CohortRule, PinRule, Policy, RolloutState
from edge_core.contracts.signing import ApproveRequest
from edge_site_proxy.rollout.orders import Sender, lines_of
from edge_site_proxy.rollout.records import Rollout, etag_of, plan_digest
from edge_site_proxy.rollout.world import SiteSettings
from edge_site_proxy.site import Arrival, Site, open_store
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.connections import pragma
from tests.unit.site_proxy.plant.gateway import BEAT_S, Behaviour, Gateway

MODEL = "pump-condition"
TARGET = "linux-amd64/onnxruntime/fp32/b1"


def place(
    serial: str, line: str, cell: str, *, zone: str = "plain", group: str | None = None
) -> GatewayPlace:
    """One gateway's place."""
    position = Position(site="P1", area="A", line=line, cell=cell, asset=f"pump-{serial}")
    return GatewayPlace(
        serial=serial, position=position, zone=zone, model=MODEL, redundancy_group=group
    )


INVENTORY = Inventory(
    site="P1",
    zones=[Zone(name="plain"), Zone(name="boiler", safety_class=SafetyClass.SAFETY)],
    gateways=[
        place("g1", "L1", "C1"),
        place("g2", "L1", "C2", group="pair"),
        place("g3", "L2", "C3", group="pair"),
        place("g4", "L2", "C3"),
        place("g5", "L2", "C3", zone="boiler"),
    ],
)

FREE = Inventory(
    site="P1",
    zones=[Zone(name="plain")],
    gateways=[place(f"g{number}", f"L{number % 2}", f"C{number % 2}") for number in range(1, 7)],
)

ALWAYS = ChangeWindow(days=[1, 2, 3, 4, 5, 6, 7], start="00:00", end="00:00")

POLICY = Policy(
    cohorts=[
        CohortRule(name="canary", share=0.0, least=1),
        CohortRule(name="early", share=0.0, least=2),
        CohortRule(name="all", share=1.0, least=1),
    ],
    gate=GateLimits(
        windows_min=6,
        inferences_min=300,
        soak_min_s=6.0,
        soak_max_s=600.0,
        bad_windows_max=0.5,
        restarts_per_day_max=1e6,
        history_days_min=0,
        history_windows_min=1,
        shifts_min=0,
    ),
    trial=TrialPolicy(inferences_min=50, duration_min_s=2.0, duration_max_s=60.0),
    permit_valid_s=20.0,
    stage_deadline_s=300.0,
    safety_lag_s=10.0,
    shadow_pairs_min=100,
    silent_after_s=30.0,
    windows=[ALWAYS],
    pin=PinRule.NONE,
    safety_waivers=1,
    acknowledged_within_s=0.0,
)


def release(version: str, number: int) -> ReleaseRef:
    """A release of the pump model."""
    return ReleaseRef(
        model=MODEL, version=version, release=number, digest="sha256:" + f"{number:064x}"
    )


V1, V2, V3 = release("1.0.0", 1), release("2.0.0", 2), release("3.0.0", 3)


class Plant:
    """A site with its gateways and a clock in the test's hand."""

    def __init__(self, site: Site, clock: HandClock, gateways: dict[str, Gateway]) -> None:
        self.site = site
        self.clock = clock
        self.gateways = gateways

    async def arrive(self, ref: ReleaseRef) -> Rollout:
        """A verified release comes in."""
        await self.site.release_arrived(
            Arrival(release=ref, targets=(TARGET,), signers=("key-a", "key-b"), author="ci")
        )
        await self.site.reconcile()
        return self.rollout(ref)

    def rollout(self, ref: ReleaseRef) -> Rollout:
        """The rollout that brings *ref*."""
        return next(
            each for each in self.site.world.rollouts.values() if each.digest == ref.digest
        )

    def line_of(self, rollout: Rollout) -> str:
        """A line that its plan touches, as an approver has to type it."""
        return next(iter(lines_of(rollout.plan, self.site.world.plant.inventory)), "-")

    async def approve(self, ref: ReleaseRef, who: str = "ana") -> Rollout:
        """Approve with what is there now."""
        rollout = self.rollout(ref)
        request = ApproveRequest(
            ticket="CHG-1042",
            reason="accepted in the weekly meeting",
            plan_digest=plan_digest(rollout.plan),
            line=self.line_of(rollout),
        )
        return await self.site.desk.approve(rollout.id, request, Sender(who, etag_of(rollout)))

    async def beat(self, serials: Iterable[str] | None = None) -> None:
        """Let everybody report once, and look at everything."""
        self.clock.turn(BEAT_S)
        for serial in serials if serials is not None else list(self.gateways):
            await self.gateways[serial].beat(self.site)
        await self.site.reconcile()

    async def until(self, ref: ReleaseRef, state: RolloutState, beats: int = 300) -> Rollout:
        """Beat until the rollout of *ref* is in *state*."""
        for _ in range(beats):
            if self.rollout(ref).state is state:
                return self.rollout(ref)
            await self.beat()
        found = self.rollout(ref)
        raise AssertionError(f"{found.id} is {found.state}, holds {found.header.holds}")

    async def refused(self, ref: ReleaseRef) -> Rollout:
        """Roll out a *ref* whose smoke vectors come out nowhere, until it is held."""
        for each in self.gateways.values():
            each.models[ref.digest] = Behaviour(veto="smoke")
        await self.arrive(ref)
        await self.approve(ref)
        for _ in range(5):
            await self.beat()
        return self.rollout(ref)

    async def until_trial(self, ref: ReleaseRef) -> str:
        """Roll *ref* out as far as its canary's trial, and say who that is."""
        await self.arrive(ref)
        await self.approve(ref)
        for _ in range(60):
            await self.beat()
            for serial, gateway in self.gateways.items():
                if gateway.state is UpdateState.TRIAL:
                    return serial
        raise AssertionError("nobody began a trial")

    async def bring_past(self, ref: ReleaseRef, serials: Iterable[str], beats: int = 300) -> None:
        """Roll *ref* out while only *serials* report, until they all have it."""
        beating = list(serials)
        await self.beat(beating)
        await self.arrive(ref)
        await self.beat(beating)
        await self.approve(ref)
        for _ in range(beats):
            if all(self.gateways[serial].committed == ref.digest for serial in beating):
                return
            await self.beat(beating)
        found = self.rollout(ref)
        raise AssertionError(f"{found.id} is {found.state}, holds {found.header.holds}")

    async def bring(self, ref: ReleaseRef) -> Rollout:
        """Roll *ref* out to the end."""
        await self.arrive(ref)
        await self.beat()
        await self.approve(ref)
        return await self.until(ref, RolloutState.COMPLETED)


@asynccontextmanager
async def plant(
    folder: Path,
    *,
    inventory: Inventory = INVENTORY,
    policy: Policy = POLICY,
    clock: HandClock | None = None,
    stamp: Callable[[], datetime] | None = None,
) -> AsyncIterator[Plant]:
    """A plant whose state lies in *folder*; opened twice it is the same plant.

    *stamp* is the clock that the store looks at in each transaction; there a test may end it.
    """
    clock = clock or HandClock()
    clocks = clock.clocks()
    store = open_store(folder / "site.db", now=stamp or clocks.now, clock=clocks.quality)
    async with store:
        # What a power cut leaves of the database is seen elsewhere; here nobody waits for a disk.
        await pragma(store, "synchronous = OFF")
        settings = SiteSettings(policy=policy, health_window_s=BEAT_S)
        site = await Site.open(store, inventory, settings, folder / "audit.key", clocks)
        gateways = {
            each.serial: Gateway(serial=each.serial, clock=clock) for each in inventory.gateways
        }
        yield Plant(site, clock, gateways)
