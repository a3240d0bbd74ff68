"""May this gateway activate now? All guards of the blast radius, over every rollout; pure.

A permit is a lease. The gateway counts it from its own request and we from our grant, so its
deadline is never later than ours and no two clocks need agree. A lock is free again when the
gateway has reported how it ended, or when the lease is over *and* a report made after that shows
that nothing was started. A gateway that fell silent in between keeps its lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_core.contracts.gateway import PermitRequest, UpdateReport, UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import Policy, RolloutState
from edge_site_proxy.fleet.sightings import IN_FLIGHT
from edge_site_proxy.rollout.approvals.mandate import acknowledged, mandate
from edge_site_proxy.rollout.facts import FAILED
from edge_site_proxy.rollout.records import Grant, Rollout
from edge_site_proxy.rollout.windows import describe, fits, planned

DRIFT = 0.01  # bound on how much a gateway's clock may run slower than ours
MARGIN_S = 5.0  # longest way of a report from gateway to here; older ones are dropped
HELD_RETRY_S = 30.0  # a gateway that is held alone waits for a person
USEFUL_S = 1.0  # what is left of a lease must be worth sending


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A gateway that the guards look at: itself, its partner, or one of its line.

    Attributes:
        place: where it stands.
        in_flight: whether it may be changing its model at this moment.
        healthy: whether it could stand in for its partner.
        serving: whether it has a model at all.
        why: why it is in flight, or not healthy.
        doing: what it is in the middle of, since when, and when that should be over.
    """

    place: GatewayPlace
    in_flight: bool
    healthy: bool
    serving: bool
    why: str = ""
    doing: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A gateway that comes after its rollout has ended: a cohort of one, under today's rules.

    Attributes:
        policy: of the site as it is today; the stricter of it and the plan's counts.
        others: who is changing to the same release at this moment.
        drained: whether its results of earlier attempts have been told.
        first: whether it has no model yet, as one that replaces another; it gets what stands.
    """

    policy: Policy
    others: Sequence[str] = ()
    drained: bool = True
    first: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a permit, and what the guards need to see.

    Attributes:
        place: who asks.
        request: what it asks.
        rollout: which assigns that release to it now, if any.
        activate: whether its cohort may activate.
        grant: a permit of its own that is out, with `left_s` of its lease.
        neighbours: every other gateway of its line, and its redundancy group.
        safety: whether it stands in a safety zone.
        clock_trusted: whether wall time may open a window.
        rollback_wanted: whether it is under an order to go back.
        vetoed: a deterministic refusal of this release somewhere in the plant.
        held: why this gateway alone may not change, whatever its rollout does.
        catch_up: set where the rollout has ended and this gateway comes late.
        now: wall time.
    """

    place: GatewayPlace
    request: PermitRequest
    rollout: Rollout | None
    activate: bool
    neighbours: Mapping[str, Neighbour]
    now: datetime
    grant: Grant | None = None
    left_s: float = 0.0
    safety: bool = False
    clock_trusted: bool = True
    rollback_wanted: bool = False
    vetoed: str = ""
    held: str = ""
    catch_up: CatchUp | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """Yes, for so long."""

    valid_s: float
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: why, in one line, and when to ask again."""

    reason: str
    retry_after_s: float


def decide(ask: Ask) -> Granted | Deferred:
    """Whether the gateway may activate."""
    rollout = ask.rollout
    if ask.held:
        return Deferred(f"DEFER: {ask.held}"[:500], HELD_RETRY_S)
    if rollout is None or ask.request.digest != rollout.digest:
        return Deferred("this release is not assigned to the gateway", 30.0)
    reason = _refusal(ask, rollout)
    if reason is not None:
        return Deferred(f"DEFER: {reason}"[:500], retry_s(rollout.plan.policy))
    if ask.grant is not None:
        if _same(ask.grant, ask.request) and ask.left_s >= USEFUL_S:
            return Granted(ask.left_s, renewed=True)
        return Deferred("DEFER: an earlier permit of this gateway is not settled", 5.0)
    return Granted(rollout.plan.policy.permit_valid_s)


def _same(grant: Grant, request: PermitRequest) -> bool:
    """Whether the very attempt that was granted asks again.

    Not after a restart: its first report would settle the grant, while a renewed permit was used.
    """
    return (grant.digest, grant.attempt, grant.boot_epoch) == (
        request.digest,
        request.attempt,
        request.boot_epoch,
    )


def _refusal(ask: Ask, rollout: Rollout) -> str | None:
    return (
        _not_ready(ask, rollout)
        or _unapproved(ask, rollout)
        or _unacknowledged(ask, rollout)
        or _too_late(ask, rollout)
        or _outside_window(ask, rollout)
        or _pair(ask)
        or _line(ask)
    )


def _not_ready(ask: Ask, rollout: Rollout) -> str | None:
    if ask.rollback_wanted or rollout.state is RolloutState.ROLLING_BACK:
        return "a rollback is ordered"
    if rollout.header.holds:
        held = "; ".join(f"{hold.value}: {why}" for hold, why in rollout.header.holds.items())
        return f"rollout {rollout.id} is held ({held})"
    if ask.vetoed:
        return f"the release was vetoed: {ask.vetoed}"
    if not ask.activate:
        return f"rollout {rollout.id} is {rollout.state.value}; its cohort may not activate yet"
    attempt = rollout.header.attempts.get(ask.place.serial, 1)
    if ask.request.attempt != attempt:
        return f"expected attempt {attempt}, found {ask.request.attempt}"
    return None


def _unapproved(ask: Ask, rollout: Rollout) -> str | None:
    words = mandate(rollout, ask.now).words
    return f"rollout {rollout.id}: {words}" if words else None


def _unacknowledged(ask: Ask, rollout: Rollout) -> str | None:
    if not ask.safety or acknowledged(rollout, ask.now):
        return None
    return (
        f"a change in a safety zone has to be acknowledged by the shift; "
        f"rollout {rollout.id} is not: edgetui acknowledge"
    )


def _too_late(ask: Ask, rollout: Rollout) -> str | None:
    """What keeps a gateway back that comes after its rollout has ended."""
    late = ask.catch_up
    if late is None:
        return None
    signed = {
        each.who for each in rollout.header.approvals if each.plan_digest == rollout.plan_digest
    }
    if len(signed) < late.policy.approvals:
        return (
            f"rollout {rollout.id} needs {late.policy.approvals} approvals of this plan today, "
            f"has {len(signed)}"
        )
    if not late.drained:
        return "results of its earlier attempts are still coming in"
    expired = expiry(rollout, late.policy)
    if expired is not None and ask.now >= expired and not late.first:
        return (
            f"CATCH_UP: the approval of rollout {rollout.id} covered late gateways until "
            f"{expired:%Y-%m-%d %H:%M} UTC; a newer rollout takes it along"
        )
    if len(late.others) >= late.policy.catch_up_at_once:
        return f"CATCH_UP: {', '.join(late.others)} are catching up already"
    return None


def expiry(rollout: Rollout, today: Policy) -> datetime | None:
    """Until when the approval of *rollout* covers gateways that come late; None if unsigned."""
    signed = max((each.at for each in rollout.header.approvals), default=None)
    if signed is None:
        return None
    covered_s = min(rollout.plan.policy.catch_up_s, today.catch_up_s)
    return signed + timedelta(seconds=covered_s)


def _outside_window(ask: Ask, rollout: Rollout) -> str | None:
    if not ask.safety:
        return None
    if not ask.clock_trusted:
        return (
            "the site's clock is not synchronised, so no change window can open; "
            f"{describe(rollout.plan.policy.windows, ask.now)}"
        )
    policy = rollout.plan.policy
    needed, late = planned(policy), ask.catch_up
    today = late is None or fits(late.policy.windows, ask.now, needed)
    if today and fits(policy.windows, ask.now, needed):
        return None
    return (
        f"a change in a safety zone needs {needed.total_seconds():.0f} s inside a change window; "
        f"{describe(policy.windows, ask.now)}"
    )


def _pair(ask: Ask) -> str | None:
    group = ask.place.redundancy_group
    if group is None:
        return None
    for serial, other in sorted(ask.neighbours.items()):
        if other.place.redundancy_group != group:
            continue
        if other.in_flight:
            return f"its partner {serial} is {_changing(other, ask.now)}"
        # A partner that serves nothing yet protects nothing: the first model of a plant.
        if other.serving and not other.healthy:
            return f"its partner {serial} is not healthy ({other.why})"
    return None


def _line(ask: Ask) -> str | None:
    mine = ask.place.position
    for serial, other in sorted(ask.neighbours.items()):
        theirs = other.place.position
        if other.in_flight and theirs.line == mine.line and theirs.cell != mine.cell:
            words = _changing(other, ask.now)
            return f"line {mine.line} has cell {theirs.cell} ({serial}) {words}"
    return None


def _changing(other: Neighbour, now: datetime) -> str:
    if other.since is None:
        return f"changing ({other.why})"
    until = other.until is not None and other.until > now
    retry = f"; retry {other.until:%H:%M} UTC" if until else ""
    return f"{other.doing} since {other.since:%H:%M} UTC{retry}"


def retry_s(policy: Policy) -> float:
    """How soon a gateway that was deferred asks again."""
    return min(30.0, max(1.0, policy.permit_valid_s / 4))


def lease_s(grant: Grant) -> float:
    """How long a grant counts as live here, on our own clock; longer than at the gateway."""
    return grant.valid_s * (1 + DRIFT) + MARGIN_S


def settled(
    grant: Grant,
    report: UpdateReport | None,
    key: tuple[int, int],
    *,
    held_s: float,
    heard_s: float,
) -> str | None:
    """Why the lock of *grant* is free, or None while it is not.

    Args:
        grant: that is out.
        report: newest of the gateway about the granted release.
        key: (boot epoch, sequence) of the gateway's newest report.
        held_s: since the grant was given.
        heard_s: since the newest report came in.
    """
    if report is not None and report.attempt >= grant.attempt:
        if report.state in IN_FLIGHT:
            return None
        if report.state is UpdateState.COMMITTED or report.state in FAILED:
            return f"ended {report.state.value}"
    if key <= grant.seen:
        return None
    if key[0] > grant.boot_epoch:
        return "the gateway started anew, and a permit does not survive that"
    if held_s - heard_s >= lease_s(grant):
        return "the lease ended unused"
    return None
