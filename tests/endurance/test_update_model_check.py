"""Every order of everything that can happen to an update, walked with the gateway's own machine.

The walk is breadth first over `advance` itself: what the agent does in each state, what the site
may say at any time, local orders, refused and expired permits, bytes that rot, and an end of the
daemon (crash, power cut, watchdog, orderly stop) after every single durable step, as often as the
record allows. Promises are judged on every state and on every step between two: S1 to S7 and S18
in the words of `tests/unit/runtime/update/promises.py`, and here besides that loads are bounded,
that each attempt leaves one result, L1, L2 and L9. That a worse gateway breaks the former is what
`test_worse_plants` shows.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import pytest

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Assignment, Desired, Outcome, TrialPolicy, UpdateState
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance
from edge_runtime.update.record import AIRBORNE, BEFORE, Attempt, Record
from edge_runtime.update.references import REFUNDS_MAX, Cause, Slots
from tests.unit.runtime.update.made import assignment, desired, digest, entry, order, record
from tests.unit.runtime.update.promises import broken_by, broken_in
from tests.unit.runtime.update.test_machine import ENDS

S = UpdateState
A, B, C = (digest(name) for name in "abc")
NUMBERS = {A: 1, B: 2, C: 3}
NAMES = {A: "a", B: "b", C: "c"}
TRIES = 2
STATES_MAX = 400_000  # far above what is found; a change that explodes the walk says so


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the world around a gateway may do in one walk.

    Attributes:
        assigned: releases and attempts that the site may want.
        ordered: releases and epochs that the site may order left.
        rots: how often bytes on the disk go bad.
        stumbles: how often a rollback's target does not load.
        locals: how often a person at the gateway orders a rollback.
        broken: releases that fail every trial.
    """

    assigned: tuple[tuple[str, int], ...]
    ordered: tuple[tuple[str, int], ...] = ()
    rots: int = 0
    stumbles: int = 0
    locals: int = 0
    broken: frozenset[Digest] = frozenset()


@dataclass(frozen=True, slots=True)
class World:
    """A gateway and what is left of the bounds.

    Attributes:
        now: its record, without what decides nothing.
        loads: of the present candidate.
    """

    now: Record
    loads: int = 0
    rots: int = 0
    stumbles: int = 0
    locals: int = 0

    @property
    def key(self) -> bytes:
        """What makes two worlds the same."""
        counts = (self.loads, self.rots, self.stumbles, self.locals)
        return _ENCODER.encode((self.now, counts))


Step = tuple[str, Event, World]
Machine = Callable[[Record, Event], Record]
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_POLICY = TrialPolicy(tries=TRIES)


def wants(name: str, attempt: int) -> Assignment:
    """Run that release in that attempt."""
    return assignment(name, attempt, NUMBERS[digest(name)], trial=_POLICY)


def plain(now: Record) -> Record:
    """The record without its counters and without results on their way, which decide nothing."""
    return msgspec.structs.replace(now, boot_epoch=0, kernel_boot="", stopped=False, untold=[])


