"""A policy that contradicts itself stops the daemon with its key's name."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import ApproverRole, ChangeWindow, PlanRule
from edge_site_proxy.rollout.policies import check_plans, check_policy
from tests.unit.site_proxy.mirror.upstream import Upstream
from tests.unit.site_proxy.plant.plant import POLICY

FREE = [ApproverRole(name="a", group="a"), ApproverRole(name="b", group="b")]
BOUND = [msgspec.structs.replace(role, required=True) for role in FREE]
WRONG = {
    "a zone": (
        {"windows": [ChangeWindow(days=[1], start="06:00", end="07:00", zone="Mars/Olympus")]},
        "Mars/Olympus",
    ),
    "a pattern that is none": ({"ticket_pattern": "(CHG"}, r"ticket_pattern '\(CHG': expected a"),
    "a role twice": ({"approver_roles": [FREE[0], FREE[0]]}, "each name once, found a twice"),
    "more voices than roles": (
        {"approver_roles": FREE, "approvals": 3},
        "approvals: expected 1 to 2, .* found 3",
    ),
    "a soak that ends before it may": (
        {"gate": msgspec.structs.replace(POLICY.gate, soak_min_s=601.0, soak_max_s=600.0)},
        "gate.soak_min_s, gate.soak_max_s",
    ),
    "fewer voices than required": (
        {"approver_roles": BOUND, "approvals": 1},
        "approvals: expected 2 to 2, .* found 1",
    ),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_wrong(row: tuple[dict[str, object], str]) -> None:
    """Found when the configuration is read, not when somebody signs."""
    changes, words = row
    with pytest.raises(ConfigurationError, match=words):
        check_policy(msgspec.structs.replace(POLICY, **changes))


RIGHT = {
    "no roles": {"approvals": 5},
    "one of two": {"approver_roles": FREE, "approvals": 1},
    "two of two": {"approver_roles": FREE, "approvals": 2},
    "both required": {"approver_roles": BOUND, "approvals": 2},
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT.keys())
def test_right(changes: dict[str, object]) -> None:
    """What can be kept is taken."""
    check_policy(msgspec.structs.replace(POLICY, **changes))


def test_a_required_plan_that_nobody_could_sign(tmp_path: Path) -> None:
    """Where a plan is required, the trust policy says whose signatures make one."""
    upstream = Upstream(tmp_path)
    somebody = upstream.trust()
    nobody = replace(somebody, policy=msgspec.structs.replace(somebody.policy, plan=None))
    required = msgspec.structs.replace(POLICY, signed_plan=PlanRule.REQUIRED)
    for policy, trust in ((required, somebody), (POLICY, somebody), (POLICY, nobody)):
        check_plans(policy, trust)
    with pytest.raises(
        ConfigurationError, match=r"^rollout.policy.signed_plan: expected \[plan\]"
    ):
        check_plans(required, nobody)
