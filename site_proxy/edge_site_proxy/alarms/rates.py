"""Is the alarm list of use, or noise: floods and rates (ISA-18.2-2016, clause 16); pure.

The figures are the standard's: a flood begins with more than ten alarms in ten minutes for one
operator, and ends below five; a stale alarm has stood for a day.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from edge_core.contracts.alarms import AlarmSummary
from edge_core.contracts.api import AlarmState, AlarmView
from edge_site_proxy.alarms.catalogue import FLOOD_KEY
from edge_site_proxy.alarms.life import ASIDE

PERIOD = timedelta(minutes=10)
FLOOD_ABOVE = 10
FLOOD_BELOW = 5
STALE = timedelta(days=1)
CHATTER_ABOVE = 3
_DAY = timedelta(days=1)


def recent(alarms: Iterable[AlarmView], now: datetime) -> list[AlarmView]:
    """Those that were raised in the last ten minutes and told to somebody, oldest first.

    A flood is no alarm of its own cause, and is not counted.
    """
    return sorted(
        (
            alarm
            for alarm in alarms
            if now - alarm.raised < PERIOD and _told(alarm) and alarm.source != FLOOD_KEY
        ),
        key=lambda alarm: (alarm.raised, alarm.id),
    )


def flooded(count: int, *, standing: bool) -> bool:
    """Whether it is a flood with *count* new alarms in ten minutes; *standing* if it was one."""
    return count >= FLOOD_BELOW if standing else count > FLOOD_ABOVE


def summary(
    standing: Sequence[AlarmView], newest: Sequence[AlarmView], now: datetime
) -> AlarmSummary:
    """The list in numbers.

    Args:
        standing: every alarm that is not cleared.
        newest: every alarm that was raised in the last day, cleared or not.
        now: wall clock.
    """
    states = Counter(alarm.state for alarm in standing)
    told = [alarm for alarm in standing if alarm.state not in ASIDE and _told(alarm)]
    times = sorted(
        alarm.raised
        for alarm in newest
        if now - alarm.raised < _DAY and _told(alarm) and alarm.source != FLOOD_KEY
    )
    return AlarmSummary(
        at=now,
        flood=any(alarm.source == FLOOD_KEY and alarm.active for alarm in standing),
        recent=len(recent(newest, now)),
        flood_above=FLOOD_ABOVE,
        peak=_peak(times),
        day=len(times),
        standing=dict(sorted(Counter(alarm.priority.value for alarm in told).items())),
        stale=[alarm.source for alarm in told if now - alarm.raised >= STALE],
        chattering=[alarm.source for alarm in standing if alarm.raises > CHATTER_ABOVE],
        shelved=states[AlarmState.SHELVED],
        suppressed=states[AlarmState.SUPPRESSED],
        out_of_service=states[AlarmState.OUT_OF_SERVICE],
    )


def _peak(times: Sequence[datetime]) -> int:
    """The most of *times*, which rise, within any ten minutes."""
    peak = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= PERIOD:
            first += 1
        peak = max(peak, last - first + 1)
    return peak


def _told(alarm: AlarmView) -> bool:
    return alarm.state is not AlarmState.PENDING and alarm.raises > 0
