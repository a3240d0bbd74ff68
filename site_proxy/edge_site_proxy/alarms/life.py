"""The states of one alarm and what moves them (ISA-18.2-2016, figure 3); pure.

came      -> PENDING while its on-delay runs, then UNACK; after a return UNACK again
went      -> nothing while its off-delay runs, then RETURNED_UNACK, or CLEARED where it was seen;
             one that latches: LATCHED_UNACK or LATCHED_ACKED, until a person resets it
acked     -> ACKED, or CLEARED where the cause is gone
aside     -> SHELVED (a time), SUPPRESSED (a rule of the site), OUT_OF_SERVICE (a person): its
             cause may come and go meanwhile; back again it is UNACK if the cause is there
realarmed -> an acknowledged one that still stands after a shift is UNACK for the next
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.alarms.catalogue import Delays
from edge_site_proxy.alarms.errors import AlarmAsideError, AlarmOverError, AlarmStandsError

REALARM = timedelta(hours=8)  # one shift: the next one has not seen it
ASIDE = frozenset({AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE})
UNSEEN = frozenset({AlarmState.UNACK, AlarmState.RETURNED_UNACK, AlarmState.LATCHED_UNACK})
_SEEN = {
    AlarmState.UNACK: AlarmState.ACKED,
    AlarmState.RETURNED_UNACK: AlarmState.CLEARED,
    AlarmState.LATCHED_UNACK: AlarmState.LATCHED_ACKED,
}
_RETURNED = {
    (AlarmState.UNACK, False): AlarmState.RETURNED_UNACK,
    (AlarmState.UNACK, True): AlarmState.LATCHED_UNACK,
    (AlarmState.ACKED, False): AlarmState.CLEARED,
    (AlarmState.ACKED, True): AlarmState.LATCHED_ACKED,
}
_LEAVES = {
    AlarmState.SHELVED: "unshelved",
    AlarmState.SUPPRESSED: "released",
    AlarmState.OUT_OF_SERVICE: "restored",
}
_HEARD = frozenset({AlarmState.UNACK, AlarmState.ACKED, AlarmState.RETURNED_UNACK})


@dataclass(frozen=True, slots=True)
class Turn:
    """What an alarm becomes by itself, and the verb of its event."""

    alarm: AlarmView
    verb: str


def came(alarm: AlarmView, priority: Priority, now: datetime) -> AlarmView:
    """The cause is there (still, or once more), perhaps graver than before."""
    graver = priority.value < alarm.priority.value
    if alarm.active and alarm.gone is None and not graver:
        return alarm
    back = not alarm.active or alarm.gone is not None
    again = replace(
        alarm,
        active=True,
        gone=None,
        raises=alarm.raises + back,
        priority=min(priority, alarm.priority),
    )
    quiet = alarm.state in ASIDE or alarm.state is AlarmState.PENDING
    if quiet or (alarm.active and not graver):
        return again
    return replace(again, state=AlarmState.UNACK, changed=now)


def went(alarm: AlarmView, delays: Delays, now: datetime) -> AlarmView:
    """The cause is gone; it counts as there for as long as the off-delay runs."""
    if alarm.state is AlarmState.PENDING:
        return replace(alarm, state=AlarmState.CLEARED, active=False, raises=0, changed=now)
    if not alarm.active or alarm.gone is not None:
        return alarm
    waiting = replace(alarm, gone=now)
    return waiting if delays.off else _returned(waiting, now)


def due(alarm: AlarmView, delays: Delays, suppressed_by: str, now: datetime) -> Turn | None:
    """The next thing that happens to *alarm* by itself, or None while there is nothing.

    Args:
        alarm: one that is not cleared.
        delays: of its kind.
        suppressed_by: the rule of the site that keeps it quiet at this moment, or "".
        now: wall clock.
    """
    if alarm.gone is not None and now >= alarm.gone + delays.off:
        return Turn(_returned(alarm, now), "returned")
    if alarm.state is AlarmState.PENDING:
        over = now >= alarm.raised + delays.on
        return (
            Turn(replace(alarm, state=AlarmState.UNACK, changed=now), "raised") if over else None
        )
    if suppressed_by and alarm.state in _HEARD:
        return Turn(suppressed(alarm, suppressed_by, now), "suppressed")
    shelf_over = alarm.until is not None and now >= alarm.until
    if shelf_over or (alarm.state is AlarmState.SUPPRESSED and not suppressed_by):
        return Turn(back(alarm, None, "", now), _LEAVES[alarm.state])
    unanswered = alarm.acked is not None and now >= alarm.acked + REALARM
    if alarm.state is AlarmState.ACKED and unanswered and alarm.priority <= Priority.P2:
        again = replace(
            alarm, state=AlarmState.UNACK, acked=None, changed=now, realarms=alarm.realarms + 1
        )
        return Turn(again, "realarmed")
    return None


def acked(alarm: AlarmView, who: str, why: str, now: datetime) -> AlarmView:
    """Somebody has seen it; a second person's word changes nothing.

    Raises:
        AlarmOverError: it is over, or not yet there.
        AlarmAsideError: it is put aside, so nobody sees it.
    """
    _check_open(alarm)
    if alarm.state in ASIDE:
        raise AlarmAsideError(
            f"alarm {alarm.id}: expected one on the list, it is {_words(alarm)}; bring it back"
        )
    after = _SEEN.get(alarm.state)
    if after is None:
        return alarm
    return replace(alarm, state=after, who=who, why=why, acked=now, acked_by=who, changed=now)


def shelved(alarm: AlarmView, who: str, why: str, now: datetime, until: datetime) -> AlarmView:
    """Somebody puts it aside until a time; what is on the shelf may get another time.

    Raises:
        AlarmOverError: it is over, or not yet there.
        AlarmAsideError: it is suppressed or out of service.
    """
    _check_open(alarm)
    if alarm.state in ASIDE - {AlarmState.SHELVED}:
        raise AlarmAsideError(f"alarm {alarm.id}: expected one on the list, it is {_words(alarm)}")
    moved = replace(alarm, state=AlarmState.SHELVED, who=who, why=why, changed=now)
    return replace(moved, until=until, shelves=alarm.shelves + 1)


def suppressed(alarm: AlarmView, by: str, now: datetime) -> AlarmView:
    """A rule of the site keeps it quiet."""
    return replace(alarm, state=AlarmState.SUPPRESSED, suppressed_by=by, changed=now)


def retired(alarm: AlarmView, who: str, why: str, now: datetime) -> AlarmView:
    """Somebody takes it out of service until further notice.

    Raises:
        AlarmOverError: it is over, or not yet there.
    """
    _check_open(alarm)
    out = replace(alarm, state=AlarmState.OUT_OF_SERVICE, who=who, why=why, changed=now)
    return replace(out, until=None, suppressed_by="")


def back(alarm: AlarmView, who: str | None, why: str, now: datetime) -> AlarmView:
    """It is on the list again, if its cause is there; one that latches stays until it is reset."""
    latched = AlarmState.LATCHED_UNACK if alarm.latches else AlarmState.CLEARED
    state = AlarmState.UNACK if alarm.active else latched
    moved = replace(alarm, state=state, changed=now, until=None, suppressed_by="")
    return moved if who is None else replace(moved, who=who, why=why)


def unshelved(alarm: AlarmView, who: str, why: str, now: datetime) -> AlarmView:
    """Somebody takes it from the shelf before its time.

    Raises:
        AlarmAsideError: it is not on the shelf.
    """
    return back(_of(alarm, AlarmState.SHELVED), who, why, now)


def restored(alarm: AlarmView, who: str, why: str, now: datetime) -> AlarmView:
    """Somebody puts it into service again.

    Raises:
        AlarmAsideError: it is in service.
    """
    return back(_of(alarm, AlarmState.OUT_OF_SERVICE), who, why, now)


def reset(alarm: AlarmView, who: str, why: str, now: datetime) -> AlarmView:
    """Somebody has dealt with one that latched, or whose cause only a person can call gone.

    Raises:
        AlarmOverError: it is over, or not yet there.
        AlarmStandsError: nobody has acknowledged it, or its cause is there.
    """
    _check_open(alarm)
    by_hand = alarm.by_hand and alarm.state is AlarmState.ACKED
    if alarm.state is not AlarmState.LATCHED_ACKED and not by_hand:
        raise AlarmStandsError(
            f"alarm {alarm.id}: expected one that was acknowledged and whose cause is gone, "
            f"it is {_words(alarm)}"
        )
    done = replace(alarm, state=AlarmState.CLEARED, active=False, gone=None)
    return replace(done, who=who, why=why, changed=now)


def _returned(alarm: AlarmView, now: datetime) -> AlarmView:
    gone = replace(alarm, active=False, gone=None)
    state = _RETURNED.get((alarm.state, alarm.latches))
    return gone if state is None else replace(gone, state=state, changed=now)


def _of(alarm: AlarmView, state: AlarmState) -> AlarmView:
    if alarm.state is not state:
        words = state.value.replace("_", " ")
        raise AlarmAsideError(f"alarm {alarm.id}: expected one {words}, it is {_words(alarm)}")
    return alarm


def _words(alarm: AlarmView) -> str:
    until = f" to {alarm.until:%H:%M}" if alarm.until else ""
    by = f" by {alarm.suppressed_by}" if alarm.suppressed_by else ""
    return alarm.state.value.replace("_", " ") + until + by


def _check_open(alarm: AlarmView) -> None:
    if alarm.state is AlarmState.CLEARED:
        raise AlarmOverError(
            f"alarm {alarm.id}: expected one that stands, it was cleared at {alarm.changed:%H:%M}"
        )
    if alarm.state is AlarmState.PENDING:
        raise AlarmOverError(f"alarm {alarm.id}: expected one that stands, it is not raised yet")
