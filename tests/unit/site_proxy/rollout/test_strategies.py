"""What a strategy means for a plant, and how green takes over from blue."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_core.contracts.errors import ConfigurationError, ConflictError, RefusedError
from edge_core.contracts.gates import GateReport, Verdict
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import Cohort, CohortRule, Hold, Plan, Policy, RolloutState
from edge_site_proxy.rollout import orders
from edge_site_proxy.rollout.cohorts import cohorts
from edge_site_proxy.rollout.errors import UnplannableError
from edge_site_proxy.rollout.facts import Facts, Standing
from edge_site_proxy.rollout.machine import step
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import Header, Rollout, etag_of
from edge_site_proxy.rollout.strategies import blue_green, check, expand
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, plant
from tests.unit.site_proxy.rollout.test_cohort_plan import place
from tests.unit.site_proxy.rollout.test_cohorts import fleets

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
Rules = list[tuple[str, float, int]]


@dataclass(frozen=True)
class Meaning:
    """A strategy, the size of a plant, and the rules that follow."""

    strategy: str | list[float]
    count: int
    rules: Rules


ONES: Rules = [("canary-1", 0, 1), ("canary-2", 0, 1), ("canary-3", 0, 1), ("rest", 1, 1)]
MEANINGS = {
    "shares that sum to the whole": Meaning(
        "1/9/90", 100, [("canary", 0.01, 3), ("early", 0.09, 3), ("rest", 1, 3)]
    ),
    "steps that end with the whole": Meaning(
        "10/30/100", 100, [("canary", 0.1, 3), ("early", 0.2, 3), ("rest", 1, 3)]
    ),
    "the same as fractions": Meaning(
        [0.1, 0.3, 1.0], 100, [("canary", 0.1, 3), ("early", 0.2, 3), ("rest", 1, 3)]
    ),
    "fractions that sum to one, whatever binary makes of them": Meaning(
        [0.1, 0.2, 0.7], 30, [("canary", 0.1, 3), ("early", 0.2, 3), ("rest", 1, 3)]
    ),
    "four steps": Meaning(
        "1/5/25/100",
        30,
        [("canary", 0.01, 3), ("early", 0.04, 3), ("early-2", 0.2, 3), ("rest", 1, 3)],
    ),
    "all at once": Meaning("100", 30, [("rest", 1, 3)]),
    "a small plant: one at a time": Meaning("1/9/90", 29, ONES),
    "a small plant by fractions too": Meaning([0.5, 1.0], 3, ONES),
    "blue-green": Meaning("blue-green", 100, [("green", 1, 3)]),
    "blue-green in a small plant": Meaning("blue-green", 5, [("green", 1, 3)]),
}


def policy(strategy: str | list[float], **more: object) -> Policy:
    """A policy with a strategy and no rules."""
    return replace(POLICY, cohorts=[], strategy=strategy, **more)


@pytest.mark.parametrize("row", MEANINGS.values(), ids=MEANINGS.keys())
def test_meaning(row: Meaning) -> None:
    """Each row is a strategy and its rules."""
    check(policy(row.strategy))
    made = expand(policy(row.strategy), row.count)
    assert [(rule.name, rule.share, rule.least) for rule in made.cohorts] == row.rules
    assert made.strategy == row.strategy


def test_rules_are_left_alone() -> None:
    """A list of rules means what it says."""
    check(POLICY)
    assert expand(POLICY, 5) == POLICY


PAIRS = {
    "a small plant has a shadow even if none was asked for": ("1/9/90", 29, 0, 100),
    "and keeps one that is longer": ("1/9/90", 29, 400, 400),
    "a large plant has what was asked for": ("1/9/90", 30, 0, 0),
    "blue-green has what was asked for": ("blue-green", 5, 7, 7),
}


@pytest.mark.parametrize("row", PAIRS.values(), ids=PAIRS.keys())
def test_shadow(row: tuple[str, int, int, int]) -> None:
    """How many pairs a plant asks for, by its size."""
    strategy, count, asked, pairs = row
    assert expand(policy(strategy, shadow_pairs_min=asked), count).shadow_pairs_min == pairs


@pytest.mark.parametrize(
    "strategy",
    [
        "1/9/80",
        "0/100",
        "30/10/100",
        "50/50/100",
        "10/20",
        "quickly",
        "",
        "100/",
        "1/2/3/4/5/6/7/8/64",
        [0.5],
        [0.0, 1.0],
        [1.0, 1.0],
        [],
    ],
)
def test_steps_that_make_no_sense(strategy: str | list[float]) -> None:
    """Neither growing steps to the whole nor shares that sum to it."""
    with pytest.raises(ConfigurationError, match="strategy: expected blue-green") as caught:
        check(policy(strategy))
    assert str(caught.value).endswith(f"at most 8; found {strategy!r}")


def test_a_strategy_may_have_eight_steps() -> None:
    """And no text of whatever length gets into a message whole."""
    check(policy("1/2/3/4/5/6/7/72"))
    with pytest.raises(ConfigurationError) as caught:
        check(policy("x" * 100))
    assert str(caught.value).endswith(f"found {'x' * 40!r}")


def test_one_way_to_say_it() -> None:
    """Rules and a strategy at once are refused, and so is neither."""
    with pytest.raises(ConfigurationError, match="expected `strategy` or `cohorts`, found both"):
        check(replace(POLICY, strategy="1/9/90"))
    with pytest.raises(msgspec.ValidationError, match="found neither"):
        msgspec.convert({}, Policy)


@given(fleets(), st.sampled_from(["1/9/90", "10/30/100", "blue-green"]), st.randoms())
def test_nobody_can_pick(places: list[GatewayPlace], strategy: str, random: object) -> None:
    """Whoever recomputes a plan gets it, in any order of the inventory, each once (S13)."""
    rules = expand(policy(strategy), len(places)).cohorts
    shuffled = list(places)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    made = []
    for order in (places, shuffled):
        try:
            made.append(cohorts("r", order, rules, safety=frozenset({"boiler"}), serving=True))
        except UnplannableError:
            made.append([])
    assert made[0] == made[1]
    found = [serial for part in made[0] for serial in part.members]
    assert not found or sorted(found) == sorted(each.serial for each in places)


def test_a_plant_of_one_pair() -> None:
    """One at a time where only the partner is left: it is the rest."""
    rules = expand(policy("1/9/90"), 2).cohorts
    pair = [place("a", group="p"), place("b", group="p")]
    made = cohorts("r", pair, rules, safety=frozenset(), serving=True)
    assert [part.name for part in made] == ["canary-1", "rest"]


def test_a_share_is_counted_in_decimals() -> None:
    """0.07 of 100 is 7, though 0.07 * 100 is a little more."""
    rules = [CohortRule(name="canary", share=0.07, least=1), CohortRule(name="rest", share=1.0)]
    places = [place(f"g{number}") for number in range(100)]
    made = cohorts("r", places, rules, safety=frozenset(), serving=True)
    assert len(made[0].members) == 7


PLAN = Plan(
    rollout="r",
    release=V2,
    rollback_to=V1,
    author="ci",
    created=NOW,
    policy=expand(policy("blue-green", stage_deadline_s=300.0), 4),
    cohorts=[
        Cohort(name="green", members=["g1", "g2", "g3"]),
        Cohort(name="green-2", members=["g4"]),
    ],
)
STAGED = Standing(UpdateState.STAGED, reachable=True, pairs=100)
ALONE = Standing(UpdateState.STAGED, reachable=True, pairs=99)
FAILED = Standing(UpdateState.FAILED_NO_CHANGE, reachable=True)
READY = dict.fromkeys(("g1", "g2", "g3", "g4"), STAGED)


def rollout(plan: Plan = PLAN, **changes: object) -> Rollout:
    """The plan while it is staged."""
    header = Header(id="r", state=RolloutState.STAGING, created=NOW, changed=NOW)
    return Rollout(header=replace(header, **changes), plan=plan)


def test_green_waits_for_the_switch() -> None:
    """Staged everywhere, and for however long: nothing moves before somebody says so."""
    facts = Facts(members=READY)
    late = Facts(members=READY, phase_s=9999.0)
    assert step(rollout(), facts, NOW) is None
    assert step(rollout(), late, NOW) is None
    made = step(rollout(switched=True), facts, NOW)
    assert made is not None
    assert made.rollout.state is RolloutState.ACTIVATING


@dataclass(frozen=True)
class Order:
    """A switch ordered: what stands, what is seen, and why not; "" is done."""

    rollout: Rollout
    members: dict[str, Standing]
    why: str = ""


ORDERS = {
    "all is ready": Order(rollout(), READY),
    "one was never heard of": Order(rollout(), {**READY, "g4": Standing()}),
    "one has failed, and its veto speaks for itself": Order(rollout(), {**READY, "g4": FAILED}),
    "one of a later wave was not seen beside the present release": Order(
        rollout(), {**READY, "g4": ALONE}, "found 1 that are not: g4"
    ),
    "one is downloading": Order(
        rollout(),
        {**READY, "g1": Standing(UpdateState.DOWNLOADING, reachable=True)},
        "expected every gateway that is heard staged",
    ),
    "it is held": Order(
        rollout(holds={Hold.GATE_FAIL: "bad"}), READY, "expected no hold, found gate_fail"
    ),
    "it was switched": Order(rollout(switched=True), READY, "found switched already"),
    "it is past that": Order(
        rollout(state=RolloutState.SOAKING), READY, "expected one that is staged, found soaking"
    ),
    "it is no blue-green plan": Order(
        rollout(replace(PLAN, policy=POLICY)), READY, "expected a blue-green plan"
    ),
    "there is no blue": Order(
        rollout(replace(PLAN, rollback_to=None)), READY, "expected a blue-green plan"
    ),
}


@pytest.mark.parametrize("row", ORDERS.values(), ids=ORDERS.keys())
def test_switch(row: Order) -> None:
    """Each row is an order to switch."""
    sender = Sender("ana", etag_of(row.rollout))
    facts = Facts(members=row.members)
    if row.why:
        with pytest.raises((RefusedError, ConflictError), match=row.why):
            orders.switch(row.rollout, facts, "shift agreed", sender, NOW)
        return
    made = orders.switch(row.rollout, facts, "shift agreed", sender, NOW)
    assert made.rollout.header.switched
    assert made.event.kind == "rollout.switched"
    assert made.event.facts["reason"] == "shift agreed"
    assert made.rollout.header.why == "ana: shift agreed"


def test_a_switch_of_what_was_not_seen() -> None:
    """The order carries the digest of what its sender saw."""
    with pytest.raises(ConflictError, match="changed meanwhile"):
        orders.switch(rollout(), Facts(members=READY), "yes", Sender("ana", "sha256:0"), NOW)


def test_a_bad_green_of_a_later_wave_is_held() -> None:
    """The evidence of every wave counts before the switch, not only that of the first."""
    bad = GateReport(cohort="green-2", verdict=Verdict.FAIL, by=[], measurements=[])
    made = step(rollout(), Facts(members=READY, gates={1: bad}), NOW)
    assert made is not None
    assert Hold.GATE_FAIL in made.rollout.header.holds


@pytest.mark.anyio
async def test_blue_green(tmp_path: Path) -> None:
    """Everybody is staged, nobody moves; after the switch one pair member and one cell at a time.

    Blue stays on each gateway as the way back.
    """
    async with plant(tmp_path, policy=policy("blue-green")) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.approve(V2)
        for _ in range(40):
            await here.beat()
        waiting = here.rollout(V2)
        assert blue_green(waiting.plan)
        assert waiting.state is RolloutState.STAGING
        assert {each.state for each in here.gateways.values()} == {UpdateState.STAGED}
        assert {each.committed for each in here.gateways.values()} == {V1.digest}
        sender = Sender("olga", etag_of(waiting))
        await here.site.desk.switch(waiting.id, "shift agreed", sender)
        await here.until(V2, RolloutState.COMPLETED)
        assert {each.committed for each in here.gateways.values()} == {V2.digest}
        assert {each.previous_good for each in here.gateways.values()} == {V1.digest}
