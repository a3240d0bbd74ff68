"""Every reachable state of the four references, power cuts included, is walked and judged."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest

from edge_runtime.update.references import (
    BAD_MAX,
    REFUNDS_MAX,
    Activate,
    Cause,
    Commit,
    Event,
    Refusal,
    RollBack,
    Slots,
    TakeTry,
    abandon,
    barred,
    forbid,
    rollback_target,
    step,
)

VERSIONS = ("v1", "v2", "v3", "v4")
BROKEN = frozenset({"v2"})  # fails every trial
TRIES = 2
CUTS_MAX = 4


@dataclass(frozen=True)
class Plant:
    """One gateway as the walk sees it: its references, its disk, and whether it has power."""

    slots: Slots
    verified: frozenset[str] = frozenset()
    staging: str | None = None
    powered: bool = True
    cuts: int = 0
    loads: int = 0  # activations of the present candidate

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two plants the same."""
        slots = self.slots
        references = (slots.golden, slots.previous_good, slots.committed, slots.candidate)
        counts = (slots.tries_left, slots.refunds, frozenset(slots.bad.items()))
        disk = (self.verified, self.staging, self.powered, self.cuts, self.loads)
        return references + counts + disk


def taken(plant: Plant, event: Event, **changes: object) -> Iterator[tuple[str, Plant]]:
    """The plant after *event*, if the references take it."""
    after = step(plant.slots, event, plant.verified)
    if not isinstance(after, Refusal):
        yield type(event).__name__, replace(plant, slots=after, **changes)  # type: ignore[arg-type]  # a test's shorthand


def booting(plant: Plant) -> Iterator[tuple[str, Plant]]:
    """What may happen at a start: a candidate is paid for before it is loaded."""
    if plant.slots.candidate is None:
        yield "boot", replace(plant, powered=True)
        return
    for cause in (Cause.PROCESS, Cause.POWER):
        for name, after in taken(plant, TakeTry(cause=cause), powered=True):
            loads = plant.loads + 1 if after.slots.candidate is not None else 0
            yield f"{name} {cause}", replace(after, loads=loads)


def trying(plant: Plant) -> Iterator[tuple[str, Plant]]:
    """What may happen in a trial."""
    yield from taken(plant, RollBack(), loads=0)
    if plant.slots.candidate in BROKEN:
        yield "watchdog", replace(plant, powered=False)
    else:
        yield from taken(plant, Commit(), loads=0)


def resting(plant: Plant) -> Iterator[tuple[str, Plant]]:
    """What may happen while nothing is being tried."""
    yield from taken(plant, RollBack())
    if plant.staging is None:
        for version in VERSIONS:
            if version not in plant.verified and not barred(plant.slots, version, 1):
                yield f"stage {version}", replace(plant, staging=version)
    else:
        yield "verified", replace(plant, verified=plant.verified | {plant.staging}, staging=None)
        yield "does not verify", replace(plant, staging=None)
    for version in sorted(plant.verified):
        for name, after in taken(plant, Activate(version, attempt=1, tries=TRIES)):
            # The activation has paid for the first load.
            yield f"{name} {version}", replace(after, loads=1)
    for version in sorted(plant.verified - plant.slots.referenced):
        yield f"collect {version}", replace(plant, verified=plant.verified - {version})


def successors(plant: Plant) -> Iterator[tuple[str, Plant]]:
    """Everything that can happen next."""
    if not plant.powered:
        yield from booting(plant)
        return
    if plant.cuts < CUTS_MAX:
        yield "power cut", replace(plant, powered=False, staging=None, cuts=plant.cuts + 1)
    yield from trying(plant) if plant.slots.candidate is not None else resting(plant)


def violations(plant: Plant) -> Iterator[str]:
    """Which of the promises this state breaks."""
    slots = plant.slots
    if slots.effective is not None and slots.effective not in plant.verified:
        yield "S1: what runs is not verified"
    if slots.candidate is not None and barred(slots, slots.candidate, 1):
        yield "S4: a version that failed is being tried again"
    if plant.loads > TRIES + REFUNDS_MAX:
        yield "S5: more loads than were paid for"
    if slots.committed is not None:
        if slots.golden not in plant.verified:
            yield "S3: the golden version is gone"
        leaves_golden = slots.committed != slots.golden
        if leaves_golden and rollback_target(slots, plant.verified) is None:
            yield "S3: nowhere to go back to"
    if not slots.referenced <= plant.verified:
        yield "S3: a referenced version was collected"