class Walk:
    """All worlds that can be reached and the steps between, up to the first broken promise."""

    def __init__(self, start: Record, bounds: Bounds, machine: Machine = advance) -> None:
        """Walk."""
        self.bounds = bounds
        self.machine = machine
        self.broken: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.steps = 0
        self.seen: dict[bytes, World] = {}
        self.alone: dict[bytes, list[bytes]] = {}  # whence without site, network or person
        begin = World(
            plain(start), rots=bounds.rots, stumbles=bounds.stumbles, locals=bounds.locals
        )
        waiting = deque([begin])
        self.seen[begin.key] = begin
        while waiting and not self.examples:
            world = waiting.popleft()
            for name, event, after in self.following(world):
                self.steps += 1
                key = after.key
                if not isinstance(event, _FROM_OUTSIDE):
                    self.alone.setdefault(key, []).append(world.key)
                if key not in self.seen:
                    self.seen[key] = after
                    waiting.append(after)
                    assert len(self.seen) < STATES_MAX, name
                    self._judge(after, name)

    def following(self, world: World) -> Iterator[Step]:
        """Everything that can happen next, each step judged."""
        for event, changes in (*self.agent(world), *self.outside(world), *self.ends(world)):
            raw = self.machine(world.now, event)
            after = replace(world, now=plain(raw), **changes)
            if after.now.slots.candidate is None:
                after = replace(after, loads=0)
            self._judge_step(world, event, raw, after)
            yield type(event).__name__, event, after

    # What the agent does by itself, in each state.

    def agent(self, world: World) -> Iterator[tuple[Event, dict[str, int]]]:
        """The next thing that is due, however it may go."""
        now, attempt = world.now, world.now.attempt
        if attempt is None or now.state not in {*AIRBORNE, *BEFORE}:
            yield events.Collected(frozenset(now.entries) - now.slots.referenced), {}
            return
        match now.state:
            case S.ASSIGNED:
                yield events.DownloadStarted(), {}
                yield events.Refused("space", "no room"), {}
            case S.DOWNLOADING:
                yield events.Collected(frozenset(now.entries) - now.slots.referenced), {}
                yield events.Verified(entry(NAMES[attempt.digest])), {}
                yield events.Refused("verification", "nobody signed it"), {}
            case S.VERIFIED:
                yield events.Staged(), {}
                yield events.Refused("smoke", "other values", bars=True), {}
            case S.STAGED:
                yield events.PermitAsked(), {}
                yield events.Refused("crash", "died while it looked on", bars=True), {}
            case S.AWAITING_PERMIT:
                yield events.PermitGranted(now.epoch_seen), {"loads": 1}
                yield events.PermitGranted(0), {}
                yield events.PermitDenied(), {}  # or it expired, or nobody answered
            case S.ACTIVATING:
                yield events.Loaded(attempt.digest), {}
                yield events.TrialFailed("load", "does not load"), {}
            case S.TRIAL:
                yield events.TrialFailed("errors", "too many"), {}
                if attempt.digest not in self.bounds.broken:
                    yield events.TrialPassed(), {}
            case _:
                yield from self.going_back(world)

    def going_back(self, world: World) -> Iterator[tuple[Event, dict[str, int]]]:
        """The target runs, is rotten, or does not load."""
        target = world.now.slots.committed
        if target is not None and target not in world.now.entries:
            yield events.EntryLost(target, "not on this disk"), {}
            return
        yield events.TargetRunning(), {}
        if target is not None and world.stumbles:
            yield events.TargetLost(target, "dies"), {"stumbles": world.stumbles - 1}

    # What comes from outside, at any time.

    def outside(self, world: World) -> Iterator[tuple[Event, dict[str, int]]]:
        """The site's wishes and orders, a person's, and the wear of the disk."""
        epoch = world.now.epoch_seen
        yield events.Told(_said(None, epoch)), {}
        for name, attempt in self.bounds.assigned:
            yield events.Told(_said(wants(name, attempt), epoch)), {}
        for name, at in self.bounds.ordered:
            said = _said(None, max(epoch, at))
            yield events.Told(msgspec.structs.replace(said, rollback=order(name, at))), {}
        effective = world.now.slots.effective
        if world.locals and effective is not None:
            by_hand = events.OrderedBack(order(NAMES[effective], epoch), local=True)
            yield by_hand, {"locals": world.locals - 1}
        if world.rots:
            for each in sorted(world.now.entries):
                yield events.EntryLost(each, "rotten"), {"rots": world.rots - 1}

    def ends(self, world: World) -> Iterator[tuple[Event, dict[str, int]]]:
        """The daemon ends, in every way, and starts again; a candidate is then loaded anew."""
        loaded = world.now.state in {S.ACTIVATING, S.TRIAL}
        for cause in Cause:
            yield events.Restarted(cause, "kernel"), {"loads": world.loads + int(loaded)}

    # The promises.

    def _judge(self, world: World, how: str) -> None:
        now = world.now
        rotted, stumbled = world.rots < self.bounds.rots, world.stumbles < self.bounds.stumbles
        excused = ("S1", "S3") if rotted else ("S3: away from golden",) if stumbled else ()
        for each in broken_in(now):
            self._hold(each.startswith(excused), each, world, how)
        self._hold(world.loads <= TRIES + REFUNDS_MAX, "S5", world, how)
        attempt = now.attempt
        named = attempt is None or attempt.outcome in ENDS.get(now.state, {Outcome.OPEN})
        self._hold(named, "one result", world, how)
        needed = now.slots.referenced
        kept = self.machine(now, events.Collected(frozenset(now.entries) - needed))
        self._hold(set(kept.entries) <= needed, "L9", world, how)

    def _judge_step(self, world: World, event: Event, raw: Record, after: World) -> None:
        how = type(event).__name__
        for each in broken_by(world.now, event, raw):
            self._hold(False, each, after, how)  # noqa: FBT003 - it does not hold
        self._judge_result(world.now.attempt, raw, after, how)

    def _judge_result(self, before: Attempt | None, raw: Record, after: World, how: str) -> None:
        """An attempt that gives way to another, or ends, leaves its result among the untold."""
        if before is None or before.outcome is not Outcome.OPEN:
            return
        if before.state is S.COMMITTED:
            return  # it came about by an order against something that had ended long ago
        going_on = raw.attempt is not None and raw.attempt.key == before.key
        if going_on and raw.attempt is not None and raw.attempt.outcome is Outcome.OPEN:
            return
        told = [each for each in raw.untold if each.key == before.key]
        self._hold(len(told) == 1, "a result is lost", after, how)

    def _hold(self, promise: bool, name: str, world: World, how: str) -> None:  # noqa: FBT001 - a promise holds or does not
        if not promise:
            self.broken[name] += 1
            self.examples.setdefault(name, f"by {how}: {world}")

    def restless(self) -> list[World]:
        """L1 and L2: worlds from which nothing that happens by itself leads to rest."""
        resting = [key for key, world in self.seen.items() if world.now.state not in AIRBORNE]
        found = set(resting)
        waiting = deque(resting)
        while waiting:
            for before in self.alone.get(waiting.popleft(), []):
                if before not in found:
                    found.add(before)
                    waiting.append(before)
        return [world for key, world in self.seen.items() if key not in found]


