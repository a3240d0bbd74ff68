"""Every order of everything at four gateways and three versions: a breadth-first search.

The product's own code decides everything: on the site `machine.step`, `orders.*`, `permits.decide`
and `settled`, the planner, and what `outlook` and `wanted` make of beliefs (`standing`,
`neighbour`, `flying`, `assigned`, `rollback_order`, `veto_of`); `sightings.merge` for what is
believed; on the gateways `update.machine.advance`. The search only says what may happen next, and
judges. A whole record, belief or rollout is kept once and named by a small number, so a state is
one integer, and a decision that was asked once is not asked again.

What is abstracted, and why nothing is lost by it:

- Time. A permit's lease is live or over, and what is over here was over at the gateway before
  (`test_permit_search` walks that in ticks, late messages included). Whether a phase is overdue,
  a window open, the clock trusted, a gateway silent is chosen anew for each decision.
- Messages. A report arrives at once or never, and so does what it is answered; one that arrives
  late says what one in time would have said. Site and gateway may each do more in between.
- A gate's verdict is chosen (INCONCLUSIVE, PASS, FAIL), except that a veto fails it.
- Downloads, loads and collections are one step with what they lead to; a single gateway's steps
  are walked one by one in `test_update_model_check`, and so are power cuts and refunds.
- Mishaps (a restart, a failed trial, a refusal, a deadline, a failed or undecided gate) and
  unprovoked orders of people have budgets, which are part of the state.
- What the site does in one pass is one step: it frees locks, tells who is to go back, and goes on
  from a gate that was passed.
- Holds that come and go with what is seen: a shut window, an untrusted clock, gateways that are
  silent or late. Since the next look may see anything, the machine sets such a hold and clears it
  by its own rule within one step, and every request for a permit also meets a rollout that bears
  it. One that the rule does not clear (members that failed) stays and is part of the state.
- History. A rollout is kept without words, instants, and what nothing looks at: who had it go on
  (here the approver orders nothing else), gates that did not pass, all but one revocation and
  even that while the plan is approved, who was late in a cohort that is through, except for one
  of which nobody was there. One that was left keeps its plan, signatures, attempts and the order.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gates import GateReport, Verdict
from edge_core.contracts.gateway import (
    Desired,
    PermitRequest,
    RollbackOrder,
    StatusReport,
    TrialPolicy,
    UpdateState,
)
from edge_core.contracts.plant import ClockQuality, Inventory, SafetyClass, Zone
from edge_core.contracts.rollout import CohortRule, Hold, Plan, Policy, RolloutState
from edge_core.contracts.signing import ApproveRequest
from edge_runtime.update import events
from edge_runtime.update.machine import advance
from edge_runtime.update.record import AIRBORNE, BEFORE, Entry, Record
from edge_runtime.update.references import Cause, Slots
from edge_site_proxy.fleet.sightings import Sighting, merge, sighted
from edge_site_proxy.rollout import machine, orders, outlook, permit_outlook, permits
from edge_site_proxy.rollout.approvals import revocation, signatures
from edge_site_proxy.rollout.approvals.revocation import Taken
from edge_site_proxy.rollout.approvals.signatures import Here
from edge_site_proxy.rollout.facts import Facts, Standing
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.planner import prospect, waits_for
from edge_site_proxy.rollout.records import (
    MOVING,
    PENDING,
    Arrived,
    Grant,
    Header,
    Rollout,
    Step,
    etag_of,
)
from edge_site_proxy.rollout.wanted import wanted
from edge_site_proxy.rollout.world import Clocks, Plant, SiteSettings, World
from tests.unit.runtime.update.promises import broken_by, broken_in, restless
from tests.unit.site_proxy.plant.plant import POLICY, TARGET, V1, V2, V3, place
from tests.unit.site_proxy.plant.whole import DAYTIME
from tests.unit.site_proxy.rollout.promises import apart, one_cell, permitted

T = TypeVar("T")
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # a Monday, in a change window
SHUT = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
FAR_S = 1e9
TRIES = 2
ATTEMPTS_MAX = 2  # to which a person lets a cohort try again
STATES_MAX = 250_000  # nearly twice the largest walk; a change that explodes one says so

PLACES = [
    place("a", "L1", "C1", zone="boiler", group="pair"),
    place("b", "L2", "C2", group="pair"),
    place("c", "L2", "C3"),
    place("d", "L2", "C3"),
]
INVENTORY = Inventory(
    site="P1",
    zones=[Zone(name="plain"), Zone(name="boiler", safety_class=SafetyClass.SAFETY)],
    gateways=PLACES,
)
SERIALS = [each.serial for each in PLACES]
LIMITS: Policy = replace(
    POLICY,
    windows=DAYTIME,
    shadow_pairs_min=0,
    trial=TrialPolicy(tries=TRIES),
    cohorts=[
        CohortRule(name="canary", share=0.0, least=1),
        CohortRule(name="all", share=1.0, least=1),
    ],
)
PLANT = Plant.of(INVENTORY)
SETTINGS = SiteSettings(policy=LIMITS)
RELEASES = {
    ref.digest: Arrived(release=ref, targets=[TARGET], signers=["k"], author="ci", at=NOW)
    for ref in (V1, V2, V3)
}
NEXT = (V2, V3)
PAIR = {0: 1, 1: 0}
GROUPS = ((0, 1), (2,), (3,))
NEIGHBOURS = [[SERIALS.index(each) for each in PLANT.neighbours(one)] for one in PLACES]
BITS = 16
GAIN = 1 << BITS  # more values of one kind than there can be
SHIFTS = [BITS * (len(PLACES) - 1 - at) for at in range(len(PLACES))]
R3 = BITS * len(PLACES)
R2 = R3 + BITS
LEFT = R2 + BITS
PROVOKES = {Hold.GATE_FAIL, Hold.GATE_INCONCLUSIVE, Hold.BLAST}  # a person, to roll back
GONE_BACK = {
    RolloutState.ROLLING_BACK,
    RolloutState.ROLLED_BACK,
    RolloutState.ROLLBACK_INCOMPLETE,
}
PASSING = (Hold.WINDOW, Hold.CLOCK, Hold.BLAST)  # the machine sets and clears them by itself
BUDGET = 16  # more than either budget ever is

MISHAPS = ("restart", "trial", "smoke", "deadline", "gate")
ORDERS = ("hold", "revoke", "roll back")
FREE = ("lease", "resume")
Next = tuple[int, bool, int]  # kind, of fair weather, the state after
Numbers = Sequence[int] | Mapping[int, int]  # boxes by where they stand
Sight = tuple[tuple[int, int], frozenset[int], datetime, bool]  # rollouts, silent, now, trusted


@dataclass(frozen=True)
class Rules:
    """Everything that decides; a worse plant is one with another of these.

    Attributes:
        lapses: whether a permit ends at the gateway before it ends at the site.
    """

    step: Callable[[Rollout, Facts, datetime], Step | None] = machine.step
    decide: Callable[[permits.Ask], permits.Granted | permits.Deferred] = permits.decide
    settled: Callable[..., str | None] = permits.settled
    advance: Callable[[Record, events.Event], Record] = advance
    believed: Callable[[Sighting | None, Sighting], Sighting] = merge
    lapses: bool = True


@dataclass(frozen=True)
class Bounds:
    """How much may go wrong, and how often people interfere, in one run.

    Attributes:
        mishaps: how many, of the kinds `MISHAPS` that are in `allowed`.
        people: how many unprovoked orders, of the kinds `ORDERS` that are in `allowed`; to roll
            back what failed is free.
        versions: how many of `NEXT` are brought, one after the other.
        allowed: kinds of those, and of `FREE`: a lease that ends, a hold that a person takes away.
        attentive: gateways that report, and hear what is wanted, after every step at once.
        states_max: a walk that has as many is an error.
    """

    mishaps: int = 0
    people: int = 0
    versions: int = 1
    allowed: frozenset[str] = frozenset({*MISHAPS, *ORDERS, *FREE})
    attentive: frozenset[str] = frozenset()
    states_max: int = STATES_MAX


class Names(Generic[T]):
    """Values by number, equal ones by the same."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._numbers: dict[Hashable, int] = {}
        self.items: list[T] = []

    def of(self, item: T) -> int:
        """Its number."""
        key = self._key(item)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.items)
            self.items.append(item)
            assert number < GAIN
        return number


