"""What the signatures under a plan amount to at a moment: what counts, what lacks, what is due.

An approval counts while it is of this very plan, was not taken back, has not expired, and, of a
temporary change, while that has not ended. Time never runs backwards here: a clock that was set
back does not bring an approval back that had expired when the rollout last changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from edge_core.contracts.rollout import (
    Approval,
    ApproverRole,
    ChangeType,
    Due,
    Meaning,
    PinRule,
    Policy,
    RolloutState,
)
from edge_site_proxy.rollout.records import MOVING, Rollout

EMERGENCY_SIGNATURES = 2
RENEWABLE = MOVING | {RolloutState.APPROVED, RolloutState.COMPLETED}


class Lapse(StrEnum):
    """Why a mandate does not stand."""

    UNSIGNED = "unsigned"
    REVOKED = "revoked"
    EXPIRED = "expired"
    TEMPORARY_OVER = "temporary_over"
    SECOND_MISSING = "second_missing"


@dataclass(frozen=True, slots=True)
class Mandate:
    """What stands under a plan.

    Attributes:
        valid: every signature in force, in order.
        needed: how many voices have to say yes in the end.
        lapse: why no permit may be given, None while it may.
        words: the same for people.
        open: who must still sign, one line each; empty once all have.
        dues: what falls due when, the next first.
    """

    valid: tuple[Approval, ...]
    needed: int
    lapse: Lapse | None
    words: str
    open: tuple[str, ...]
    dues: tuple[Due, ...]

    @property
    def complete(self) -> bool:
        """Whether nobody has to sign any more."""
        return self.lapse is None and not self.open

    @property
    def change(self) -> ChangeType | None:
        """What kind of change it is, None before the first signature."""
        return self.valid[0].change if self.valid else None


def mandate(rollout: Rollout, now: datetime) -> Mandate:
    """What the signatures under *rollout*'s plan amount to at *now*."""
    policy, moment = rollout.plan.policy, max(now, rollout.header.changed)
    mine = [each for each in rollout.header.approvals if each.plan_digest == rollout.plan_digest]
    valid = tuple(each for each in mine if _ends(each, policy) > moment)
    yes = counted(policy, valid)
    emergency = bool(valid) and valid[0].change is ChangeType.EMERGENCY
    needed = max(EMERGENCY_SIGNATURES, policy.approvals) if emergency else policy.approvals
    still = _still(policy, yes, needed)
    second = yes[0].at + _second(policy) if emergency and yes and still else None
    lapse = _lapse(rollout, mine, still, second, moment)
    return Mandate(
        valid=valid,
        needed=needed,
        lapse=lapse,
        words=_words(rollout, lapse, mine, (needed, len(yes)), second),
        open=still,
        dues=_dues(valid, policy, second),
    )


def counted(policy: Policy, valid: Sequence[Approval]) -> list[Approval]:
    """The signatures that count as a yes: one a person, and one a role where there are roles."""
    roles = {role.name: role for role in policy.approver_roles}
    found: list[Approval] = []
    for each in valid:
        role = roles.get(each.role)
        meaning = Meaning.APPROVED if role is None else role.meaning
        known = role is not None or not roles
        said = any(each.who == one.who or (role and each.role == one.role) for one in found)
        if known and not said and each.meaning is meaning:
            found.append(each)
    return found


def needs_pin(policy: Policy, *, safety: bool) -> bool:
    """Whether a signature under a plan of *policy* needs the signer's PIN."""
    return policy.pin is PinRule.ALWAYS or (policy.pin is PinRule.SAFETY and safety)


def open_roles(policy: Policy, valid: Sequence[Approval]) -> list[ApproverRole]:
    """The voices that nobody has lent yet."""
    heard = {each.role for each in counted(policy, valid)}
    return [role for role in policy.approver_roles if role.name not in heard]


def acknowledged(rollout: Rollout, now: datetime) -> bool:
    """Whether the shift has acknowledged this very plan, or need not."""
    within_s = rollout.plan.policy.acknowledged_within_s
    if within_s == 0:
        return True
    mine = [
        each.at for each in rollout.header.acknowledgements if each.about == rollout.plan_digest
    ]
    newest = max(mine, default=None)
    moment = max(now, rollout.header.changed)
    return newest is not None and moment - newest < timedelta(seconds=within_s)


def _ends(approval: Approval, policy: Policy) -> datetime:
    """When it no longer counts."""
    expires = approval.at + timedelta(seconds=policy.approval_valid_s)
    return expires if approval.until is None else min(expires, approval.until)


def _second(policy: Policy) -> timedelta:
    return timedelta(seconds=policy.second_signature_s)


def _still(policy: Policy, yes: Sequence[Approval], needed: int) -> tuple[str, ...]:
    left = needed - len(yes)
    roles = open_roles(policy, yes)
    required = [_role_words(role) for role in roles if role.required]
    others = [role.name for role in roles if not role.required]
    more = left - len(required)
    if more > 0 and policy.approver_roles:
        required.append(f"{more} more of {', '.join(others) or 'no role that is left'}")
    elif more > 0:
        required.append(f"{more} more approver{'s' if more > 1 else ''}")
    return tuple(required)


def _role_words(role: ApproverRole) -> str:
    said = "" if role.meaning is Meaning.APPROVED else f", {role.meaning.value}"
    return f"{role.name} (group {role.group}{said})"


def _lapse(
    rollout: Rollout,
    mine: Sequence[Approval],
    still: Sequence[str],
    second: datetime | None,
    moment: datetime,
) -> Lapse | None:
    if not still:
        return None
    if second is not None:
        return Lapse.SECOND_MISSING if moment >= second else None
    if any(each.until is not None and each.until <= moment for each in mine):
        return Lapse.TEMPORARY_OVER
    valid_s = timedelta(seconds=rollout.plan.policy.approval_valid_s)
    if any(each.at + valid_s <= moment for each in mine):
        return Lapse.EXPIRED
    return Lapse.REVOKED if rollout.header.revocations else Lapse.UNSIGNED


def _words(
    rollout: Rollout,
    lapse: Lapse | None,
    mine: Sequence[Approval],
    count: tuple[int, int],
    second: datetime | None,
) -> str:
    match lapse:
        case None:
            return ""
        case Lapse.REVOKED:
            last = rollout.header.revocations[-1]
            return f"{last.who} took the approval back: {last.reason}; it has to be approved anew"
        case Lapse.EXPIRED:
            return "its approval has expired; it has to be approved anew"
        case Lapse.TEMPORARY_OVER:
            ended = max(each.until for each in mine if each.until is not None)
            return (
                f"the temporary change ended at {_instant(ended)}: "
                "return to the release before it, or renew the approval"
            )
        case Lapse.SECOND_MISSING:
            due = "" if second is None else f" was due at {_instant(second)}"
            return f"the second signature under an emergency{due}"
        case Lapse.UNSIGNED:
            needed, has = count
            return f"needs {needed} approvals of this plan, has {has}"


def _dues(valid: Sequence[Approval], policy: Policy, second: datetime | None) -> tuple[Due, ...]:
    dues = [] if second is None else [Due(what="the second signature is due", at=second)]
    untils = [each.until for each in valid if each.until is not None]
    if untils:
        dues.append(Due(what="the temporary change ends: return or renew", at=min(untils)))
    if valid:
        expires = min(each.at for each in valid) + timedelta(seconds=policy.approval_valid_s)
        dues.append(Due(what="the approval expires", at=expires))
    return tuple(sorted(dues, key=lambda due: due.at))


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
