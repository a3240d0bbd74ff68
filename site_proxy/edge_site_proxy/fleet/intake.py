"""Takes heartbeats: merges what is said, keeps what changed with its event, answers in one go.

A repeat changes nothing. What a gateway says never moves it; the gateway alone decides, we mirror.
"""

from dataclasses import dataclass

import structlog
from sqlite_utils import Database

from edge_core.contracts.gateway import (
    Checkpoint,
    HealthWindow,
    StatusReply,
    StatusReport,
)
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.audit.events import Event
from edge_site_proxy.fleet.changes import conflict_alarm, ills, marked, noticed
from edge_site_proxy.fleet.errors import IdentityMismatchError
from edge_site_proxy.fleet.sightings import Sighting, merge, sighted
from edge_site_proxy.fleet.times import in_site_time, offset_s
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.evidence import EMPTY, Tally, add
from edge_site_proxy.rollout.marks import Marks, conflict_of, noted
from edge_site_proxy.rollout.records import MOVING
from edge_site_proxy.rollout.tables import TallyKey
from edge_site_proxy.rollout.wanted import rollback_order
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, StoreUnavailableError, Tx

NO_ETAG = "none"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _News:
    """What one report changes in what is believed."""

    merged: Sighting
    events: list[Event]
    marks: Marks
    marked: list[Event]


class Intake:
    """Answers heartbeats."""

    def __init__(self, world: World, store: Store, alarms: AlarmBook) -> None:
        self._world = world
        self._store = store
        self._alarms = alarms

    async def take_status(
        self, serial: str, report: StatusReport, etag: str, checkpoint: Checkpoint | None
    ) -> StatusReply:
        """Take one heartbeat of *serial*; a disk that refuses is said by `health_stored` 0.

        Args:
            serial: from the certificate.
            report: as decoded.
            etag: of the gateway's desired state.
            checkpoint: the newest of the audit log.

        Raises:
            UnknownGatewayError: the inventory has no such gateway.
            IdentityMismatchError: the report bears another serial.
        """
        self._world.plant.place(serial)
        if report.serial != serial:
            raise IdentityMismatchError(
                f"status of gateway {serial}: expected its own serial, found {report.serial}"
            )
        stored = 0
        try:
            await self._take(serial, report)
            stored = len(report.health)
        except StoreUnavailableError as error:
            log.warning("status.not_kept", serial=serial, reason=str(error))
        return StatusReply(
            desired_etag=etag,
            come_back_s=self._come_back_s(serial),
            health_stored=stored,
            checkpoint=checkpoint,
        )

    async def _take(self, serial: str, report: StatusReport) -> None:
        said = sighted(report)
        news = self._news(serial, said)
        if news.events or news.marked:
            async with self._world.lock:
                await self._keep(serial, said)
        else:
            await self._observe(serial, said)
        known = self._world.sightings[serial]
        ahead_s = offset_s(report.at, self._world.clocks.now())
        if said.key >= known.key:
            self._world.heard[serial] = self._world.clocks.monotonic()
            if ahead_s is not None:
                self._world.offsets[serial] = ahead_s
        if report.health:
            # What a swapped model did speaks for or against no release; it is kept all the same.
            clean = self._world.noted(serial).drift is None
            await self._take_health(serial, report.health, ahead_s, clean=clean)
        self._world.wake.set()

    def _news(self, serial: str, said: Sighting) -> _News:
        old = self._world.sightings.get(serial)
        merged = merge(old, said)
        place = self._world.plant.place(serial)
        before = self._world.noted(serial)
        conflict = conflict_of(
            merged.report,
            self._world.desired.get(serial),
            self._world.epoch,
            self._world.attempts_of(serial),
        )
        marks = noted(before, old, merged, conflict, self._world.clocks.now())
        return _News(
            merged,
            noticed(self._world, place, old, merged),
            marks,
            marked(serial, before, marks),
        )

    async def _keep(self, serial: str, said: Sighting) -> None:
        """Under the lock: look again, since another report may have said the same meanwhile."""
        world = self._world
        news, now = self._news(serial, said), world.clocks.now()
        old = world.sightings.get(serial)
        before, after = ills(serial, old), ills(serial, news.merged)

        def mutate(tx: Tx) -> None:
            tables.save_sighting(tx.db, serial, now, news.merged)
            if news.marked:
                tables.save_marks(tx, serial, news.marks, news.marked[-1])
            if news.marks.conflict is not None and not self._conflicts():
                self._alarms.raise_in(tx, conflict_alarm(serial, news.marks.conflict))
            for key, call in after.items():
                if key not in before:
                    self._alarms.raise_in(tx, call)
            for key in before.keys() - after.keys():
                self._alarms.clear_in(tx, key)
            tx.touch("gateway", serial)

        if news.events or news.marked:
            events = [*news.events, *news.marked]
            await self._store.change(f"gateway:{serial}", events, mutate)
            self._alarms.wake.set()
        world.marks[serial] = news.marks
        world.believe(serial, said)
        world.heard_at[serial] = now

    def _conflicts(self) -> bool:
        return any(each.conflict is not None for each in self._world.marks.values())

    async def _observe(self, serial: str, said: Sighting) -> None:
        world, now = self._world, self._world.clocks.now()
        world.believe(serial, said)
        merged = world.sightings[serial]
        world.heard_at[serial] = now
        await self._store.observe(lambda db: tables.save_sighting(db, serial, now, merged))

    async def _take_health(
        self, serial: str, windows: list[HealthWindow], ahead_s: float | None, *, clean: bool
    ) -> None:
        heard, period_s = self._world.clocks.now(), self._world.settings.health_window_s
        known = [window for window in windows if self._known(serial, window.digest)]

        def mutate(db: Database) -> dict[TallyKey, Tally]:
            fresh: dict[TallyKey, Tally] = {}
            for window in known:
                if not tables.take_window(db, serial, window) or not clean:
                    continue
                key = (serial, window.digest, window.role)
                tally = fresh.get(key) or tables.load_tally(db, key) or EMPTY
                here = in_site_time(window, ahead_s, heard, period_s)
                fresh[key] = add(tally, here, self._world.limits(window.digest))
            for key, tally in fresh.items():
                tables.save_tally(db, key, tally)
            return fresh

        self._world.tallies.update(await self._store.observe(mutate))

    def _known(self, serial: str, digest: str) -> bool:
        """Whether evidence about *digest* can ever matter; else a gateway could fill our disk."""
        report = self._world.sightings[serial].report
        return digest in self._world.releases or digest == report.effective

    def _come_back_s(self, serial: str) -> float:
        world = self._world
        moving = any(
            rollout.state in MOVING
            and (number := world.cohort_of(rollout, serial)) is not None
            and number <= rollout.header.cohort + 1
            for rollout in world.rollouts.values()
        )
        desired = world.desired.get(serial)
        seen = world.sightings[serial].report if serial in world.sightings else None
        behind = (
            desired is not None
            and world.noted(serial).conflict is None
            and (
                seen is None
                or seen.generation_seen < desired.generation
                or seen.safe_mode != desired.safe_mode
            )
        )
        busy = moving or behind or rollback_order(world, serial) is not None
        return world.settings.busy_s if busy else world.settings.quiet_s