@dataclass(frozen=True, slots=True)
class Lock:
    """A permit that is out, as site and gateway count it.

    Attributes:
        release: which of `NEXT`.
        attempt: of the gateway.
        over: whether its lease has ended.
        heard: 0 nothing since it was given, 1 something, 2 something made after its end.
        restarted: whether the gateway has, since.
        told: whether the site has heard a report from after that.
    """

    release: int
    attempt: int
    over: bool = False
    heard: int = 0
    restarted: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """One gateway: its record, a permit in hand (and its epoch), what is believed, its lock.

    `ordered` says that it was told to go back when the site last looked, as it does at once.
    """

    record: int
    hand: int
    belief: int
    lock: Lock | None
    ordered: bool = False


def _packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value, order="deterministic")


def plain(record: Record) -> Record:
    """Without what decides nothing here; what nobody needs any more is collected at once."""
    attempt = record.attempt
    if attempt is not None:
        attempt = replace(attempt, progress=type(attempt.progress)(), strikes=0, reason="")
    desired = record.desired
    if desired is not None and attempt is not None and desired.assignment == attempt.assignment:
        desired = None
    made: Record = replace(
        record,
        sequence=0,
        boot_epoch=0,
        kernel_boot="",
        stopped=False,
        untold=[],
        attempt=attempt,
        desired=desired,
    )
    if made.state in BEFORE or made.state in AIRBORNE:
        return made
    gone = frozenset(made.entries) - made.slots.referenced
    entries = {key: each for key, each in made.entries.items() if key not in gone}
    return replace(made, entries=entries)


def entry(ref: ReleaseRef) -> Entry:
    """A release, verified on disk."""
    return Entry(
        release=ref, target=TARGET, manifest=ref.digest, blobs=[], size_bytes=1, signers=["k"]
    )


V0 = replace(V1, version="0.9.0", digest="sha256:" + "9" * 64)
BEGUN = Record(
    slots=Slots(golden=V0.digest, previous_good=V0.digest, committed=V1.digest),
    entries={V0.digest: entry(V0), V1.digest: entry(V1)},
    generation_seen=1,
    epoch_seen=1,
    floors={V1.model: V1.release},
    ran=[V0.digest, V1.digest],
)


