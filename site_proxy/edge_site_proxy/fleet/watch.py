"""Looks after what nobody reports: silence, the site's own clock, and evidence grown old."""

import asyncio
from datetime import datetime, timedelta

import structlog

from edge_core.contracts.api import GatewayException, Priority
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.review.queue import ReviewQueue
from edge_site_proxy.rollout import outlook, tables
from edge_site_proxy.rollout.exceptions import suspects
from edge_site_proxy.rollout.permit_outlook import left_alone
from edge_site_proxy.rollout.records import PENDING, AlarmCall, Rollout
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, StoreUnavailableError

LOOK_S = 5.0
TIDY_S = 3600.0

log = structlog.get_logger(__name__)


class Watch:
    """Raises one alarm a line for silent and one for overdue gateways, and tidies up.

    One for the clock, one a gateway that its partner leaves alone in its trial, one a rollout
    whose release operators turn down, and one while nothing can be written.
    """

    def __init__(self, world: World, store: Store, alarms: AlarmBook, queue: ReviewQueue) -> None:
        self._world = world
        self._store = store
        self._alarms = alarms
        self._queue = queue
        self._tidied = world.started - TIDY_S

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailableError as error:
                log.warning("watch.waited", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look."""
        await self._see_store()
        standing = {alarm.source for alarm in await self._alarms.standing()}
        for line in self._world.plant.lines:
            await self._set(f"line/{line}/silent", self._silent(line), standing)
        # Thousands of members take a moment to look through, and heartbeats do not wait for that.
        late, alone = await asyncio.to_thread(self._judge)
        for line in self._world.plant.lines:
            await self._set(f"line/{line}/suspect", self._suspect(line, late), standing)
        # Those too that have left the plant since: nobody would look at their alarms again.
        for key in alone.keys() | {each for each in standing if each.endswith("/alone")}:
            await self._set(key, alone.get(key), standing)
        await self._set("site/clock", self._clock(), standing)
        for rollout in self._world.rollouts.values():
            await self._set(_overrides(rollout), self._overridden(rollout), standing)
        if self._world.clocks.monotonic() - self._tidied >= TIDY_S:
            self._tidied = self._world.clocks.monotonic()
            before = self._world.clocks.now() - timedelta(days=tables.HEALTH_KEPT_DAYS)
            await self._store.observe(lambda db: tables.forget_windows(db, before))
            await self._queue.expire_due()

    async def _see_store(self) -> None:
        """What the disk refused is alarmed without it, and written down once it can be."""
        if self._store.trouble is not None:
            await self._alarms.note_unwritten(
                AlarmCall(
                    key="site/audit",
                    priority=Priority.P1,
                    what=f"the audit log cannot be written: {self._store.trouble}",
                    consequence="nothing changes until it can be; inference and heartbeats go on",
                    runbook="audit-unwritable",
                )
            )
        await self._alarms.write_unwritten()

    def _silent(self, line: str) -> AlarmCall | None:
        """A gateway that was heard before and is silent now; those never heard are not missed."""
        world = self._world
        silent = [
            serial
            for serial in world.plant.lines[line]
            if serial in world.sightings and not world.reachable(serial)
        ]
        if not silent:
            return None
        known = sum(serial in world.sightings for serial in world.plant.lines[line])
        first = min(silent, key=lambda serial: (self._last_heard(serial), serial))
        since = f"{self._last_heard(first):%H:%M}"
        whole = len(silent) == known and known > 1
        return AlarmCall(
            key=f"line/{line}/silent",
            priority=Priority.P3,
            what=f"{len(silent)} of {known} gateways of line {line} silent "
            f"since {since}, first {first}{'; a switch, or its power?' if whole else ''}",
            consequence="they go on by themselves; what they do is not seen here",
            runbook="gateway-silent",
        )

    def _judge(self) -> tuple[list[GatewayException], dict[str, AlarmCall]]:
        """Who is overdue, and the alarm of each who is left alone in a trial, by its key."""
        groups = self._world.plant.groups.values()
        calls = [
            _alone(serial, failing)
            for group in groups
            for serial in group
            if (failing := left_alone(self._world, serial))
        ]
        return suspects(self._world), {call.key: call for call in calls}

    def _suspect(self, line: str, late: list[GatewayException]) -> AlarmCall | None:
        """Gateways that have been in one state of an attempt for longer than that may take."""
        here = {each.serial: each.why for each in late if each.line == line}
        if not here:
            return None
        first, why = next(iter(here.items()))
        return AlarmCall(
            key=f"line/{line}/suspect",
            priority=Priority.P2,
            what=f"{len(here)} of line {line} should have moved on, first {first}: {why}",
            consequence="the others go on without it; what it locks stays locked",
            runbook="gateway-suspect",
        )

    def _last_heard(self, serial: str) -> datetime:
        """When a gateway was last heard, at or before the last start."""
        return self._world.heard_at[serial]

    def _overridden(self, rollout: Rollout) -> AlarmCall | None:
        """Humans first: operators who turn a release down page, whatever the gate can prove."""
        begun = rollout.open and rollout.state not in PENDING
        turned = outlook.turned(self._world, rollout) if begun else {}
        if not turned:
            return None
        first, words = min(turned.items())
        return AlarmCall(
            key=_overrides(rollout),
            priority=Priority.P1,
            what=f"rollout {rollout.id}: operators turn it down on {len(turned)} gateways, "
            f"first {first}: {words}",
            consequence="the release goes on; what its verdicts lead to is in operators' hands",
            runbook="operator-overrides",
        )

    def _clock(self) -> AlarmCall | None:
        if self._world.clocks.quality().synchronised:
            return None
        return AlarmCall(
            key="site/clock",
            priority=Priority.P2,
            what="the site's clock is not synchronised",
            consequence="no change window opens; inference and rollback go on",
            runbook="clock",
        )

    async def _set(self, key: str, call: AlarmCall | None, standing: set[str]) -> None:
        if call is not None:
            await self._alarms.raise_alarm(call)
        elif key in standing:
            await self._alarms.clear_alarm(key)


def _alone(serial: str, failing: str) -> AlarmCall:
    """One of a redundancy group is on trial and its partner fails: a person has to choose.

    A trial that goes well is not ended for that: availability or evidence is the choice.
    """
    return AlarmCall(
        key=f"gateway/{serial}/alone",
        priority=Priority.P1,
        what=f"{serial} is on trial and its partner fails: {failing}"[:400],
        consequence="nobody of the group could stand in; let the trial go on, or take it back",
        runbook="pair-on-trial",
    )


def _overrides(rollout: Rollout) -> str:
    return f"rollout/{rollout.id}/overrides"