def moved_without_cause(before: Plant, name: str, after: Plant) -> bool:
    """S2 and S6: only a commit and a rollback move what is committed."""
    return before.slots.committed != after.slots.committed and name not in {"Commit", "RollBack"}


@cache
def walk() -> tuple[dict[tuple[object, ...], Plant], dict[str, int]]:
    """Breadth first from a new gateway: all states, and how often each promise was broken."""
    start = Plant(slots=Slots())
    seen = {start.key: start}
    broken: dict[str, int] = {}
    waiting = deque([start])
    while waiting:
        plant = waiting.popleft()
        for violation in violations(plant):
            broken[violation] = broken.get(violation, 0) + 1
        for name, after in successors(plant):
            if moved_without_cause(plant, name, after):
                broken[f"S2: {name} moved committed"] = 1
            if after.key not in seen:
                seen[after.key] = after
                waiting.append(after)
    return seen, broken


def test_no_order_of_events_breaks_a_promise() -> None:
    """With four versions, one of them broken, and up to four power cuts, S1 to S6 hold."""
    seen, broken = walk()
    assert broken == {}
    assert len(seen) > 10_000


def test_every_state_comes_to_rest_alone() -> None:
    """L1: from any state, starts and failing trials alone lead to one without a candidate."""
    restless: list[Plant] = []
    seen, _ = walk()
    for plant in seen.values():
        slots, loads = plant.slots, 0
        while slots.candidate is not None and loads <= TRIES + REFUNDS_MAX + 1:
            after = step(slots, TakeTry(cause=Cause.POWER), plant.verified)
            assert not isinstance(after, Refusal)
            slots, loads = after, loads + 1
        if slots.candidate is not None:
            restless.append(plant)
    assert restless == []


ALL = frozenset({"a", "b", "c", "g"})
FOUR = Slots(golden="g", previous_good="b", committed="a")

