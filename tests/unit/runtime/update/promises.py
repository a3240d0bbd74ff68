"""The promises of one gateway, S1 to S7, S18 and L1, each by its number and sentence; pure.

What is judged is two records and the event between them, or one record alone, so every machine
and every search of the tests can hold its gateways to the same words.
"""

from collections.abc import Callable, Iterator

from edge_core.contracts.gateway import UpdateState
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance
from edge_runtime.update.record import AIRBORNE, Record
from edge_runtime.update.references import REFUNDS_MAX, Cause, Slots, barred, rollback_target

Machine = Callable[[Record, Event], Record]
TRYING = frozenset({UpdateState.ACTIVATING, UpdateState.TRIAL})
ALONE_MAX = 64  # steps in which whatever is in the air must be over


def broken_by(was: Record, event: Event, now: Record) -> Iterator[str]:
    """What the step from *was* to *now* breaks."""
    ordered = isinstance(event, events.OrderedBack) or (
        isinstance(event, events.Told) and event.desired.rollback is not None
    )
    lost = isinstance(event, events.EntryLost | events.TargetLost)
    granted = isinstance(event, events.PermitGranted)
    if was.slots.committed != now.slots.committed:
        commits = isinstance(event, events.TrialPassed)
        if not (commits or ordered or lost or (granted and was.fail_safe)):
            yield "S2: committed changes only by commit or rollback, never by activate"
    begun = now.slots.candidate is not None and was.slots.candidate is None
    if begun and (was.attempt is None or barred(was.slots, *was.attempt.key)):
        yield "S4: a bad digest is never activated again without a new attempt"
    again = isinstance(event, events.Restarted) and now.slots.candidate is not None
    if again and loads_left(now.slots) >= loads_left(was.slots):
        yield "S5: a try is paid for durably before the load it pays for"
    asked_for = was.state in TRYING or granted or ordered or lost
    if was.slots.effective != now.slots.effective and not asked_for:
        yield "S6: outside a trial no version changes by itself"
    if (now.generation_seen, now.epoch_seen) != (
        max(now.generation_seen, was.generation_seen),
        max(now.epoch_seen, was.epoch_seen),
    ):
        yield "S18: generation and epoch never decrease on a gateway"


def broken_in(now: Record) -> Iterator[str]:
    """What *now* breaks by itself; of bytes that nobody has spoilt."""
    slots, verified = now.slots, now.verified
    if not now.fail_safe and slots.effective is not None and slots.effective not in verified:
        yield "S1: what decides is verified content"
    if slots.committed not in {None, slots.golden} and rollback_target(slots, verified) is None:
        yield "S3: away from golden there is a verified way back"
    if not slots.referenced <= verified:
        yield "S3: nothing collects or overwrites what is referenced"
    if loads_left(slots) < 0 or slots.refunds > REFUNDS_MAX:
        yield "S5: the loads of one attempt are bounded"
    for target in (slots.previous_good, slots.golden):
        entry = now.entries.get(target or "")
        floor = 0 if entry is None else now.floors.get(entry.release.model, 0)
        if entry is not None and entry.release.release < floor and target not in now.ran:
            yield "S7: the lowest admissible version never bars a way back"
    if (slots.candidate is not None) != (now.state in TRYING):
        yield "S2: there is a candidate exactly while one is tried"


def loads_left(slots: Slots) -> int:
    """How often the candidate may still be loaded anew."""
    return slots.tries_left + REFUNDS_MAX - slots.refunds


def restless(now: Record, machine: Machine = advance) -> str | None:
    """L1, L2: alone, with no network, site or clock, what is in the air comes down; or why not.

    It must do so when everything goes well, when the candidate is no good, and when the power goes
    again and again.
    """
    for name, way in _WAYS.items():
        after = now
        for _ in range(ALONE_MAX):
            if after.state not in AIRBORNE:
                break
            after = machine(after, way(after))
        if after.state in AIRBORNE:
            return f"L1: {after.state.value} for ever, though {name}"
    passed = machine(now, events.TrialPassed())
    if now.state is UpdateState.TRIAL and passed.slots.committed != now.slots.candidate:
        return "L1: a trial that was passed waits for somebody else's word"
    return None


def _well(now: Record) -> Event:
    match now.state:
        case UpdateState.ACTIVATING:
            return events.Loaded(now.slots.candidate or "")
        case UpdateState.TRIAL:
            return events.TrialPassed()
        case _:
            return _down(now)


def _badly(now: Record) -> Event:
    return events.TrialFailed("errors", "too many") if now.state in TRYING else _down(now)


def _darkly(now: Record) -> Event:
    return events.Restarted(Cause.POWER) if now.state in TRYING else _down(now)


def _down(now: Record) -> Event:
    target = now.slots.committed
    if target is not None and target not in now.entries:
        return events.EntryLost(target, "not on this disk")
    return events.TargetRunning()


_WAYS: dict[str, Callable[[Record], Event]] = {
    "all goes well": _well,
    "the candidate is no good": _badly,
    "the power goes again and again": _darkly,
}
