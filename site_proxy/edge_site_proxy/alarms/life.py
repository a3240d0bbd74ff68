"""The states of one alarm and what moves them: ISA-18.2 without the rarer parts; pure.

raised   -> UNACK           again while it stands: nothing; again after its return: UNACK
returned -> RETURNED_UNACK  if nobody has acknowledged it, else CLEARED
ack      -> ACKED, or CLEARED where the cause is gone
shelved  -> SHELVED until a time, then UNACK if it still stands
"""

from datetime import datetime

from msgspec.structs import replace

from edge_core.contracts.api import AlarmState, AlarmView
from edge_site_proxy.alarms.errors import AlarmOverError


def again(alarm: AlarmView, now: datetime) -> AlarmView:
    """The cause is there (still, or once more)."""
    if alarm.state is AlarmState.RETURNED_UNACK:
        return replace(alarm, state=AlarmState.UNACK, changed=now)
    return alarm


def returned(alarm: AlarmView, now: datetime) -> AlarmView:
    """The cause is gone."""
    if alarm.state is AlarmState.UNACK:
        return replace(alarm, state=AlarmState.RETURNED_UNACK, changed=now)
    if alarm.state in {AlarmState.ACKED, AlarmState.SHELVED}:
        return replace(alarm, state=AlarmState.CLEARED, changed=now, until=None)
    return alarm


def acked(alarm: AlarmView, who: str, now: datetime) -> AlarmView:
    """Somebody has seen it.

    Raises:
        AlarmOverError: it is cleared.
    """
    _check_open(alarm)
    gone = alarm.state is AlarmState.RETURNED_UNACK
    state = AlarmState.CLEARED if gone else AlarmState.ACKED
    return replace(alarm, state=state, who=who, changed=now, until=None)


def shelved(alarm: AlarmView, who: str, now: datetime, until: datetime) -> AlarmView:
    """Somebody puts it aside until a time.

    Raises:
        AlarmOverError: it is cleared.
    """
    _check_open(alarm)
    return replace(alarm, state=AlarmState.SHELVED, who=who, changed=now, until=until)


def unshelved(alarm: AlarmView, now: datetime) -> AlarmView:
    """Its time on the shelf is over."""
    if alarm.state is AlarmState.SHELVED and alarm.until is not None and now >= alarm.until:
        return replace(alarm, state=AlarmState.UNACK, changed=now, until=None)
    return alarm


def _check_open(alarm: AlarmView) -> None:
    if alarm.state is AlarmState.CLEARED:
        raise AlarmOverError(
            f"alarm {alarm.id}: expected one that stands, it was cleared at {alarm.changed:%H:%M}"
        )
