"""The promises of a site, S8 to S12 and S17 to S20, as they can be seen on the real one.

Each takes what truly is at the gateways, or what the site decided on at that instant, and gives
what is broken in words that begin with its number. S1 to S7 and S18 are a gateway's own
(`tests/unit/runtime/update/promises.py`).

Not seen here, and where they are: S13 in `test_cohorts` (a plan is a pure function of its
inputs), S15 in the tests of the mirror (bytes belong to no rollout), S16 in `check_state`,
which the machine calls, and S14 besides in `test_merge`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from edge_core.contracts.gates import Verdict
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.rollout import outlook
from edge_site_proxy.rollout.gates.gate import judge
from edge_site_proxy.rollout.records import MOVING, Rollout
from edge_site_proxy.rollout.windows import open_span
from edge_site_proxy.rollout.world import World

OPENING = frozenset({UpdateState.ACTIVATING, UpdateState.TRIAL})


def apart(places: Mapping[str, GatewayPlace], changing: Iterable[str]) -> Iterator[str]:
    """S8: of a redundancy group at most one is changing, back or forth."""
    groups = Counter(places[serial].redundancy_group for serial in changing)
    del groups[None]
    for group, count in groups.items():
        if count > 1:
            yield f"S8: {count} members of {group} are changing together"


def one_cell(places: Mapping[str, GatewayPlace], opening: Iterable[str]) -> Iterator[str]:
    """S9: of a line at most one cell is open, whichever rollouts open it."""
    cells: dict[str, set[str]] = defaultdict(set)
    for serial in opening:
        cells[places[serial].position.line].add(places[serial].position.cell)
    for line, open_ in cells.items():
        if len(open_) > 1:
            yield f"S9: line {line} has {len(open_)} cells open"


def permitted(world: World, serial: str) -> Iterator[str]:
    """What the permit that *serial* was given this instant breaks."""
    grant = world.grants[serial]
    rollout, place = world.rollouts[grant.rollout], world.plant.places[serial]
    for other in world.plant.groups.get(place.redundancy_group or "", []):
        sighting = world.sightings.get(other)
        if other == serial or sighting is None or sighting.report.effective is None:
            continue
        report = sighting.report
        well = report.effective == report.references.committed and not report.safe_mode
        same = report.running in {None, report.effective}
        if not (well and same and world.reachable(other)):
            yield f"S8: {serial} was permitted while its partner {other} is not healthy"
    if rollout.state not in {*MOVING, RolloutState.COMPLETED}:
        yield f"S12: {serial} was permitted while {rollout.id} is {rollout.state.value}"
    if rollout.header.holds:
        yield f"S12: {serial} was permitted while {rollout.header.holds} stand"
    yes = {
        each.who for each in rollout.header.approvals if each.plan_digest == rollout.plan_digest
    }
    if len(yes) < rollout.plan.policy.approvals or rollout.plan.author in yes:
        yield f"S11: {serial} was permitted without an approval of this plan"
    if place.zone in world.plant.safety:
        yield from _safely(world, rollout, serial)


def _safely(world: World, rollout: Rollout, serial: str) -> Iterator[str]:
    windows = rollout.plan.policy.windows
    if not world.clocks.quality().synchronised or open_span(windows, world.clocks.now()) is None:
        yield f"S11: {serial} was permitted outside a change window"
    if rollout.plan.rollback_to is not None:
        yield from stable_first(rollout)


def stable_first(rollout: Rollout) -> Iterator[str]:
    """S10: nobody in a safety zone moves before every other cohort has passed its gate."""
    plain = {part.name for part in rollout.plan.cohorts if not part.safety}
    passed = {each.cohort for each in rollout.header.gates if each.verdict is Verdict.PASS}
    waived = {rollout.plan.cohorts[number].name for number in rollout.header.waived}
    missing = plain - passed - waived - _empty(rollout)
    if missing:
        yield f"S10: a safety zone moves before {', '.join(sorted(missing))}"


def _empty(rollout: Rollout) -> set[str]:
    """Cohorts of which nobody was there: their members are late."""
    late = set(rollout.header.late)
    return {part.name for part in rollout.plan.cohorts if late.issuperset(part.members)}


def disjoint(rollout: Rollout) -> Iterator[str]:
    """S13: no gateway is in two cohorts of a plan."""
    members = Counter(serial for part in rollout.plan.cohorts for serial in part.members)
    for serial, count in members.items():
        if count > 1:
            yield f"S13: {serial} is in {count} cohorts of {rollout.id}"


def judged_alike(world: World, again: World) -> Iterator[str]:
    """S19: a verdict is a function of what is stored; without evidence it is never a pass."""
    for rollout in world.rollouts.values():
        for number, report in outlook.gates(world, rollout).items():
            case = outlook.case(again, again.rollouts[rollout.id], number)
            windows = sum(each.running.windows for each in case.subjects.values())
            if report.verdict is Verdict.PASS and not windows:
                yield f"S19: cohort {report.cohort} passes without evidence"
            if judge(case).verdict is not report.verdict:
                yield f"S19: cohort {report.cohort} is judged otherwise from what is stored"


def advanced_by_whom(events: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """S20: a cohort goes on by its gate's pass, or by a named person with a reason.

    Args:
        events: of one rollout, oldest first: kind, who and facts.
    """
    spoken_for: set[object] = set()
    for event in events:
        kind, facts = event["kind"], event["facts"]
        assert isinstance(facts, dict)
        if kind == "rollout.resumed" and event["who"] and facts.get("reason"):
            spoken_for |= set(str(facts.get("waived")).split(", "))
        passed = facts.get("verdict") == Verdict.PASS.value
        named = facts.get("waived") and facts.get("cohort") in spoken_for
        if kind == "rollout.gated" and not passed and not named:
            yield f"S20: cohort {facts.get('cohort')} went on by nobody's word"