class Search:
    """All states in reach, up to the first broken promise.

    Attributes:
        broken: what was broken first, with how it came about; empty if nothing was.
        states: how many there are.
        steps: how many steps between them.
    """

    def __init__(self, bounds: Bounds, rules: Rules | None = None) -> None:
        self.bounds = bounds
        self.rules = rules or Rules()
        self.records: Names[Record] = Names(_packed)
        self.beliefs: Names[Sighting | None] = Names(_packed)
        self.rollouts: Names[Rollout | None] = Names(_packed)
        self.boxes: Names[Box] = Names(lambda box: box)
        self.attentive = [SERIALS.index(each) for each in sorted(bounds.attentive)]
        self.asking: set[int] = set()
        self.anew: dict[int, int] = {}
        self.airs: dict[int, tuple[bool, bool]] = {}
        self.epochs: dict[tuple[int, int], int] = {}
        self.known: dict[tuple[object, ...], object] = {}
        self.tellings: dict[tuple[object, ...], tuple[int, ...]] = {}
        self.broken: list[str] = []
        self.kinds: Names[str] = Names(lambda kind: kind)
        self.order: list[int] = []
        self.came: list[int] = []
        self.how: list[int] = []
        self.steps = 0
        self.fair: tuple[list[int], list[int]] = ([], [])

    # A state is one integer: what is left of the budgets, two rollouts, four boxes.

    def run(self) -> "Search":
        """Walk."""
        begin = self._begin()
        seen = {begin: 0}
        self.order, self.came, self.how = [begin], [0], [self.kinds.of("")]
        number = 0
        while number < len(self.order) and not self.broken:
            for kind, fair, after in self.following(self.order[number]):
                self.steps += 1
                at = seen.get(after)
                if at is None:
                    at = seen[after] = len(self.order)
                    self.order.append(after)
                    self.came.append(number)
                    self.how.append(kind)
                    assert at < self.bounds.states_max, f"{at} states: {self.story(at)}"
                    self._judge(after)
                if fair:
                    self.fair[0].append(number)
                    self.fair[1].append(at)
                if self.broken:
                    self.broken.append(" > ".join([*self.story(number), self.kinds.items[kind]]))
                    break
            number += 1
        return self

    @property
    def states(self) -> int:
        """How many were found."""
        return len(self.order)

    def story(self, number: int) -> list[str]:
        """How a state was reached."""
        steps: list[str] = []
        while number:
            steps.append(self.kinds.items[self.how[number]])
            number = self.came[number]
        return steps[::-1]

    def _begin(self) -> int:
        nothing, record = self.rollouts.of(None), self.records.of(plain(BEGUN))
        belief = self.believed(self.beliefs.of(None), record)
        box = self.boxes.of(Box(record, 0, belief, None))
        state = self.bounds.mishaps * BUDGET + self.bounds.people
        for number in (nothing, nothing, *[box] * len(PLACES)):
            state = state * GAIN + number
        return state

    # What may happen next.

    def following(self, state: int) -> Iterator[Next]:
        """Every next step: its kind, whether it belongs to fair weather, and where it leads."""
        numbers = tuple(state >> shift & GAIN - 1 for shift in SHIFTS)
        rollouts = (state >> R2 & GAIN - 1, state >> R3 & GAIN - 1)
        mishaps, people = divmod(state >> LEFT, BUDGET)
        ordered = self.epoch(rollouts) > 1
        for at, number in enumerate(numbers):
            for kind, cost, after in self.box_moves(rollouts, numbers, at):
                if cost <= mishaps and after != number:
                    made = state ^ (number ^ after) << SHIFTS[at]
                    made -= cost * BUDGET << LEFT
                    yield kind, not cost, self.told(made) if ordered or self.attentive else made
        for which, shift in enumerate((R2, R3)[: self.bounds.versions]):
            for kind, (cost, order), after in self.rollout_moves(rollouts, numbers, which):
                if cost <= mishaps and order <= people:
                    made = state ^ (rollouts[which] ^ after) << shift
                    made -= cost * BUDGET + order << LEFT
                    yield kind, not cost and not order, self.told(made)
        anew = self.site_restarted(state, numbers)
        if anew != state:
            yield self.kinds.of("site restarts"), False, self.told(anew)

    def site_restarted(self, state: int, numbers: tuple[int, ...]) -> int:
        """Every lease counts from now, and no instant of any report is remembered."""
        for shift, number in zip(SHIFTS, numbers, strict=True):
            after = self.anew.get(number)
            if after is None:
                box = self.boxes.items[number]
                if box.lock is not None:
                    lock = dataclasses.replace(box.lock, over=False, heard=min(box.lock.heard, 1))
                    box = dataclasses.replace(box, lock=lock)
                after = self.anew[number] = self.boxes.of(box)
            state ^= (number ^ after) << shift
        return state

    def told(self, state: int) -> int:
        """The site looks at everything, tells who is to go back, and the attentive hear it.

        What one is told depends on its partner and on nobody else.
        """
        rollouts = (state >> R2 & GAIN - 1, state >> R3 & GAIN - 1)
        for group in GROUPS:
            numbers = tuple(state >> SHIFTS[at] & GAIN - 1 for at in group)
            key = (group, rollouts, numbers)
            after = self.tellings.get(key)
            if after is None:
                boxes = dict(zip(group, numbers, strict=True))
                after = self.tellings[key] = self._told(rollouts, boxes)
            if after != numbers:
                for at, was, now in zip(group, numbers, after, strict=True):
                    state ^= (was ^ now) << SHIFTS[at]
        return state

    def _told(self, rollouts: tuple[int, int], numbers: dict[int, int]) -> tuple[int, ...]:
        before = None
        while before != numbers:
            before = dict(numbers)
            for at in numbers:
                if at in self.attentive:
                    for _, _, after in self.hears(rollouts, numbers, at):
                        numbers[at] = after
            if self.epoch(rollouts) > 1:
                numbers = {at: self._looked(rollouts, numbers, at) for at in numbers}
        return tuple(numbers.values())

    def _looked(self, rollouts: tuple[int, int], numbers: Mapping[int, int], at: int) -> int:
        box = self.boxes.items[numbers[at]]
        ordered = self.wanted(rollouts, numbers, at).rollback is not None
        if box.ordered is ordered:
            return numbers[at]
        return self.boxes.of(dataclasses.replace(box, ordered=ordered))

    def epoch(self, rollouts: tuple[int, int]) -> int:
        """One more with each order to go back."""
        found = self.epochs.get(rollouts)
        if found is None:
            both = (self.rollouts.items[number] for number in rollouts)
            found = self.epochs[rollouts] = 1 + sum(
                each is not None and each.header.rollback_epoch is not None for each in both
            )
        return found

    def box_moves(
        self, rollouts: tuple[int, int], numbers: tuple[int, ...], at: int
    ) -> Iterator[tuple[int, int, int]]:
        """What one gateway, or the site about it, may do: kind, mishaps spent, the box after."""
        number = numbers[at]
        key: tuple[object, ...] = ("alone", at, number)
        if key not in self.known:
            self.known[key] = self._numbered(at, self.alone(self.boxes.items[number]))
        yield from self.known[key]  # type: ignore[misc]  # by its key
        yield from self.hears(rollouts, numbers, at)
        if number in self.asking:
            key = ("asks", at, rollouts, *numbers)
            if key not in self.known:
                self.known[key] = self._numbered(at, self.asked(rollouts, numbers, at))
            yield from self.known[key]  # type: ignore[misc]  # by its key

    def hears(
        self, rollouts: tuple[int, int], numbers: Numbers, at: int
    ) -> list[tuple[int, int, int]]:
        """The one move in which a gateway reports and hears what is wanted."""
        key = ("hears", at, rollouts, numbers[at], numbers[PAIR.get(at, at)])
        if key not in self.known:
            self.known[key] = self._numbered(at, [self.heard(rollouts, numbers, at)])
        return self.known[key]  # type: ignore[return-value]  # by its key

    def _numbered(
        self, at: int, moves: Iterable[tuple[str, int, Box]]
    ) -> list[tuple[int, int, int]]:
        return [
            (self.kinds.of(f"{SERIALS[at]} {kind}"), cost, self.boxes.of(box))
            for kind, cost, box in moves
        ]

    def heard(self, rollouts: tuple[int, int], numbers: Numbers, at: int) -> tuple[str, int, Box]:
        """A report arrives, and so does its answer."""
        box = self.boxes.items[numbers[at]]
        told = events.Told(self.wanted(rollouts, numbers, at))
        after = self.with_record(self.reported(box), self.happened(box.record, told))
        return "reports and hears", 0, after

    def alone(self, box: Box) -> Iterator[tuple[str, int, Box]]:
        """What asks nobody else."""
        if self.asks(box):
            self.asking.add(self.boxes.of(box))
        for kind, cost, record in self.acts(box):
            yield kind, cost, self.with_record(box, record)
        if "restart" in self.bounds.allowed:
            yield "restarts", 1, self.restarted(box)
        lock = box.lock
        if lock is not None and not lock.over and "lease" in self.bounds.allowed:
            ended = dataclasses.replace(lock, over=True)
            hand = 0 if self.rules.lapses else box.hand
            yield "'s lease ends", 0, self.settled(dataclasses.replace(box, hand=hand, lock=ended))

    def restarted(self, box: Box) -> Box:
        """Its daemon ended and starts again; a permit does not survive that."""
        record = self.loaded(self.happened(box.record, events.Restarted(Cause.PROCESS)))
        return dataclasses.replace(
            self.with_record(box, record),
            hand=0 if self.rules.lapses else box.hand,
            lock=None if box.lock is None else dataclasses.replace(box.lock, restarted=True),
        )

    def acts(self, box: Box) -> Iterator[tuple[str, int, int]]:
        """What the agent does: kind, mishaps spent, the record after."""
        record = self.records.items[box.record]
        attempt = record.attempt
        if attempt is None:
            return
        if record.state is UpdateState.ASSIGNED:
            ready = self.happened(
                box.record,
                events.DownloadStarted(),
                events.Verified(entry(attempt.assignment.release)),
                events.Staged(),
            )
            yield "stages", 0, ready
            if "smoke" in self.bounds.allowed:
                refused = events.Refused("smoke", "other values", bars=True)
                yield "refuses", 1, self.happened(box.record, events.DownloadStarted(), refused)
        elif record.state is UpdateState.STAGED and box.hand:
            granted = events.PermitGranted(box.hand)
            begun = self.happened(box.record, events.PermitAsked(), granted)
            yield "activates", 0, self.loaded(begun)
        elif record.state is UpdateState.TRIAL:
            yield "commits", 0, self.happened(box.record, events.TrialPassed())
            if "trial" in self.bounds.allowed:
                failed = events.TrialFailed("errors", "too many")
                yield "fails its trial", 1, self.happened(box.record, failed)
        elif record.state is UpdateState.ROLLING_BACK:
            yield "is back", 0, self.happened(box.record, events.TargetRunning())

    def asks(self, box: Box) -> bool:
        """Whether it wants a permit."""
        attempt = self.records.items[box.record].attempt
        return (
            not box.hand
            and attempt is not None
            and attempt.state is UpdateState.STAGED
            and attempt.assignment.activate
        )

    def loaded(self, number: int) -> int:
        """A candidate that was paid for loads at once."""
        record = self.records.items[number]
        if record.state is not UpdateState.ACTIVATING:
            return number
        return self.happened(number, events.Loaded(record.slots.candidate or ""))

    def happened(self, number: int, *several: events.Event) -> int:
        """The record after *several* events, each of them judged."""
        key = ("happened", number, tuple(_event_key(each) for each in several))
        if key not in self.known:
            record = self.records.items[number]
            for event in several:
                after = self.rules.advance(record, event)
                self.broken += broken_by(record, event, after)
                record = after
                if isinstance(event, events.Told):  # it has heard an order, or there was none
                    ordered = event.desired.rollback is not None
                    record = replace(record, generation_seen=1 + int(ordered))
            stands = plain(record)
            self.broken += broken_in(stands)
            stuck = restless(stands, self.rules.advance)
            self.broken += [] if stuck is None else [stuck]
            self.known[key] = self.records.of(stands)
        found = self.known[key]
        assert isinstance(found, int)
        return found

    def with_record(self, box: Box, record: int) -> Box:
        """The box with another record; a permit is for what was asked for, and used once."""
        if record == box.record:
            return box
        was, now = self.records.items[box.record], self.records.items[record]
        same = was.attempt is not None and now.attempt is not None
        if same and was.attempt is not None and now.attempt is not None:
            same = was.attempt.key == now.attempt.key and now.state is UpdateState.STAGED
        return dataclasses.replace(box, record=record, hand=box.hand if same else 0)

    # What the site believes, and its locks.

    def reported(self, box: Box) -> Box:
        """A report arrives."""
        belief = self.believed(box.belief, box.record)
        lock = box.lock
        if lock is not None:
            heard = 2 if lock.over else 1
            lock = dataclasses.replace(lock, heard=heard, told=lock.restarted)
        return self.settled(dataclasses.replace(box, belief=belief, lock=lock))

    def settled(self, box: Box) -> Box:
        """The site frees the lock as soon as its rule allows."""
        if box.lock is None or not self.free(box.belief, box.lock):
            return box
        return dataclasses.replace(box, lock=None)

    def believed(self, belief: int, record: int) -> int:
        """What is believed after a report; keys are counted anew, newest 1, all others 0."""
        key = ("believed", belief, record)
        if key not in self.known:
            said = sighted(_report(self.records.items[record]))
            both = self.rules.believed(self.beliefs.items[belief], said)
            attempts = {
                digest: replace(each, key=(1, int(each.key == both.key)))
                for digest, each in both.attempts.items()
            }
            slim = replace(both.report, sequence=1)
            made = replace(both, key=(1, 1), report=slim, attempts=attempts)
            self.known[key] = self.beliefs.of(made)
        found = self.known[key]
        assert isinstance(found, int)
        return found

    def free(self, belief: int, lock: Lock) -> bool:
        """Whether the site's own rule frees the lock."""
        key = ("free", belief, lock)
        if key not in self.known:
            grant, sighting = _grant("a", lock), self.beliefs.items[belief]
            report = None if sighting is None else sighting.update(grant.digest)
            held_s = permits.lease_s(grant) + 1.0 if lock.over else 1.0
            heard_s = 0.0 if lock.heard == 2 else held_s
            newest = (2 if lock.told else 1, int(lock.heard > 0))
            why = self.rules.settled(grant, report, newest, held_s=held_s, heard_s=heard_s)
            self.known[key] = why is not None
        return bool(self.known[key])

    # What the site decides about one gateway.

    def world(
        self,
        rollouts: tuple[int, int],
        boxes: dict[int, Box],
        *,
        silent: frozenset[int] = frozenset(),
        now: datetime = NOW,
        synchronised: bool = True,
    ) -> World:
        """The product's own view, of these gateways alone."""
        plans = [self.rollouts.items[number] for number in rollouts]
        known = {each.id: each for each in plans if each is not None}
        quality = ClockQuality(synchronised=synchronised, error_max_us=1)
        found = World(
            plant=PLANT,
            settings=SETTINGS,
            clocks=Clocks(lambda: now, lambda: 0.0, lambda: quality),
            started=0.0,
            epoch=self.epoch(rollouts),
            releases=RELEASES,
            rollouts=known,
            grants={},
            wishes={},
            desired={},
            baselines={},
            sightings={},
            heard_at={},
            tallies={},
            timers={},
        )
        for at, box in boxes.items():
            sighting, serial = self.beliefs.items[box.belief], SERIALS[at]
            if sighting is not None:
                found.believe(serial, sighting)
            found.heard[serial] = -FAR_S if at in silent else 0.0
            if box.lock is not None:
                found.grants[serial] = _grant(serial, box.lock)
            if box.ordered:
                found.desired[serial] = _ORDERED
        return found

    def wanted(self, rollouts: tuple[int, int], numbers: Numbers, at: int) -> Desired:
        """What the site tells a gateway; not with a silent partner, which L5 puts before S8."""
        group = {each: self.boxes.items[numbers[each]] for each in (at, PAIR.get(at, at))}
        key = ("wanted", at, rollouts, *(_seen(each) for each in group.values()))
        if key not in self.known:
            world = self.world(rollouts, group)
            told = replace(wanted(world, SERIALS[at]), generation=2, epoch=world.epoch)
            self.known[key] = told
        return self.known[key]  # type: ignore[return-value]  # by its key

    def asked(
        self, rollouts: tuple[int, int], numbers: tuple[int, ...], at: int
    ) -> Iterator[tuple[str, int, Box]]:
        """A request for a permit: each answer there may be, and that it is lost."""
        boxes = [self.boxes.items[number] for number in numbers]
        box, others = boxes[at], {each: boxes[each] for each in NEIGHBOURS[at]}
        attempt = self.records.items[box.record].attempt
        assert attempt is not None
        suspects = tuple(self.vetoed(rollouts, each, boxes[each]) for each in range(len(PLACES)))
        seen = tuple(_seen(each) for each in others.values())
        key = ("asked", at, rollouts, attempt.key, _seen(box), seen, suspects)
        if key not in self.known:
            self.known[key] = list(self._answers(rollouts, {at: box, **others}, at, suspects))
        answers: list[tuple[int, bool]] = self.known[key]  # type: ignore[assignment]  # by its key
        for epoch, renewed in answers:
            lock = box.lock
            if not renewed:
                lock = Lock(_number(attempt.digest), attempt.assignment.attempt)
            yield "is permitted", 0, dataclasses.replace(box, hand=epoch, lock=lock)
            yield "is permitted and never hears it", 0, dataclasses.replace(box, lock=lock)

    def _answers(
        self, rollouts: tuple[int, int], boxes: dict[int, Box], at: int, suspects: tuple[str, ...]
    ) -> Iterator[tuple[int, bool]]:
        box, serial = boxes[at], SERIALS[at]
        attempt = self.records.items[box.record].attempt
        assert attempt is not None
        restarted = box.lock is not None and box.lock.restarted
        request = PermitRequest(
            digest=attempt.digest,
            attempt=attempt.assignment.attempt,
            boot_epoch=2 if restarted else 1,
        )
        said: set[tuple[int, bool]] = set()
        for plans, silent, now, synchronised in self._sights(rollouts, frozenset(boxes) - {at}):
            world = self.world(plans, boxes, silent=silent, now=now, synchronised=synchronised)
            world.desired[serial] = replace(wanted(world, serial), generation=2)
            if box.lock is not None:
                world.granted[serial] = -FAR_S if box.lock.over else -10.0
            ask = permit_outlook.ask(world, serial, request)
            ask = dataclasses.replace(ask, vetoed=ask.vetoed or next(filter(None, suspects), ""))
            answer = self.rules.decide(ask)
            if isinstance(answer, permits.Deferred):
                continue
            lock = box.lock if answer.renewed else Lock(_number(request.digest), 1)
            assert lock is not None
            world.grants[serial] = replace(
                _grant(serial, lock), rollout=_rollout_of(world, request.digest)
            )
            self.broken += permitted(world, serial)
            said.add((world.epoch, answer.renewed))
        yield from sorted(said)

    def _sights(self, rollouts: tuple[int, int], others: frozenset[int]) -> Iterator[Sight]:
        """What a request may meet: the site sees this or that, or held a rollout for it before."""
        for silent in (frozenset[int](), others):
            for now, synchronised in ((NOW, True), (SHUT, True), (NOW, False)):
                yield rollouts, silent, now, synchronised
        for hold in PASSING:
            held = self._held(rollouts[0], hold), self._held(rollouts[1], hold)
            if held != rollouts:
                yield held, frozenset(), NOW, True

    def _held(self, number: int, hold: Hold) -> int:
        """The rollout with one more hold, if it is one that the machine holds."""
        rollout = self.rollouts.items[number]
        if rollout is None or rollout.state not in MOVING:
            return number
        header = replace(rollout.header, holds={**rollout.header.holds, hold: ""})
        return self.rollouts.of(_slim(replace(rollout, header=header)))

    def vetoed(self, rollouts: tuple[int, int], at: int, box: Box) -> str:
        """What this gateway has against the release that is being brought."""
        key = ("vetoed", rollouts, at, box.belief)
        if key not in self.known:
            world = self.world(rollouts, {at: box})
            moving = [each for each in world.rollouts.values() if each.state in MOVING]
            self.known[key] = "".join(outlook.vetoed(world, each) for each in moving)
        return str(self.known[key])

    # What becomes of a rollout.

    def rollout_moves(
        self, rollouts: tuple[int, int], numbers: tuple[int, ...], which: int
    ) -> Iterator[tuple[int, tuple[int, int], int]]:
        """What may happen to one rollout: kind, (mishaps, orders) spent, the rollout after."""
        key: tuple[object, ...] = ("orders", rollouts, which)
        if key not in self.known:
            self.known[key] = [
                (self.kinds.of(f"{NEXT[which].version} {kind}"), cost, self.rollouts.of(made))
                for kind, cost, made in self.ordered(rollouts, which)
            ]
        yield from self.known[key]  # type: ignore[misc]  # by its key
        rollout = self.rollouts.items[rollouts[which]]
        if rollout is None or not rollout.open:
            return
        for kind, cost, after in self.steps_of(rollouts, numbers, which, rollout):
            yield kind, (cost, 0), after

    def ordered(
        self, rollouts: tuple[int, int], which: int
    ) -> Iterator[tuple[str, tuple[int, int], Rollout]]:
        """What people and the mirror may do about it."""
        rollout, before = (self.rollouts.items[rollouts[each]] for each in (which, 0))
        if rollout is None:
            if which == 0 or (before is not None and not before.open):
                yield "arrives", (0, 0), _arrived(which)
            return
        for kind, cost, made in _orders(rollout, self.epoch(rollouts) + 1):
            if kind in self.bounds.allowed or (not cost and kind != "resume"):
                yield kind, (0, cost), _slim(made)

    def steps_of(
        self, rollouts: tuple[int, int], numbers: tuple[int, ...], which: int, rollout: Rollout
    ) -> list[tuple[int, int, int]]:
        """What `machine.step` makes of everything that may be seen."""
        boxes = [self.boxes.items[number] for number in numbers]
        seen = tuple((box.belief, box.lock and box.lock.release) for box in boxes)
        pending = rollout.state in PENDING
        key = ("steps", rollouts if pending else rollouts[which], which, seen)
        if key not in self.known:
            found: dict[tuple[int, int, int], None] = {}
            for silent in _silences(rollout):
                moves = (
                    self._planned(rollouts, boxes, rollout)
                    if pending
                    else self._seen(rollouts[which], boxes, silent)
                )
                found.update(dict.fromkeys(moves))
            self.known[key] = list(found)
        return self.known[key]  # type: ignore[return-value]  # by its key

    def _seen(
        self, number: int, boxes: list[Box], silent: frozenset[int]
    ) -> Iterator[tuple[int, int, int]]:
        rollout = self.rollouts.items[number]
        assert rollout is not None
        facts, vetoed = self._facts(number, boxes, silent)
        for cost, verdict, phase_s, now, trusted in _choices(rollout, self.bounds.allowed):
            seen = dataclasses.replace(
                facts,
                gates=_gates(rollout, vetoed, verdict),
                phase_s=phase_s,
                clock_trusted=trusted,
            )
            step = self.rules.step(rollout, seen, now)
            if step is None:
                continue
            self.broken += _advanced(rollout, step.rollout, seen)
            kind = self.kinds.of(f"{rollout.id} {step.event.kind}")
            made = self.calm(self.on(_slim(step.rollout)), boxes)
            yield kind, cost, self.rollouts.of(made)

    def _facts(
        self, number: int, boxes: list[Box], silent: frozenset[int]
    ) -> tuple[Facts, set[str]]:
        """How the members stand while *silent* are not heard, and who has vetoed the release."""
        rollout = self.rollouts.items[number]
        assert rollout is not None
        members = {
            SERIALS[at]: self.standing(number, at, box, silent=at in silent)
            for at, box in enumerate(boxes)
        }
        vetoed = {
            SERIALS[at] for at, box in enumerate(boxes) if self.vetoed((number, number), at, box)
        }
        every = (each for part in rollout.plan.cohorts for each in part.members)
        return Facts(members={each: members[each] for each in every}), vetoed

    def calm(self, rollout: Rollout, boxes: list[Box]) -> Rollout:
        """What holds for what was seen is cleared when all is seen to be well, by its own rule."""
        while rollout.state in MOVING and rollout.header.holds.keys() & set(PASSING):
            facts, vetoed = self._facts(self.rollouts.of(rollout), boxes, frozenset())
            gates = _gates(rollout, vetoed, Verdict.INCONCLUSIVE)
            facts = dataclasses.replace(facts, gates=gates)
            step = self.rules.step(rollout, facts, NOW)
            if step is None:
                break
            self.broken += _advanced(rollout, step.rollout, facts)
            if step.event.kind != "rollout.hold_cleared":
                break
            rollout = _slim(step.rollout)
        return rollout

    def standing(self, rollout: int, at: int, box: Box, *, silent: bool) -> Standing:
        """How one member stands, by the product."""
        key = ("standing", rollout, at, _seen(box), silent)
        if key not in self.known:
            gone = frozenset({at}) if silent else frozenset[int]()
            world = self.world((rollout, rollout), {at: box}, silent=gone)
            found = self.rollouts.items[rollout]
            assert found is not None
            self.known[key] = outlook.standing(world, found, SERIALS[at])
        found_standing = self.known[key]
        assert isinstance(found_standing, Standing)
        return found_standing

    def _planned(
        self, rollouts: tuple[int, int], boxes: list[Box], rollout: Rollout
    ) -> Iterator[tuple[int, int, int]]:
        world = self.world(rollouts, dict(enumerate(boxes)))
        blocked = waits_for(world, rollout)
        plan = prospect(world, rollout) if blocked is None else None
        facts = Facts(
            waits_for=blocked,
            fresh=None if plan is None else plan.plan,
            refusal=None if plan is None else plan.refusal,
        )
        step = self.rules.step(rollout, facts, NOW)
        if step is not None:
            kind = self.kinds.of(f"{rollout.id} {step.event.kind}")
            yield kind, 0, self.rollouts.of(_slim(step.rollout))

    def on(self, rollout: Rollout) -> Rollout:
        """What is gated goes on in the same pass, since nothing else is looked at for it."""
        while rollout.state is RolloutState.GATED and not rollout.header.holds:
            facts = Facts(gates=_gates(rollout, set(), Verdict.PASS))
            step = self.rules.step(rollout, facts, NOW)
            assert step is not None
            self.broken += _advanced(rollout, step.rollout, facts)
            rollout = _slim(step.rollout)
        return rollout

    # The promises of a state.

    def _judge(self, state: int) -> None:
        airs = [self._airs(state >> shift & GAIN - 1) for shift in SHIFTS]
        flying = [serial for serial, (flies, _) in zip(SERIALS, airs, strict=True) if flies]
        if len(flying) > 1:
            opening = [serial for serial, (_, opens) in zip(SERIALS, airs, strict=True) if opens]
            self.broken += [*apart(PLANT.places, flying), *one_cell(PLANT.places, opening)]

    def _airs(self, number: int) -> tuple[bool, bool]:
        """Whether a gateway may be changing, and whether that opens its cell up."""
        found = self.airs.get(number)
        if found is None:
            box = self.boxes.items[number]
            state = self.records.items[box.record].state
            flies = bool(box.hand) or state in AIRBORNE
            found = self.airs[number] = (flies, flies and state is not UpdateState.ROLLING_BACK)
        return found

    def restless(self) -> list[str]:
        """L1, L3 to L5: states from which no fair weather leads to rest; one story, if any."""
        count = self.states
        rest = np.fromiter((self._rests(each) for each in self.order), np.bool_, count)
        source, target = (np.asarray(each, np.int32) for each in self.fair)
        while True:
            # Backwards, a wave at a time: whoever leads to rest is at rest in the end.
            found = source[rest[target] & ~rest[source]]
            if not len(found):
                break
            rest[found] = True
        stuck = np.flatnonzero(~rest)
        if not len(stuck):
            return []
        story = " > ".join(self.story(int(stuck[0])))
        return [f"L3, L4, L5: no way to rest from {len(stuck)} of {count} states", story]

    def _rests(self, state: int) -> bool:
        boxes = [self.boxes.items[state >> shift & GAIN - 1] for shift in SHIFTS]
        plans = [self.rollouts.items[state >> shift & GAIN - 1] for shift in (R2, R3)]
        return (
            all(plan is None or not plan.open for plan in plans)
            and all(box.lock is None for box in boxes)
            and all(self.records.items[box.record].state not in AIRBORNE for box in boxes)
        )


