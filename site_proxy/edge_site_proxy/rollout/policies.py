"""What in a policy contradicts itself or this machine; found before the daemon starts."""

import re

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import PlanRule, Policy
from edge_core.trust import Trust
from edge_site_proxy.rollout.gates.shifts import zone_of
from edge_site_proxy.rollout.restrict import contradiction
from edge_site_proxy.rollout.strategies import check as check_strategy
from edge_site_proxy.rollout.windows import check_zones


def check_policy(policy: Policy) -> None:
    """See that *policy* can be kept.

    Raises:
        ConfigurationError: a zone, the strategy, the ticket pattern, roles that are never
            enough, or bounds that nothing lies between.
    """
    check_zones([*policy.windows, *policy.download_windows])
    check_strategy(policy)
    zone_of(policy.gate.shift_zone)
    try:
        re.compile(policy.ticket_pattern)
    except re.error as error:
        raise ConfigurationError(
            f"rollout.policy.ticket_pattern {policy.ticket_pattern!r}: expected a regular "
            f"expression, found {error}"
        ) from error
    _check_roles(policy)
    if (nowhere := contradiction(policy)) is not None:
        raise ConfigurationError(f"rollout.policy: {nowhere}")


def check_plans(policy: Policy, trust: Trust) -> None:
    """See that a plan that *policy* requires could ever pass.

    Raises:
        ConfigurationError: nobody's signature would make one.
    """
    if policy.signed_plan is PlanRule.REQUIRED and trust.policy.plan is None:
        raise ConfigurationError(
            "rollout.policy.signed_plan: expected [plan] in the trust policy where a signed plan "
            "is required, found none"
        )


def _check_roles(policy: Policy) -> None:
    names = [role.name for role in policy.approver_roles]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"rollout.policy.approver_roles: expected each name once, found {twice[0]} twice"
        )
    required = sum(role.required for role in policy.approver_roles)
    if names and not max(required, 1) <= policy.approvals <= len(names):
        raise ConfigurationError(
            f"rollout.policy.approvals: expected {max(required, 1)} to {len(names)}, as many as "
            f"roles are required and as there are, found {policy.approvals}"
        )
