"""Whether the upstream takes what we send, since when, and which alarms follow from that."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edge_core.contracts.api import Priority
from edge_core.contracts.errors import TryAgainError

_log = structlog.get_logger(__name__)
_RUNBOOK = "telemetry"


class Alarms(Protocol):
    """Where alarms go; the same key twice is one alarm."""

    async def raise_alarm(
        self, key: str, priority: Priority, what: str, consequence: str, runbook: str
    ) -> None:
        """Raise it, or leave it raised."""
        ...

    async def clear_alarm(self, key: str) -> None:
        """It is over; none there is fine."""
        ...


class Wan:
    """The state of the way up, as the shipper finds it.

    Args:
        name: of the upstream, for people.
        alarms: where they go.
        now: wall clock.
        outage_alarm: a WAN that is down for this long is worth an alarm; a plant expects outages.
    """

    def __init__(
        self,
        name: str,
        alarms: Alarms,
        *,
        now: Callable[[], datetime],
        outage_alarm: timedelta = timedelta(minutes=15),
    ) -> None:
        self._name = name
        self._alarms = alarms
        self._now = now
        self._outage_alarm = outage_alarm
        self._raised: set[str] = set()
        self._cleared: set[str] = set()  # an alarm may stand from before the last start
        self.ok = True
        self.since: datetime | None = None

    async def up(self) -> None:
        """A batch was taken."""
        if not self.ok or self.since is None:
            _log.info("upstream.reached", upstream=self._name, since=str(self.since))
            self.ok, self.since = True, self._now()
        for key in ("telemetry-outage", "telemetry-paused"):
            await self._clear(key)

    async def down(self, reason: str, *, setting: bool) -> None:
        """Nothing was taken; *setting* when only a person can change that."""
        if self.ok:
            _log.warning("upstream.lost", upstream=self._name, reason=reason)
            self.ok, self.since = False, self._now()
        if setting:
            await self._raise(
                "telemetry-paused", Priority.P2, f"telemetry upstream {self._name}: {reason}"
            )
        elif self.since is not None and self._now() - self.since >= self._outage_alarm:
            await self._raise(
                "telemetry-outage", Priority.P3, f"telemetry upstream {self._name}: {reason}"
            )

    async def refused(self, batch: str, reason: str) -> None:
        """One batch was set aside."""
        _log.warning("batch.set_aside", batch=batch, reason=reason)
        await self._raise(
            "telemetry-dead-letters", Priority.P3, f"batch {batch} was set aside: {reason}"
        )

    async def _raise(self, key: str, priority: Priority, what: str) -> None:
        if key in self._raised:
            return
        consequence = "telemetry stays on this host; gates, rollouts and labelling go on"
        try:
            await self._alarms.raise_alarm(key, priority, what[:500], consequence, _RUNBOOK)
        except TryAgainError as error:
            # The database's disk is full: shipping goes on, and the alarm is tried again.
            _log.warning("alarm.waited", key=key, reason=str(error))
        else:
            self._raised.add(key)
            self._cleared.discard(key)

    async def _clear(self, key: str) -> None:
        if key in self._cleared:
            return
        try:
            await self._alarms.clear_alarm(key)
        except TryAgainError as error:
            _log.warning("alarm.waited", key=key, reason=str(error))
        else:
            self._raised.discard(key)
            self._cleared.add(key)
