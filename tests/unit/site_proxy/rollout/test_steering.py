"""What a signed plan means for a rollout: which policy, or which one line of refusal."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.rollout import PlanRule, Policy, SignedPlanRef
from edge_core.contracts.signed_plan import SignedPlan, Terms
from edge_site_proxy.rollout.errors import UnplannableError
from edge_site_proxy.rollout.records import InForce
from edge_site_proxy.rollout.restrict import restrict
from edge_site_proxy.rollout.steering import reference, steer, steered_away
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, V3
from tests.unit.site_proxy.rollout.test_machine import S, rollout

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EXPIRES = datetime(2026, 12, 20, tzinfo=UTC)
DIGEST = "sha256:" + "9a" * 32
TERMS = Terms(
    cohorts=POLICY.cohorts, gate=replace(POLICY.gate, soak_min_s=60.0), trial=POLICY.trial
)
PLAN = SignedPlan(
    sequence=8,
    issued="2026-11-20T00:00:00Z",
    expires="2026-12-20T00:00:00Z",
    release=V2,
    terms=TERMS,
)
STRICT = replace(POLICY, signed_plan=PlanRule.REQUIRED)


def in_force(plan: SignedPlan = PLAN, withheld: str = "") -> InForce:
    """*plan* as it is kept."""
    return InForce(
        plan=plan, digest=DIGEST, signers=["key-a"], expires=EXPIRES, at=NOW, withheld=withheld
    )


BACK_TO_1 = in_force(replace(PLAN, rollback=V1.digest))
NO_WAY = in_force(replace(PLAN, terms=replace(TERMS, gate=replace(POLICY.gate, soak_min_s=601.0))))


@dataclass(frozen=True)
class Row:
    """A plan, a policy and a release; what the refusal says, nothing where there is none."""

    in_force: InForce | None = None
    policy: Policy = POLICY
    release: ReleaseRef = V2
    back: ReleaseRef | None = V1
    now: datetime = NOW
    says: str = ""


ROWS = {
    "no plan where none is required": Row(),
    "no plan where one is required": Row(
        policy=STRICT,
        says="release pump-condition 2.0.0: expected a signed plan, as rollout.policy.signed_plan "
        "requires, found none for this site; publish one",
    ),
    "a plan": Row(in_force()),
    "a plan where one is required": Row(in_force(), policy=STRICT),
    "a release that the plan does not name": Row(
        in_force(),
        release=V3,
        says=f"signed plan 8 of pump-condition: expected 2.0.0 ({V2.digest}), the release that it "
        f"names, found 3.0.0 ({V3.digest})",
    ),
    "a plan at its last moment": Row(in_force(), now=EXPIRES.replace(year=2025)),
    "a plan that has expired": Row(
        in_force(),
        now=EXPIRES,
        says="signed plan 8 of pump-condition: expected one in time, found "
        "that it expired 2026-12-20T00:00:00Z",
    ),
    "a plan that does not verify any more": Row(
        in_force(withheld="step 8 (key id): gone"),
        says="signed plan 8 of pump-condition: expected one that verifies, found step 8 (key id): "
        "gone",
    ),
    "the way back that it says": Row(BACK_TO_1),
    "another way back": Row(
        BACK_TO_1,
        back=V3,
        says=f"signed plan 8 of pump-condition: expected a way back to {V1.digest}, as it says; "
        f"this site would go back to 3.0.0 ({V3.digest})",
    ),
    "no way back": Row(
        BACK_TO_1,
        back=None,
        says=f"signed plan 8 of pump-condition: expected a way back to {V1.digest}, as it says; "
        "this site would go back to nothing",
    ),
    "no way back, and none is asked for": Row(in_force(), back=None),
    "together with the site's policy it leaves no way": Row(
        NO_WAY,
        says="signed plan 8 of pump-condition and rollout.policy of this site leave no way: "
        "gate.soak_min_s, gate.soak_max_s: expected the first to be no more, found 601 and 600",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_steer(row: Row) -> None:
    """Either a policy, restricted where there is a plan, or one line that says what is wrong."""
    if row.says:
        with pytest.raises(UnplannableError) as refusal:
            steer(row.in_force, row.policy, row.release, row.back, row.now)
        assert str(refusal.value) == row.says
        return
    steered = steer(row.in_force, row.policy, row.release, row.back, row.now)
    if row.in_force is None:
        assert (steered.policy, steered.signed) == (row.policy, None)
        return
    assert steered.policy == restrict(row.in_force.plan.terms, row.policy)
    assert steered.policy.gate.soak_min_s == 60.0
    assert steered.signed == reference(row.in_force)


def test_what_a_plan_of_the_site_keeps() -> None:
    """Which plan, by digest and number, until when, and on whose word."""
    assert reference(in_force()) == SignedPlanRef(
        digest=DIGEST, sequence=8, expires=EXPIRES, signers=["key-a"]
    )


def test_who_is_steered_away() -> None:
    """Whoever waits with another release than the newest plan names."""
    waits = rollout(S.AWAITING_APPROVAL)
    assert steered_away(None, waits) is None
    assert steered_away(in_force(), waits) is None
    other = in_force(replace(PLAN, release=V3))
    assert steered_away(other, waits) == "signed plan 8 of pump-condition"