_ORDERED = Desired(
    serial="x",
    generation=2,
    epoch=1,
    repository="x",
    rollback=RollbackOrder(from_digest=V1.digest, epoch=1, reason=""),
)


def _report(record: Record) -> StatusReport:
    attempt = record.attempt
    effective = None if record.fail_safe else record.slots.effective
    return StatusReport(
        serial="x",
        boot_epoch=1,
        sequence=2,
        software="search",
        clock=ClockQuality(synchronised=True, error_max_us=1),
        references=record.slots.shown,
        effective=effective,
        running=effective,
        update=None if attempt is None else attempt.report(0.0),
        targets=[TARGET],
        generation_seen=record.generation_seen,
    )


def _event_key(event: events.Event) -> Hashable:
    if isinstance(event, events.Told):
        return "told", _packed(event.desired)
    return type(event).__name__, str(event)


def _seen(box: Box) -> tuple[int, Lock | None, bool]:
    """What the site knows of it."""
    return box.belief, box.lock, box.ordered


def _number(digest: str) -> int:
    return 0 if digest == V2.digest else 1


def _rollout_of(world: World, digest: str) -> str:
    return next(each.id for each in world.rollouts.values() if each.digest == digest)


def _grant(serial: str, lock: Lock) -> Grant:
    return Grant(
        serial=serial,
        rollout="",
        digest=NEXT[lock.release].digest,
        attempt=lock.attempt,
        boot_epoch=1,
        epoch=1,
        seen=(1, 0),
        valid_s=LIMITS.permit_valid_s,
        at=NOW,
    )


