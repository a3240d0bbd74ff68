"""Taking signatures back while a rollout is under way; pure."""

from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.rollout import Hold, Revocation, RolloutState
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.approvals.mandate import RENEWABLE
from edge_site_proxy.rollout.errors import TooLateError
from edge_site_proxy.rollout.orders import Sender, check_seen, said
from edge_site_proxy.rollout.records import Rollout, Step, moved


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking back means here.

    Attributes:
        reason: why.
        roll_back: whether committed gateways go back as well.
        permits: serials whose permit is out and not known to be used.
    """

    reason: str
    roll_back: bool
    permits: tuple[str, ...]


def revoke(rollout: Rollout, taken: Taken, sender: Sender, now: datetime) -> Step:
    """Every signature is taken back: no more permits, and those unused are void.

    Trials run on to their own verdict, and committed gateways stay unless the sender has them go
    back as well, which is an order of its own.

    Raises:
        TooLateError: it has ended, or nobody has signed it.
        RolloutChangedError: it is not what they saw.
    """
    waiting = rollout.state is RolloutState.AWAITING_APPROVAL
    if not waiting and rollout.state not in RENEWABLE:
        raise TooLateError(
            f"rollout {rollout.id}: expected one that is approved, found {rollout.state.value}"
        )
    check_seen(rollout, sender)
    voided = rollout.header.approvals
    if not voided:
        raise TooLateError(f"rollout {rollout.id}: expected a signature to take back, found none")
    why = f"{sender.who} took the approval back: {taken.reason}"
    facts = {
        "by": sender.who,
        "reason": taken.reason,
        "committed": "roll_back" if taken.roll_back else "stay",
        "voided": [each.who for each in voided],
        "permits_cancelled": sorted(taken.permits),
    }
    revocation = Revocation(
        who=sender.who,
        name=sender.name,
        at=now,
        reason=taken.reason,
        roll_back=taken.roll_back,
        voided=voided,
    )
    held = {} if waiting else {Hold.APPROVAL: why}
    return moved(
        rollout,
        now,
        Event("rollout.approval_revoked", rollout.id, facts),
        approvals=[],
        holds={**rollout.header.holds, **held},
        revocations=[*rollout.header.revocations, revocation],
        why=why,
        last_order=said(sender.who, "took the approval back", taken.reason, now),
    )
