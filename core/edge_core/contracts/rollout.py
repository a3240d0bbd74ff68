"""Rollouts: states, holds, plans, gates and verdicts, as the site proxy keeps and shows them.

Holds are a set, not a state: two can stand at once and each goes with its own cause. No permit is
granted while any hold stands. A verdict without evidence is never PASS.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.gateway import Count, Outcome, Reason, Share, TrialPolicy, UpdateState
from edge_core.contracts.plant import Instant, Serial

RolloutId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]
Ticket = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9]{1,9}-[0-9]{1,10}$")]


class RolloutState(StrEnum):
    """Where a rollout stands; `cohort` in the view says which cohort the middle states mean."""

    VERIFYING = "verifying"
    REJECTED = "rejected"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    STAGING = "staging"
    ACTIVATING = "activating"
    SOAKING = "soaking"
    GATED = "gated"
    SAFETY_LAG = "safety_lag"
    COMPLETED = "completed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_INCOMPLETE = "rollback_incomplete"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


TERMINAL = frozenset(
    {
        RolloutState.REJECTED,
        RolloutState.COMPLETED,
        RolloutState.ROLLED_BACK,
        RolloutState.ROLLBACK_INCOMPLETE,
        RolloutState.CANCELLED,
        RolloutState.SUPERSEDED,
    }
)


class Hold(StrEnum):
    """Why no permit is granted; each is cleared by its own cause."""

    GATE_FAIL = "gate_fail"
    GATE_INCONCLUSIVE = "gate_inconclusive"
    APPROVAL = "approval"
    WINDOW = "window"
    OPERATOR = "operator"
    CLOCK = "clock"
    AUDIT = "audit"
    ROLLBACK_TARGET = "rollback_target"
    INTEGRITY = "integrity"
    CONFLICT = "conflict"
    BLAST = "blast"
    BUDGET = "budget"


class Verdict(StrEnum):
    """A gate's answer. INCONCLUSIVE never advances by itself."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class CohortRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a rollout: at least `least` gateways, and at least `share` of all."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
    share: Share
    least: Annotated[int, Meta(ge=1)] = 3


class GateLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cohort must show; frozen when the plan is approved. Durations are exposure."""

    windows_min: Annotated[int, Meta(ge=1)] = 288
    inferences_min: Annotated[int, Meta(ge=1)] = 500
    soak_min_s: Annotated[float, Meta(ge=0)] = 28_800.0
    soak_max_s: Annotated[float, Meta(gt=0)] = 259_200.0
    coverage_min: Share = 0.95
    error_share_max: Share = 0.01
    latency_p99_us_max: Annotated[int, Meta(ge=1)] = 50_000
    disagreement_share_max: Share = 0.10
    out_of_domain_share_max: Share = 0.20
    alpha_fail: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    alpha_pass: Annotated[float, Meta(gt=0, lt=1)] = 0.05


class ChangeWindow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a safety-classified model may move: days 1 (Monday) to 7, local HH:MM, IANA zone."""

    days: list[Annotated[int, Meta(ge=1, le=7)]]
    start: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    end: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    zone: Annotated[str, Meta(max_length=64)] = "UTC"


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this site rolls out: part of the site's configuration, copied into each plan."""

    cohorts: Annotated[list[CohortRule], Meta(min_length=1, max_length=8)]
    gate: GateLimits = GateLimits()
    trial: TrialPolicy = TrialPolicy()
    permit_valid_s: Annotated[float, Meta(gt=0)] = 60.0
    stage_deadline_s: Annotated[float, Meta(gt=0)] = 3600.0
    safety_lag_s: Annotated[float, Meta(ge=0)] = 28_800.0
    shadow_pairs_min: Count = 100
    silent_after_s: Annotated[float, Meta(gt=0)] = 90.0
    approvals: Annotated[int, Meta(ge=1, le=5)] = 1
    windows: list[ChangeWindow] = []
    catch_up_s: Annotated[float, Meta(ge=0)] = 2_592_000.0  # an approval covers who comes late
    catch_up_at_once: Annotated[int, Meta(ge=1)] = 3


class Cohort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who moves together, in rank order."""

    name: str
    members: list[Serial]
    safety: bool = False


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What will be done to whom; its digest is what an approver signs off."""

    rollout: RolloutId
    release: ReleaseRef
    rollback_to: ReleaseRef | None
    author: Annotated[str, Meta(max_length=64)]
    created: Instant
    policy: Policy
    cohorts: list[Cohort]
    excluded: dict[str, str] = {}


class Measurement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate: what was measured, against what, from how much, and what follows."""

    gate: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    verdict: Verdict
    value: float | None
    limit: float
    unit: str
    n: Count
    explanation: Reason = ""
    log_e: float | None = None


class GateReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict over one cohort; `by` names the gates that decided it."""

    cohort: str
    verdict: Verdict
    by: list[str]
    measurements: list[Measurement]
    exposure_s: float = 0.0
    windows: Count = 0
    needs: Reason = ""


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway inside a rollout, as last reported."""

    serial: Serial
    cohort: str
    state: UpdateState
    outcome: Outcome = Outcome.OPEN
    reason: Reason = ""
    permit_live: bool = False
    age_s: float | None = None
    suspect_s: float | None = None  # since it should have moved on


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who said yes, to exactly which plan, why, and under which ticket."""

    who: str
    at: Instant
    ticket: str
    reason: Reason
    plan_digest: Digest


class RolloutView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rollout as people see it; `etag` is the digest an action must carry in If-Match."""

    id: RolloutId
    etag: str
    state: RolloutState
    holds: list[Hold]
    release: ReleaseRef
    rollback_to: ReleaseRef | None
    author: str
    cohort: str | None
    cohorts: list[Cohort]
    members: list[Member]
    gates: list[GateReport]
    approvals: list[Approval]
    approvals_needed: int
    ticket_needed: bool
    lines: list[str]
    why: Reason
    created: Instant
    changed: Instant
    plan_digest: Digest
