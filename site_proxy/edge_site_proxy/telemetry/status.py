"""The telemetry buffer in numbers: for the overview screen, and as alarms when it fills up."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import structlog

from edge_core.contracts.api import Priority, TelemetryView
from edge_core.contracts.errors import TryAgainError
from edge_core.journal import JournalState, JournalStats
from edge_site_proxy.telemetry.wan import Alarms, Wan

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 5.0
_ALARM: Final = "telemetry-buffer"
_PRIORITY: Final = {
    JournalState.PRESSURE: Priority.P3,
    JournalState.FULL: Priority.P2,
    JournalState.READ_ONLY: Priority.P2,
}


class Buffer(Protocol):
    """What is asked of the journal."""

    def stats(self) -> JournalStats:
        """Its figures."""
        ...

    @property
    def acknowledged(self) -> tuple[tuple[int, int], ...]:
        """What has been acknowledged, as closed ranges."""
        ...


class Head(Protocol):
    """What is asked of the shipper."""

    @property
    def oldest_ingest_unix_nano(self) -> int | None:
        """When the oldest waiting batch came in."""
        ...


class TelemetryStatus:
    """Answers for the overview, and watches the buffer.

    Args:
        buffer: the journal.
        head: the shipper.
        wan: the way up.
        now: wall clock.
    """

    def __init__(
        self, buffer: Buffer, head: Head, wan: Wan, *, now: Callable[[], datetime]
    ) -> None:
        self._buffer = buffer
        self._head = head
        self._wan = wan
        self._now = now
        self._said: JournalState | None = None

    def view(self) -> TelemetryView:
        """The numbers of this moment."""
        stats = self._buffer.stats()
        oldest = self._head.oldest_ingest_unix_nano
        age_s = None if oldest is None else max(0.0, self._now().timestamp() - oldest / 1e9)
        waiting = waiting_records(stats.last_seq, self._buffer.acknowledged)
        return TelemetryView(
            state=stats.state.value,
            waiting_records=waiting,
            bytes=stats.bytes,
            oldest_age_s=age_s if waiting else None,
            upstream_ok=self._wan.ok,
            upstream_since=self._wan.since,
        )

    async def watch(self, alarms: Alarms) -> None:
        """Raise and clear the buffer's alarm until cancelled."""
        while True:
            try:
                await self.look(alarms)
            except TryAgainError as error:
                _log.warning("alarm.waited", key=_ALARM, reason=str(error))
            await asyncio.sleep(_LOOK_S)

    async def look(self, alarms: Alarms) -> None:
        """Raise or clear the alarm, if the state changed."""
        stats = self._buffer.stats()
        if stats.state is self._said:
            return
        priority = _PRIORITY.get(stats.state)
        if priority is None:
            await alarms.clear_alarm(_ALARM)
        else:
            await self._raise(alarms, priority, stats)
        self._said = stats.state

    async def _raise(self, alarms: Alarms, priority: Priority, stats: JournalStats) -> None:
        await alarms.raise_alarm(
            _ALARM,
            priority,
            f"telemetry buffer: {stats.state.value}, {stats.bytes} of {stats.bytes_max} bytes",
            "gateways keep their batches once it is full; nothing acknowledged is lost",
            "telemetry",
        )


def waiting_records(last: int, acknowledged: tuple[tuple[int, int], ...]) -> int:
    """How many numbers up to *last* are not acknowledged; 0 is no record's number."""
    done = sum(min(end, last) - max(begin, 1) + 1 for begin, end in acknowledged if end >= 1)
    return max(0, last - done)
