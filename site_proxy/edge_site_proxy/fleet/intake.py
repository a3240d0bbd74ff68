"""Takes heartbeats: merges what is said, keeps what changed with its event, answers in one go.

A repeat changes nothing. What a gateway says never moves it; the gateway alone decides, we mirror.
News is on disk before it is answered, whatever came at the same time in one transaction; a report
without news is believed at once and kept with the next pass of the reconciler.
"""

import asyncio
from dataclasses import dataclass, replace
from itertools import chain

import structlog
from sqlite_utils import Database

from edge_core.contracts.gateway import (
    HEALTH_MAX,
    Checkpoint,
    HealthWindow,
    StatusReply,
    StatusReport,
)
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.audit.events import Event
from edge_site_proxy.fleet.changes import conflict_alarm, ills, marked, noticed
from edge_site_proxy.fleet.errors import IdentityMismatchError
from edge_site_proxy.fleet.pace import Pace
from edge_site_proxy.fleet.sightings import Sighting, merge, sighted
from edge_site_proxy.fleet.times import in_site_time, offset_s
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.gates.evidence import EMPTY, Tally, add
from edge_site_proxy.rollout.marks import Marks, conflict_of, noted
from edge_site_proxy.rollout.records import MOVING, Rollout
from edge_site_proxy.rollout.tables import TallyKey
from edge_site_proxy.rollout.wanted import rollback_order
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, StoreUnavailableError, Tx

