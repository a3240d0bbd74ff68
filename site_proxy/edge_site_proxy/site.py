"""The site's own state behind one door: what the gateway API, the mirror and the daemon call.

    store = open_store(path, more=(identity.MIGRATIONS, ...), now=..., clock=...)
    async with store:
        site = await Site.open(store, inventory, settings, key_file, clocks)
        group.create_task(site.run())
        app = operator_app(site, ...)       # edge_site_proxy.api.operator.app

Everything here is called from one event loop.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
import structlog
from sqlite_utils import Migrations

from edge_core.contracts.api import Priority
from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import (
    Checkpoint,
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    StatusReply,
    StatusReport,
)
from edge_core.contracts.plant import ClockQuality, Inventory
from edge_core.contracts.review import SuspectWindow
from edge_site_proxy.alarms import rows as alarm_rows
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.alarms.desk import AlarmDesk
from edge_site_proxy.alarms.pages.queue import PageQueue
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.notary import SOFTWARE, Notary
from edge_site_proxy.fleet import nightly
from edge_site_proxy.fleet.errors import IdentityMismatchError
from edge_site_proxy.fleet.intake import Intake
from edge_site_proxy.fleet.nightly import Nightly
from edge_site_proxy.fleet.watch import Watch
from edge_site_proxy.review import tables as review_tables
from edge_site_proxy.review.queue import Bounds, ReviewQueue
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.desk import Desk
from edge_site_proxy.rollout.leases import Leases
from edge_site_proxy.rollout.plan_door import PlanDoor
from edge_site_proxy.rollout.policies import check_policy
from edge_site_proxy.rollout.pulls import Pulls
from edge_site_proxy.rollout.reconciler import Reconciler
from edge_site_proxy.rollout.records import AlarmCall, Arrived
from edge_site_proxy.rollout.recovery import Recovery
from edge_site_proxy.rollout.timezones import tzdata_version
from edge_site_proxy.rollout.windows import check_zones
from edge_site_proxy.rollout.world import Clocks, Plant, SiteSettings, World
from edge_site_proxy.signing.pins import Pins
from edge_site_proxy.signing.vault import Vault
from edge_site_proxy.store import Store, StoreUnavailableError

EPOCH_LEAP = 4096  # so seldom do two that start from one copy draw the same epoch
CHECKPOINT_S = 1.0  # a change is under a signed checkpoint within this
SITE = "site-proxy"

log = structlog.get_logger(__name__)

__all__ = ["Arrival", "Site", "SiteSettings", "open_store"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A release that was verified and mirrored, and may now be planned.

    Attributes:
        release: by name and digest.
        targets: written targets that the release's index lists.
        signers: names of the keys or identities whose signatures counted.
        author: who published it; never its own approver.
        facts: JSON values for the audit event: builder, source, data set, policy stage.
        sizes: bytes of the build for each target.
    """

    release: ReleaseRef
    targets: tuple[str, ...]
    signers: tuple[str, ...]
    author: str
    facts: dict[str, object] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def open_store(
    path: Path,
    *,
    more: Iterable[Migrations] = (),
    now: Callable[[], datetime],
    clock: Callable[[], ClockQuality],
) -> Store:
    """The site's database with every table of this side, and those of *more*.

    Raises:
        StoreCorruptError: the file is no database of ours.
        StoreUnavailableError: the disk refuses.
    """
    parts = (
        tables.MIGRATIONS,
        review_tables.MIGRATIONS,
        alarm_rows.MIGRATIONS,
        nightly.MIGRATIONS,
        *more,
    )
    observable = tables.OBSERVABLE | nightly.OBSERVABLE
    return Store.open(path, migrations=parts, observable=observable, now=now, clock=clock)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What `Site` is made of."""

    world: World
    store: Store
    alarms: AlarmBook
    alarm_desk: AlarmDesk
    queue: ReviewQueue
    reconciler: Reconciler
    leases: Leases
    pulls: Pulls
    desk: Desk
    recovery: Recovery
    intake: Intake
    notary: Notary
    pins: Pins
    plans: PlanDoor


class Site:
    """The services of a site; built by `open`.

    Attributes:
        world: the state in memory, for views.
        store: the database, for tables of other components too.
        alarms: the alarm list.
        alarm_desk: where people's orders about alarms go.
        pages: what has to leave the site when somebody must come.
        queue: the review queue.
        desk: where people's orders go.
        recovery: what people say of gateways that do not answer, or know better.
        leases: permits.
        pulls: tokens for downloads.
        notary: checkpoints of the audit log.
        pins: whose PIN is which.
        plans: where signed plans come in.
    """

    def __init__(self, parts: _Parts) -> None:
        self.world = parts.world
        self.store = parts.store
        self.alarms = parts.alarms
        self.alarm_desk = parts.alarm_desk
        self.pages = PageQueue(parts.store, parts.alarms.unwritten)
        self.queue = parts.queue
        self.desk = parts.desk
        self.recovery = parts.recovery
        self.leases = parts.leases
        self.pulls = parts.pulls
        self.notary = parts.notary
        self.pins = parts.pins
        self.plans = parts.plans
        self._reconciler = parts.reconciler
        self._intake = parts.intake

    @classmethod
    async def open(
        cls,
        store: Store,
        inventory: Inventory,
        settings: SiteSettings,
        key_file: Path,
        clocks: Clocks,
        pins_folder: Path | None = None,
        *,
        fence: int = 0,
    ) -> "Site":
        """Read everything back, begin a higher epoch, and look once at everything.

        Args:
            store: from `open_store`; the caller closes it.
            inventory: the gateways of the site.
            settings: as configured.
            key_file: the audit log's private key; made with mode 0600 where there is none.
            clocks: wall, monotonic, and the quality of the first.
            pins_folder: holds the PINs; `pins` beside the key where none is named.
            fence: the highest epoch under which anybody worked on this folder.

        Raises:
            ConfigurationError: the policy contradicts itself, or the key file.
            LogBrokenError: the audit log is not what its last checkpoint says.
            StoreUnavailableError: the disk refuses.
        """
        check_policy(settings.policy)
        check_zones(settings.downloads.shift)
        notary = await Notary.open(store, key_file, _origin(settings, inventory), inventory.site)
        plant = Plant.of(inventory)
        world = await store.read(lambda db: World.load(db, plant, settings, clocks))
        world.tzdata = await asyncio.to_thread(tzdata_version)
        world.trouble = lambda: store.trouble
        await _begin_epoch(store, world, fence)
        alarms = AlarmBook(
            store,
            clocks.now,
            settings.runbooks,
            lambda source: world.plant.line_of(source),  # noqa: PLW0108 - the plant is replaced
        )
        bounds = Bounds(settings.review_open_max, settings.review_expire_s)
        pulls = Pulls(world, store)
        reconciler = Reconciler(world, store, alarms, pulls)
        pins = await Pins.open(
            store, Vault(pins_folder or key_file.with_name("pins")), clocks.monotonic
        )
        site = cls(
            _Parts(
                world=world,
                store=store,
                alarms=alarms,
                alarm_desk=AlarmDesk(store, alarms, clocks.now, plant.lines),
                queue=ReviewQueue(store, bounds, clocks.now, clocks.monotonic),
                reconciler=reconciler,
                leases=Leases(world, store),
                pulls=pulls,
                desk=Desk(world, store, reconciler, pins),
                recovery=Recovery(world, store, reconciler),
                intake=Intake(world, store, alarms),
                notary=notary,
                pins=pins,
                plans=PlanDoor(world, store, alarms),
            )
        )
        await reconciler.look()
        await notary.sign()
        return site

    async def run(self) -> None:
        """Reconcile, look after alarms, watch, check the gate and sign until cancelled."""
        watch = Watch(self.world, self.store, self.alarms, self.queue)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reconciler.run())
            group.create_task(self.alarms.run())
            group.create_task(watch.run())
            group.create_task(Nightly(self.world, self.store, self.alarms).run())
            group.create_task(self._sign_on())

    async def reconcile(self) -> None:
        """One pass, for whoever does not want to wait for `run`."""
        await self._reconciler.look()

    async def take_status(self, serial: str, report: StatusReport) -> StatusReply:
        """Take a heartbeat of *serial*, idempotently.

        Raises:
            UnknownGatewayError: not in the inventory.
            IdentityMismatchError: the report bears another serial.
        """
        reply = await self._intake.take_status(serial, report, "", self.checkpoint())
        etag, _ = await self.desired(serial)
        return msgspec.structs.replace(reply, desired_etag=etag)

    async def desired(self, serial: str) -> tuple[str, Desired]:
        """What the site wants of *serial*, with its etag; from memory.

        Raises:
            UnknownGatewayError: not in the inventory.
        """
        self.world.plant.place(serial)
        desired = self.world.desired.get(serial)
        if desired is None:
            await self._reconciler.look()
            desired = self.world.desired[serial]
        return f"{desired.generation}-{desired.epoch}", desired

    def checkpoint(self) -> Checkpoint | None:
        """The newest signed state of the audit log."""
        return self.notary.newest

    async def permit(self, serial: str, request: PermitRequest) -> PermitReply:
        """May *serial* activate now?

        Raises:
            UnknownGatewayError: not in the inventory.
        """
        reply = await self.leases.permit(serial, request)
        return msgspec.structs.replace(reply, checkpoint=self.checkpoint())

    async def pull(self, serial: str, request: PullRequest) -> PullReply:
        """May *serial* download now, and how much?

        Raises:
            UnknownGatewayError: not in the inventory.
            StoreUnavailableError: the token could not be kept, so there is none.
        """
        return await self.pulls.pull(serial, request)

    def may_send(self, serial: str, size_bytes: int) -> bool:
        """Whether so many bytes of a blob may go to *serial*; they are then counted."""
        return self.pulls.serve(serial, size_bytes)

    async def take_window(self, serial: str, window: SuspectWindow) -> bool:
        """Put a suspect window into the review queue; False if it is there already.

        Raises:
            UnknownGatewayError: not in the inventory.
            IdentityMismatchError: the window bears another serial.
        """
        place = self.world.plant.place(serial)
        if window.serial != serial or window.id.split(":")[0] != serial:
            raise IdentityMismatchError(
                f"window of gateway {serial}: expected its own serial, found {window.id}"
            )
        return await self.queue.take(place, window)

    async def release_arrived(self, arrival: Arrival) -> None:
        """A verified release is here; a repeat changes nothing."""
        arrived = Arrived(
            release=arrival.release,
            targets=list(arrival.targets),
            signers=list(arrival.signers),
            author=arrival.author,
            at=self.world.clocks.now(),
            sizes=arrival.sizes,
        )
        await self.desk.release_arrived(arrived, arrival.facts)

    async def release_refused(self, name: str, reason: str) -> None:
        """A release did not verify: one alarm, one event, and nothing else happens."""
        key = f"release/{name}/refused"[:120]
        standing = {alarm.source for alarm in await self.alarms.standing()}
        if key in standing:
            return
        facts = {"reason": reason}
        call = AlarmCall(
            key=key,
            priority=Priority.P2,
            what=f"release {name} refused: {reason}"[:500],
            consequence="it is not rolled out and cannot be loaded; every gateway keeps its model",
            runbook="release-refused",
        )
        await self.store.change(
            SITE,
            [Event("release.refused", name[:120], facts)],
            lambda tx: self.alarms.raise_in(tx, call),
        )
        self.alarms.wake.set()

    async def raise_alarm(
        self, key: str, priority: Priority, what: str, consequence: str, runbook: str
    ) -> None:
        """Raise an alarm; the same *key* is the same alarm until it clears."""
        await self.alarms.raise_alarm(AlarmCall(key, priority, what, consequence, runbook))

    async def clear_alarm(self, key: str) -> None:
        """The cause *key* is gone."""
        await self.alarms.clear_alarm(key)

    async def _sign_on(self) -> None:
        while True:
            try:
                await self.notary.sign()
                await self.notary.rotate_if_asked()
            except (StoreUnavailableError, OSError) as error:
                log.warning("checkpoint.waited", reason=str(error))
            await asyncio.sleep(CHECKPOINT_S)


async def _begin_epoch(store: Store, world: World, fence: int) -> None:
    # Two that start from copies of one folder must not share a number: gateways obey the higher.
    epoch = max(world.epoch, fence) + 1 + secrets.randbelow(EPOCH_LEAP)
    facts = {"epoch": epoch, "before": world.epoch, "site": world.plant.inventory.site}
    facts["software"] = SOFTWARE
    event = Event("site.started", str(epoch), facts)
    await store.change(SITE, [event], lambda tx: tables.save_number(tx, "epoch", epoch, event))
    world.epoch = epoch


def _origin(settings: SiteSettings, inventory: Inventory) -> str:
    """The log's name: no spaces and no plus signs (C2SP signed-note)."""
    site = "".join(each if each.isalnum() or each in "-._" else "-" for each in inventory.site)
    return f"{settings.log_origin}/{site}"