_FROM_OUTSIDE = (events.Told, events.OrderedBack, events.PermitGranted)


def _said(planned: Assignment | None, epoch: int) -> Desired:
    return desired(planned, generation=1, epoch=max(1, epoch))


ON_A = record(Slots(golden=A, committed=A), floors={"pump": 1}, ran=[A])
NEW = Record(generation_seen=1, epoch_seen=1)
WALKS: dict[str, tuple[Record, Bounds]] = {
    "a new gateway, three releases of which one is broken, and a person": (
        NEW,
        Bounds((("a", 1), ("b", 1), ("c", 1)), locals=1, broken=frozenset({B})),
    ),
    "orders at two epochs and second attempts": (
        ON_A,
        Bounds((("b", 1), ("b", 2)), (("b", 1), ("b", 2), ("a", 1)), stumbles=1),
    ),
    "bytes rot, targets do not load": (
        ON_A,
        Bounds((("a", 1), ("b", 1)), rots=1, stumbles=1),
    ),
}


@pytest.mark.parametrize("name", WALKS)
def test_every_order(name: str) -> None:
    """S1 to S7, L1, L2 and L9 hold in every world in reach, and each end has a result."""
    walk = Walk(*WALKS[name])
    restless = walk.restless()
    print(f"{name}: {len(walk.seen)} states, {walk.steps} steps")  # noqa: T201 - what was proved
    assert walk.examples == {}, dict(walk.broken)
    assert restless == []
    assert len(walk.seen) > 1_000


def collects_golden(now: Record, event: Event) -> Record:
    """A collection keeps only what runs."""
    if not isinstance(event, events.Collected):
        return advance(now, event)
    kept = {now.slots.committed, now.slots.candidate}
    entries = {key: each for key, each in now.entries.items() if key in kept}
    return msgspec.structs.replace(now, entries=entries)


def forgets_results(now: Record, event: Event) -> Record:
    """Who is told of another release drops the present attempt without a word."""
    after = advance(now, event)
    if not isinstance(event, events.Told):
        return after
    return msgspec.structs.replace(after, untold=[])


MUTANTS: dict[str, tuple[Machine, str]] = {
    "a collection of what is referenced": (collects_golden, "S3"),
    "a result that nobody hears": (forgets_results, "a result is lost"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_worse_machine_is_caught(name: str) -> None:
    """What only this walk looks at could be broken: a worse machine does, and is found out."""
    machine, promise = MUTANTS[name]
    walk = Walk(ON_A, Bounds((("b", 1), ("c", 1))), machine)
    assert [each for each in walk.examples if each.startswith(promise)], walk.examples