CASES: dict[str, tuple[Slots, Event, Slots | None]] = {
    "an activation leaves committed alone": (
        FOUR,
        Activate("c", 1, 3),
        Slots(golden="g", previous_good="b", committed="a", candidate="c", tries_left=2),
    ),
    "what is committed is not activated again": (FOUR, Activate("a", 1, 3), None),
    "what is not verified is not activated": (FOUR, Activate("x", 1, 3), None),
    "what failed is not activated in the same attempt": (
        Slots(committed="a", golden="a", bad={"c": 1}),
        Activate("c", 1, 3),
        None,
    ),
    "a later attempt may try what failed": (
        Slots(committed="a", golden="a", bad={"c": 1}),
        Activate("c", 2, 3),
        Slots(committed="a", golden="a", candidate="c", tries_left=2),
    ),
    "an activation starts with all its refunds and nothing held against it": (
        Slots(golden="g", committed="a", refunds=2, bad={"b": 1, "c": 1}),
        Activate("c", attempt=2, tries=3),
        Slots(golden="g", committed="a", candidate="c", tries_left=2, bad={"b": 1}),
    ),
    "a commit clears what the trial had left": (
        Slots(golden="g", candidate="c", tries_left=2, refunds=2),
        Commit(),
        Slots(golden="g", committed="c"),
    ),
    "a commit moves everything up by one": (
        Slots(golden="g", previous_good="b", committed="a", candidate="c", tries_left=1),
        Commit(),
        Slots(golden="g", previous_good="a", committed="c"),
    ),
    "the first commit makes the golden version": (
        Slots(candidate="c"),
        Commit(),
        Slots(golden="c", committed="c"),
    ),
    "a failed trial leaves the previous good one alone": (
        Slots(golden="g", previous_good="b", committed="a", candidate="c"),
        RollBack(attempt=4),
        Slots(golden="g", previous_good="b", committed="a", bad={"c": 4}),
    ),
    "a failed trial clears what it had left": (
        Slots(golden="g", committed="a", candidate="c", tries_left=2, refunds=2),
        RollBack(),
        Slots(golden="g", committed="a", bad={"c": 1}),
    ),
    "a failed candidate is no longer the previous good version": (
        Slots(golden="g", previous_good="c", committed="a", candidate="c"),
        RollBack(),
        Slots(golden="g", committed="a", bad={"c": 1}),
    ),
    "a version that failed keeps its latest attempt": (
        Slots(golden="g", committed="a", candidate="c", bad={"b": 1, "c": 7}),
        RollBack(attempt=3),
        Slots(golden="g", committed="a", bad={"b": 1, "c": 7}),
    ),
    "rotten bytes bar no attempt": (
        FOUR,
        RollBack(attempt=0),
        Slots(golden="g", committed="b"),
    ),
    "a return to a version that once failed says that it may run": (
        Slots(golden="g", previous_good="b", committed="a", bad={"b": 1}),
        RollBack(),
        Slots(golden="g", committed="b", bad={"a": 1}),
    ),
    "a rollback goes to the previous good version": (
        FOUR,
        RollBack(),
        Slots(golden="g", committed="b", bad={"a": 1}),
    ),
    "without a previous good version it goes to the golden one": (
        Slots(golden="g", committed="a"),
        RollBack(),
        Slots(golden="g", committed="g", bad={"a": 1}),
    ),
    "from the golden version alone there is no way back": (
        Slots(golden="g", committed="g"),
        RollBack(),
        None,
    ),
    "without tries the candidate is dropped": (
        Slots(golden="a", committed="a", candidate="c"),
        TakeTry(attempt=2),
        Slots(golden="a", committed="a", bad={"c": 2}),
    ),
    "a power cut costs no try": (
        Slots(golden="a", committed="a", candidate="c", tries_left=1),
        TakeTry(cause=Cause.POWER),
        Slots(golden="a", committed="a", candidate="c", tries_left=1, refunds=1),
    ),
    "an orderly stop costs no try": (
        Slots(golden="a", committed="a", candidate="c", tries_left=1),
        TakeTry(cause=Cause.ORDERLY),
        Slots(golden="a", committed="a", candidate="c", tries_left=1, refunds=1),
    ),
    "a watchdog costs a try": (
        Slots(golden="a", committed="a", candidate="c", tries_left=1),
        TakeTry(cause=Cause.WATCHDOG),
        Slots(golden="a", committed="a", candidate="c"),
    ),
    "refunds run out": (
        Slots(golden="a", committed="a", candidate="c", tries_left=1, refunds=REFUNDS_MAX),
        TakeTry(cause=Cause.POWER),
        Slots(golden="a", committed="a", candidate="c", refunds=REFUNDS_MAX),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_step(name: str) -> None:
    """Each row says what one event makes of the references; None is a refusal."""
    before, event, expected = CASES[name]
    after = step(before, event, ALL)
    assert isinstance(after, Refusal) if expected is None else after == expected


BARRED: dict[str, tuple[dict[str, int], int, dict[str, int]]] = {
    "a first time": ({}, 1, {"c": 1}),
    "others stay barred, and come before it": ({"c": 1, "b": 4}, 2, {"b": 4, "c": 2}),
    "a later attempt that failed stays barred": ({"c": 5}, 2, {"c": 5}),
}


@pytest.mark.parametrize("name", BARRED)
def test_forbid(name: str) -> None:
    """An order bars a version up to and including an attempt, and moves no reference."""
    bad, attempt, expected = BARRED[name]
    before = Slots(golden="g", previous_good="b", committed="a", tries_left=1, bad=bad)
    after = forbid(before, "c", attempt)
    assert after == Slots(golden="g", previous_good="b", committed="a", tries_left=1, bad=expected)
    assert list(after.bad) == list(expected)
    assert barred(after, "c", attempt)


def test_abandon() -> None:
    """With nothing left to run, what is not verified is no reference any more; the rest stays."""
    before = Slots(golden="g", previous_good="b", committed="a", bad={"c": 1})
    assert abandon(before, {"b"}) == Slots(previous_good="b", bad={"c": 1})


def test_the_oldest_failure_is_forgotten_first() -> None:
    """Only so many failed versions are remembered, the latest ones."""
    slots = Slots()
    for number in range(BAD_MAX + 2):
        slots = forbid(slots, f"v{number}", 1)
    assert list(slots.bad) == [f"v{number}" for number in range(2, BAD_MAX + 2)]