KEPT_AT_ONCE = 250  # reports in one transaction; a permit waits for no longer than that
SITE = "site-proxy"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A report with news, and whoever waits until it is kept."""

    serial: str
    said: Sighting
    kept: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class _News:
    """What one report changes in what is believed."""

    serial: str
    said: Sighting
    old: Sighting | None
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
        self._pace = Pace()
        self._arrived: list[_Arrival] = []

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
            come_back_s=self._come_back_s(serial, report),
            health_stored=stored,
            checkpoint=checkpoint,
            tell_inputs=self._wants_inputs(serial, report),
        )

    async def _take(self, serial: str, report: StatusReport) -> None:
        said = sighted(report)
        news = self._news(serial, said)
        if news.events or news.marked:
            await self._keep(serial, said)
        else:
            self._believe(serial, said)
            self._world.unsaved.add(serial)
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
            serial,
            said,
            old,
            merged,
            noticed(self._world, place, old, merged),
            marks,
            marked(serial, before, marks),
        )

    async def _keep(self, serial: str, said: Sighting) -> None:
        """Return when *said* is on disk; whoever has the lock keeps what the others brought."""
        arrival = _Arrival(serial, said, asyncio.get_running_loop().create_future())
        self._arrived.append(arrival)
        async with self._world.lock:
            while not arrival.kept.done():
                await self._keep_some()
        await arrival.kept

    async def _keep_some(self) -> None:
        """Under the lock: of each gateway the first report that waits, in one transaction."""
        some: dict[str, _Arrival] = {}
        for arrival in self._arrived[:KEPT_AT_ONCE]:
            some.setdefault(arrival.serial, arrival)
        self._arrived = [each for each in self._arrived if some.get(each.serial) is not each]
        # Look again: another report may have said the same meanwhile.
        news = [self._news(each.serial, each.said) for each in some.values()]
        try:
            await self._keep_all([each for each in news if each.events or each.marked])
        except StoreUnavailableError as error:
            for arrival in some.values():
                arrival.kept.set_exception(error)
            return
        except asyncio.CancelledError:
            self._arrived = [*some.values(), *self._arrived]  # others wait for theirs
            raise
        for each in news:
            self._believe(each.serial, each.said)
        for arrival in some.values():
            arrival.kept.set_result(None)

    async def _keep_all(self, news: list[_News]) -> None:
        now = self._world.clocks.now()
        if not news:
            return

        def mutate(tx: Tx) -> None:
            tables.save_sightings(tx.db, ((each.serial, now, each.merged) for each in news))
            for each in news:
                if each.marked:
                    tables.save_marks(tx, each.serial, each.marks, events[each.serial][-1])
                self._alarm(tx, each)
                tx.touch("gateway", each.serial)

        events = {
            each.serial: [
                replace(event, who=f"gateway:{event.subject}")
                for event in (*each.events, *each.marked)
            ]
            for each in news
        }
        await self._store.change(SITE, list(chain.from_iterable(events.values())), mutate)
        self._alarms.wake.set()
        for each in news:
            self._world.marks[each.serial] = each.marks

    def _alarm(self, tx: Tx, news: _News) -> None:
        if news.marks.conflict is not None and not self._conflicts():
            self._alarms.raise_in(tx, conflict_alarm(news.serial, news.marks.conflict))
        before, after = ills(news.serial, news.old), ills(news.serial, news.merged)
        for key, call in after.items():
            if key not in before:
                self._alarms.raise_in(tx, call)
        for key in before.keys() - after.keys():
            self._alarms.clear_in(tx, key)

    def _conflicts(self) -> bool:
        return any(each.conflict is not None for each in self._world.marks.values())

    def _believe(self, serial: str, said: Sighting) -> None:
        self._world.believe(serial, said)
        self._world.heard_at[serial] = self._world.clocks.now()

    async def _take_health(
        self, serial: str, windows: list[HealthWindow], ahead_s: float | None, *, clean: bool
    ) -> None:
        heard, period_s = self._world.clocks.now(), self._world.settings.health_window_s
        known = [window for window in windows if self._known(serial, window.digest)]
        limits = {digest: self._world.limits(digest) for digest in {each.digest for each in known}}

        def mutate(db: Database) -> dict[TallyKey, Tally]:
            new: dict[TallyKey, list[HealthWindow]] = {}
            for window in tables.take_windows(db, serial, known):
                new.setdefault((serial, window.digest, window.role), []).append(window)
            fresh = {}
            for key, some in new.items() if clean else ():
                tally = tables.load_tally(db, key) or EMPTY
                here = [in_site_time(each, ahead_s, heard, period_s) for each in some]
                fresh[key] = add(tally, here, limits[key[1]])
            for key, tally in fresh.items():
                tables.save_tally(db, key, tally)
            return fresh

        self._world.tallies.update(await self._store.observe(mutate))

    def _wants_inputs(self, serial: str, report: StatusReport) -> bool:
        sighting = self._world.sightings.get(serial)
        setup = None if sighting is None else sighting.setup
        return report.config is not None and (setup is None or setup.config != report.config)

    def _known(self, serial: str, digest: str) -> bool:
        """Whether evidence about *digest* can ever matter; else a gateway could fill our disk."""
        report = self._world.sightings[serial].report
        return digest in self._world.releases or digest == report.effective

    def _come_back_s(self, serial: str, report: StatusReport) -> float:
        world = self._world
        quiet_s = world.settings.quiet_s
        if not self._hurried(serial, report):
            return quiet_s
        return self._pace.wait_s(world.clocks.monotonic(), world.settings.busy_s, quiet_s)

    def _hurried(self, serial: str, report: StatusReport) -> bool:
        """Whether something is under way with *serial*, or it has more to say than one report."""
        world = self._world
        desired = world.desired.get(serial)
        behind = (
            desired is not None
            and world.noted(serial).conflict is None
            and (
                report.generation_seen < desired.generation
                or report.safe_mode != desired.safe_mode
            )
        )
        return (
            behind
            or len(report.health) == HEALTH_MAX
            or any(self._moves(rollout, serial) for rollout in world.rollouts.values())
            or rollback_order(world, serial) is not None
        )

    def _moves(self, rollout: Rollout, serial: str) -> bool:
        number = self._world.cohort_of(rollout, serial) if rollout.state in MOVING else None
        return number is not None and number <= rollout.header.cohort + 1