def _arrived(which: int) -> Rollout:
    ref = NEXT[which]
    name = f"r{which + 2}"
    plan = Plan(
        rollout=name,
        release=ref,
        rollback_to=None,
        author="ci",
        created=NOW,
        policy=LIMITS,
        cohorts=[],
    )
    header = Header(id=name, state=RolloutState.VERIFYING, created=NOW, changed=NOW)
    return Rollout(header=header, plan=plan)


def _slim(rollout: Rollout) -> Rollout:
    """Without what decides nothing: words, instants, and what is over."""
    header = rollout.header
    slim = replace(
        header,
        holds=dict.fromkeys(sorted(header.holds), ""),
        why="",
        changed=NOW,
        rollback_reason="",
        late=_late(rollout),
        waived=sorted(set(header.waived)),
        gates=_passed(rollout),
        requesters=[],
        last_order="",
        revocations=[] if header.approvals else header.revocations[:1],
    )
    if rollout.state in GONE_BACK:
        slim = replace(slim, holds={}, revocations=[], gates=[], waived=[], late=[])
    return replace(rollout, header=slim)


def _late(rollout: Rollout) -> list[str]:
    """Who is late in a cohort that others may still wait for, or of which nobody was there."""
    late, found = set(rollout.header.late), set[str]()
    waits = rollout.state in {RolloutState.STAGING, RolloutState.ACTIVATING}
    for number, part in enumerate(rollout.plan.cohorts):
        if (waits and number == rollout.header.cohort) or late.issuperset(part.members):
            found |= late.intersection(part.members)
    return sorted(found)


