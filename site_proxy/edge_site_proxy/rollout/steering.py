"""What a signed plan means for a rollout at this site: its policy, or why it is refused; pure."""

from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.rollout import PlanRule, Policy, SignedPlanRef
from edge_site_proxy.rollout.errors import UnplannableError
from edge_site_proxy.rollout.records import InForce, Rollout
from edge_site_proxy.rollout.restrict import contradiction, restrict


@dataclass(frozen=True, slots=True)
class Steered:
    """By which policy a release is planned, and which signed plan has restricted it."""

    policy: Policy
    signed: SignedPlanRef | None = None


def steer(
    in_force: InForce | None,
    policy: Policy,
    release: ReleaseRef,
    back: ReleaseRef | None,
    now: datetime,
) -> Steered:
    """The policy that *release* is planned by.

    Args:
        in_force: the newest signed plan of the model, None where there never was one.
        policy: the site's, its cohorts worked out.
        release: what is to be planned.
        back: what this site would go back to.
        now: decides about expiry, which stops new rollouts alone.

    Raises:
        UnplannableError: a plan is required and there is none, or the plan does not let it begin.
    """
    if in_force is None:
        if policy.signed_plan is PlanRule.REQUIRED:
            raise UnplannableError(
                f"release {release.model} {release.version}: expected a signed plan, as "
                "rollout.policy.signed_plan requires, found none for this site; publish one"
            )
        return Steered(policy)
    _check_lets_begin(in_force, release, back, now)
    strict = restrict(in_force.plan.terms, policy)
    wrong = contradiction(strict)
    if wrong is not None:
        raise UnplannableError(
            f"{_name(in_force)} and rollout.policy of this site leave no way: {wrong}"
        )
    return Steered(strict, reference(in_force))


def reference(in_force: InForce) -> SignedPlanRef:
    """What a rollout's plan keeps of it."""
    return SignedPlanRef(
        digest=in_force.digest,
        sequence=in_force.plan.sequence,
        expires=in_force.expires,
        signers=in_force.signers,
    )


def steered_away(in_force: InForce | None, rollout: Rollout) -> str | None:
    """The newer signed plan that names another release than *rollout*, if one does."""
    if in_force is None or in_force.plan.release.digest == rollout.digest:
        return None
    return _name(in_force)


def _check_lets_begin(
    in_force: InForce, release: ReleaseRef, back: ReleaseRef | None, now: datetime
) -> None:
    plan, name = in_force.plan, _name(in_force)
    if in_force.withheld:
        raise UnplannableError(f"{name}: expected one that verifies, found {in_force.withheld}")
    if plan.release.digest != release.digest:
        raise UnplannableError(
            f"{name}: expected {plan.release.version} ({plan.release.digest}), the release that "
            f"it names, found {release.version} ({release.digest})"
        )
    if now >= in_force.expires:
        raise UnplannableError(
            f"{name}: expected one in time, found that it expired {plan.expires}"
        )
    if plan.rollback is not None and (back is None or back.digest != plan.rollback):
        found = "nothing" if back is None else f"{back.version} ({back.digest})"
        raise UnplannableError(
            f"{name}: expected a way back to {plan.rollback}, as it says; this site would go "
            f"back to {found}"
        )


def _name(in_force: InForce) -> str:
    return f"signed plan {in_force.plan.sequence} of {in_force.plan.release.model}"
