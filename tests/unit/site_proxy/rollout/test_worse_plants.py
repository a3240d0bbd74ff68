"""Plants that are a little worse, each in one thing: the checkers find every one of them out.

Each row is the product with one rule replaced by the one that somebody might have written, and the
promise that it breaks. The product itself breaks none (`test_plant_search`, `test_gate`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
import pytest

from edge_core.contracts.gates import GateReport, Verdict
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import Hold
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance
from edge_runtime.update.record import Record
from edge_site_proxy.rollout import machine, permits
from edge_site_proxy.rollout.facts import Facts
from edge_site_proxy.rollout.gates.evidence import EMPTY
from edge_site_proxy.rollout.gates.gate import Case, Subject, judge
from edge_site_proxy.rollout.permits import Ask, Deferred, Granted, decide
from edge_site_proxy.rollout.records import Grant, Rollout, Step
from tests.unit.site_proxy.plant.plant import POLICY
from tests.unit.site_proxy.rollout.search import Bounds, Rules, Search

# What a gateway might do worse.


def two_slots(now: Record, event: Event) -> Record:
    """There is room for two versions: what is staged goes where the one before was."""
    after = advance(now, event)
    if not isinstance(event, events.Verified):
        return after
    kept = {after.slots.committed, event.entry.digest}
    entries = {digest: each for digest, each in after.entries.items() if digest in kept}
    return msgspec.structs.replace(after, entries=entries)


def trial_moves_committed(now: Record, event: Event) -> Record:
    """An activation makes the newcomer the committed version at once."""
    after = advance(now, event)
    if not isinstance(event, events.PermitGranted) or after.slots.candidate is None:
        return after
    slots = msgspec.structs.replace(after.slots, committed=after.slots.candidate)
    return msgspec.structs.replace(after, slots=slots)


def commits_by_report(now: Record, event: Event) -> Record:
    """A trial that was passed is committed when the site has heard of it, and not before."""
    if isinstance(event, events.TrialPassed):
        return now
    if isinstance(event, events.Told) and now.state is UpdateState.TRIAL:
        return advance(advance(now, events.TrialPassed()), event)
    return advance(now, event)


def pays_nothing(now: Record, event: Event) -> Record:
    """A start loads the candidate again without paying for it."""
    after = advance(now, event)
    if not isinstance(event, events.Restarted) or now.slots.candidate is None:
        return after
    return msgspec.structs.replace(now, boot_epoch=after.boot_epoch)


def hears_anything(now: Record, event: Event) -> Record:
    """An order of an earlier epoch turns the count back."""
    after = advance(now, event)
    if not isinstance(event, events.Told):
        return after
    return msgspec.structs.replace(after, epoch_seen=event.desired.epoch - 1)


# What a site might do worse.


def times_out(grant: Grant, *_: object, held_s: float, **__: object) -> str | None:
    """A gateway that is not heard in time is given up, and its lock with it."""
    return "timed out" if held_s >= permits.lease_s(grant) else None


def frees_at_the_end(grant: Grant, *told: object, held_s: float, heard_s: float) -> str | None:
    """A lock is free with its lease, whether or not anything was heard after that."""
    why = permits.settled(grant, *told, held_s=held_s, heard_s=heard_s)  # type: ignore[arg-type]  # passed on
    return why or ("lapsed" if held_s >= permits.lease_s(grant) else None)


def frees_nothing(*_: object, **__: object) -> str | None:
    """A permit that was given counts for ever."""
    return None


def unsure_is_enough(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """A gate that cannot tell has found nothing wrong."""
    return machine.step(rollout, replace(facts, gates=_passing(facts.gates)), now)


def _passing(gates: Mapping[int, GateReport]) -> dict[int, GateReport]:
    sure = {Verdict.INCONCLUSIVE: Verdict.PASS}
    return {
        number: msgspec.structs.replace(report, verdict=sure.get(report.verdict, report.verdict))
        for number, report in gates.items()
    }


def holds_nothing(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """Whatever holds a rollout is a warning."""
    free = msgspec.structs.replace(rollout.header, holds={})
    return machine.step(msgspec.structs.replace(rollout, header=free), facts, now)


def shuts_for_good(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """A change window that was missed never opens again."""
    made = machine.step(rollout, facts, now)
    clears = made is not None and made.event.kind == "rollout.hold_cleared"
    opens = clears and made is not None and made.event.facts["hold"] == Hold.WINDOW.value
    return None if opens else made


def lags_never(rollout: Rollout, facts: Facts, now: datetime) -> Step | None:
    """The safety zone follows as soon as the others have passed."""
    return machine.step(rollout, replace(facts, phase_s=1e9), now)


def permits_held(ask: Ask) -> Granted | Deferred:
    """A hold stops the next cohort, and not who waits for a permit."""
    return decide(_with(ask, holds={}))


def permits_unapproved(ask: Ask) -> Granted | Deferred:
    """An approval that is taken back counts for what had begun."""
    header = None if ask.rollout is None else ask.rollout.header
    if header is None or not header.revocations:
        return decide(ask)
    holds = {hold: why for hold, why in header.holds.items() if hold is not Hold.APPROVAL}
    voided = header.revocations[-1].voided
    return decide(replace(_with(ask, holds=holds, approvals=voided), activate=True))


def permits_partners(ask: Ask) -> Granted | Deferred:
    """A redundancy group is no guard of permits."""
    place = msgspec.structs.replace(ask.place, redundancy_group=None)
    return decide(replace(ask, place=place))


def permits_lines(ask: Ask) -> Granted | Deferred:
    """A line may have as many cells open as it has."""
    line = ask.place.position.line
    far = {
        serial: each
        for serial, each in ask.neighbours.items()
        if each.place.position.line != line
        or each.place.redundancy_group == ask.place.redundancy_group
    }
    return decide(replace(ask, neighbours=far))


def permits_any_time(ask: Ask) -> Granted | Deferred:
    """A safety zone moves whenever it is ready."""
    return decide(replace(ask, safety=False))


def _with(ask: Ask, **header: object) -> Ask:
    if ask.rollout is None:
        return ask
    other = msgspec.structs.replace(ask.rollout.header, **header)
    return replace(ask, rollout=msgspec.structs.replace(ask.rollout, header=other))


@dataclass(frozen=True)
class Worse:
    """One rule replaced, what must go wrong for it to show, and the promise that it breaks."""

    rules: Rules
    promise: str
    bounds: Bounds = field(default=Bounds())


NOTHING = Bounds(allowed=frozenset())
PROMPT = Bounds(allowed=frozenset(), attentive=frozenset({"a", "b", "c", "d"}))
STATES_MAX = 10_000  # several times what any takes; one that is not found out soon says so
RESTARTS = Bounds(mishaps=1, allowed=frozenset({"restart"}))
HOLDS = Bounds(people=1, allowed=frozenset({"hold"}))
REVOKES = Bounds(people=1, allowed=frozenset({"revoke"}))
LEAVES = Bounds(people=1, allowed=frozenset({"roll back"}))
WORSE: dict[str, Worse] = {
    "two slots": Worse(Rules(advance=two_slots), "S3"),
    "a trial that moves committed": Worse(Rules(advance=trial_moves_committed), "S2"),
    "a commit by report": Worse(Rules(advance=commits_by_report), "L1"),
    "a load that nobody paid for": Worse(Rules(advance=pays_nothing), "L1", RESTARTS),
    "an epoch that is turned back": Worse(Rules(advance=hears_anything), "S18", LEAVES),
    "a push with a time-out": Worse(Rules(settled=times_out, lapses=False), "S9"),
    "a lock that is free with its lease": Worse(Rules(settled=frees_at_the_end), "S9"),
    "a lock that no report frees": Worse(Rules(settled=frees_nothing), "L3", NOTHING),
    "INCONCLUSIVE advances": Worse(Rules(step=unsure_is_enough), "S20"),
    "holds that hold nothing": Worse(Rules(step=holds_nothing), "S12", HOLDS),
    "a hold that outlives its cause": Worse(Rules(step=shuts_for_good), "L3", PROMPT),
    "no lag before a safety zone": Worse(Rules(step=lags_never), "S10"),
    "permits while held": Worse(Rules(decide=permits_held), "S12", HOLDS),
    "permits after a revocation": Worse(Rules(decide=permits_unapproved), "S12", REVOKES),
    "permits without a look at the partner": Worse(Rules(decide=permits_partners), "S8"),
    "permits without a look at the line": Worse(Rules(decide=permits_lines), "S9"),
    "permits outside a change window": Worse(Rules(decide=permits_any_time), "S11"),
}


@pytest.mark.parametrize("name", WORSE)
def test_a_worse_plant_is_found_out(name: str) -> None:
    """The search says which promise is broken, and how it came about."""
    worse = WORSE[name]
    search = Search(replace(worse.bounds, states_max=STATES_MAX), worse.rules).run()
    found = search.broken or search.restless()
    assert [each for each in found if each.startswith(worse.promise)], found


def nothing_seen(**limits: float) -> Case:
    """A cohort of one of which nothing was seen."""
    made = msgspec.structs.replace(POLICY.gate, **limits)
    subject = Subject(running=EMPTY, shadow=EMPTY, history=None, veto=None, silent_s=0.0)
    return Case(cohort="canary", limits=made, subjects={"g1": subject})


def missing_passes(case: Case) -> GateReport:
    """Data that is missing says nothing against a release."""
    report = judge(case)
    verdict = Verdict.PASS if report.verdict is Verdict.INCONCLUSIVE else report.verdict
    return msgspec.structs.replace(report, verdict=verdict)


def passes_unseen(judged: Callable[[Case], GateReport]) -> list[str]:
    """S19: what passes without evidence, under whatever limits a plan may have."""
    lenient = {"windows_min": 1, "inferences_min": 1, "soak_min_s": 0.0, "coverage_min": 0.0}
    cases = {
        "usual limits": nothing_seen(),
        "the least limits": nothing_seen(**lenient),
        "nobody in it": replace(nothing_seen(), subjects={}),
        "nothing to be seen beside": replace(nothing_seen(), shadow_needed=False),
    }
    return [name for name, case in cases.items() if judged(case).verdict is Verdict.PASS]


def test_missing_data_never_passes() -> None:
    """S19: the gate passes nothing unseen, and one that does is found out."""
    assert passes_unseen(judge) == []
    assert passes_unseen(missing_passes)