def _passed(rollout: Rollout) -> list[GateReport]:
    """One report of each cohort that has passed its gate."""
    passed = {each.cohort for each in rollout.header.gates if each.verdict is Verdict.PASS}
    return [
        GateReport(cohort=name, verdict=Verdict.PASS, by=[], measurements=[])
        for name in sorted(passed)
    ]


def _orders(rollout: Rollout, epoch: int) -> Iterator[tuple[str, int, Rollout]]:
    """What people may order of it: kind, whether unprovoked, the rollout after."""
    sender, held = Sender("ana", etag_of(rollout)), bool(PROVOKES & rollout.header.holds.keys())
    # Who had it go on may not approve it, so there is somebody who does nothing else.
    approver = Sender("eve", etag_of(rollout))
    tried = max([1, *rollout.header.attempts.values()])

    def approved() -> Step:
        request = ApproveRequest(
            ticket="CHG-1", reason="yes", plan_digest=rollout.plan_digest, line="L1"
        )
        here = Here(INVENTORY, clock_trusted=True, tzdata="", shown="")
        return signatures.approve(rollout, request, approver, here, NOW)

    ways: dict[str, tuple[int, Callable[[], Step]]] = {
        "approve": (0, approved),
        "roll back": (
            int(not held),
            lambda: orders.roll_back(rollout, "so", sender, epoch, NOW),
        ),
    }
    if Hold.OPERATOR not in rollout.header.holds:
        ways["hold"] = (1, lambda: orders.hold(rollout, "so", sender, NOW))
    if Hold.APPROVAL not in rollout.header.holds:
        ways["revoke"] = (
            1,
            lambda: revocation.revoke(
                rollout, Taken("so", roll_back=False, permits=()), sender, NOW
            ),
        )
    if tried < ATTEMPTS_MAX:
        ways["resume"] = (0, lambda: orders.resume(rollout, "so", sender, NOW))
    for kind, (cost, order) in ways.items():
        try:
            yield kind, cost, order().rollout
        except EdgeError:
            continue


def _silences(rollout: Rollout) -> list[frozenset[int]]:
    """Who is not heard: nobody or all, where it decides anything; some is both, at once."""
    if rollout.state not in {
        RolloutState.STAGING,
        RolloutState.ACTIVATING,
        RolloutState.ROLLING_BACK,
    }:
        return [frozenset()]
    return [frozenset(), frozenset(range(len(PLACES)))]


Choice = tuple[int, Verdict, float, datetime, bool]


def _choices(rollout: Rollout, allowed: frozenset[str]) -> list[Choice]:
    """(mishaps spent, the gate's verdict, how long the phase has stood, now, clock trusted)."""
    unsure = Verdict.INCONCLUSIVE
    usual: list[Choice] = [(0, unsure, 0.0, NOW, True)]
    match rollout.state:
        case RolloutState.STAGING if "deadline" in allowed:
            return [*usual, (1, unsure, FAR_S, NOW, True)]
        case RolloutState.SAFETY_LAG:
            return [*usual, (0, unsure, FAR_S, NOW, True)]
        case RolloutState.ACTIVATING:
            return [*usual, (0, unsure, 0.0, SHUT, True), (0, unsure, 0.0, NOW, False)]
        case RolloutState.SOAKING:
            usual.append((0, Verdict.PASS, 0.0, NOW, True))
            bad: list[Choice] = [(1, unsure, FAR_S, NOW, True), (1, Verdict.FAIL, 0.0, NOW, True)]
            return [*usual, *bad] if "gate" in allowed else usual
        case _:
            return usual


def _gates(rollout: Rollout, vetoed: set[str], verdict: Verdict) -> dict[int, GateReport]:
    if rollout.state not in MOVING:
        return {}
    found = {}
    for number, part in enumerate(rollout.plan.cohorts[: rollout.header.cohort + 1]):
        said = verdict if number == rollout.header.cohort else Verdict.PASS
        if vetoed.intersection(part.members):
            said = Verdict.FAIL
        found[number] = GateReport(cohort=part.name, verdict=said, by=["x"], measurements=[])
    return found


def _advanced(was: Rollout, now: Rollout, facts: Facts) -> Iterator[str]:
    """S10, S12 and S20, of one transition."""
    number = was.header.cohort
    moved = (was.state, number) != (now.state, now.header.cohort)
    if was.header.holds and moved and was.state in MOVING:
        yield f"S12: {was.id} moves on while {sorted(was.header.holds)} stand"
    if was.state is RolloutState.SOAKING and now.state is RolloutState.GATED:
        report = facts.gates.get(number)
        passed = report is not None and report.verdict is Verdict.PASS
        if not passed and number not in was.header.waived:
            yield f"S20: cohort {number} of {was.id} goes on by nobody's word"
    following = now.plan.cohorts[now.header.cohort : now.header.cohort + 1]
    enters = now.header.cohort == number + 1 and any(part.safety for part in following)
    if enters and not was.plan.cohorts[number].safety:
        lagged = was.state is RolloutState.SAFETY_LAG and facts.phase_s >= LIMITS.safety_lag_s
        if not lagged:
            yield f"S10: {was.id} comes to a safety zone without its stable interval"
