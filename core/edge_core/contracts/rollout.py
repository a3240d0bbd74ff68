"""Rollouts: states, holds, plans, gates and verdicts, as the site proxy keeps and shows them.

Holds are a set, not a state: two can stand at once and each goes with its own cause. No permit is
granted while any hold stands. A verdict without evidence is never PASS.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.gates import ClockTime, GateLimits, GateReport
from edge_core.contracts.gateway import Count, Outcome, Reason, Share, TrialPolicy, UpdateState
from edge_core.contracts.plant import Instant, Serial

RolloutId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]
TICKET_PATTERN = r"[A-Z][A-Z0-9]{1,9}-[0-9]{1,10}"
Ticket = Annotated[str, Meta(min_length=1, max_length=64)]
Person = Annotated[str, Meta(max_length=64)]


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


class ChangeType(StrEnum):
    """What a change is in the words of the plant's management of change.

    `temporary` ends at a named time. `emergency` begins on one approval, and the second is due.
    """

    NORMAL = "normal"
    LIKE_FOR_LIKE = "like_for_like"
    TEMPORARY = "temporary"
    EMERGENCY = "emergency"


class Meaning(StrEnum):
    """What a signature says that its signer did; of a plan only `approved` counts as a yes."""

    REVIEWED = "reviewed"
    APPROVED = "approved"
    WITNESSED = "witnessed"
    WAIVED = "waived"
    ACKNOWLEDGED = "acknowledged"


class PinRule(StrEnum):
    """When a signature needs the signer's PIN: never, where a safety zone is touched, always."""

    NONE = "none"
    SAFETY = "safety"
    ALWAYS = "always"


class OnFail(StrEnum):
    """What a failed gate leads to: the rollout waits for a person, or the site takes it back."""

    PAUSE = "pause"
    AUTO_ROLLBACK = "auto_rollback"


class PlanRule(StrEnum):
    """Whether a release needs a signed plan, or is planned by the site's policy where none is."""

    ACCEPTED = "accepted"
    REQUIRED = "required"


class ApproverRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One voice that is heard about a plan: whoever is in the Unix group may lend it, once a plan.

    Attributes:
        meaning: what its signature has to say to count.
        required: whether no plan goes without it.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
    group: Annotated[str, Meta(min_length=1, max_length=32)]
    meaning: Meaning = Meaning.APPROVED
    required: bool = False


class CohortRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a rollout: at least `least` gateways, and at least `share` of all."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
    share: Share
    least: Annotated[int, Meta(ge=1)] = 3


class ChangeWindow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When something may happen: days 1 (Monday) to 7, local HH:MM, IANA zone.

    An end at or before the start is on the next day, so equal ends are a whole day.
    """

    days: Annotated[list[Annotated[int, Meta(ge=1, le=7)]], Meta(min_length=1, max_length=7)]
    start: ClockTime
    end: ClockTime
    zone: Annotated[str, Meta(max_length=64)] = "UTC"


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this site rolls out: part of the site's configuration, copied into each plan.

    Either `cohorts` or `strategy` is given; a plan bears the rules that its strategy came to.

    Attributes:
        windows: when a safety-classified model may move.
        download_windows: when bytes may be fetched from upstream; empty is at any time.
        ticket_pattern: what the whole ticket has to match, as a regular expression.
        pin: when a signature needs a PIN.
        approver_roles: whose voices count; `approvals` of them are needed. Empty: of any approver.
        approval_valid_s: an approval counts for that long.
        second_signature_s: an emergency's second signature is due by then.
        safety_waivers: people who waive a gate where a safety zone is touched.
        acknowledged_within_s: a gateway in a safety zone moves only if its shift has acknowledged
            the change within that time; 0 asks for none.
        key_holders: who holds which signing key, so that nobody approves what they signed.
        on_fail: whether a failed gate holds the rollout for a person, or the site itself orders
            everybody back, where there is a release to go back to.
        signed_plan: whether upstream has to have signed how a release is rolled out. Where it has,
            of every setting the stricter counts.
    """

    cohorts: Annotated[list[CohortRule], Meta(max_length=8)] = []
    gate: GateLimits = GateLimits()
    trial: TrialPolicy = TrialPolicy()
    permit_valid_s: Annotated[float, Meta(gt=0)] = 60.0
    stage_deadline_s: Annotated[float, Meta(gt=0)] = 3600.0
    safety_lag_s: Annotated[float, Meta(ge=0)] = 28_800.0
    shadow_pairs_min: Count = 100
    silent_after_s: Annotated[float, Meta(gt=0)] = 90.0
    approvals: Annotated[int, Meta(ge=1, le=5)] = 1
    windows: list[ChangeWindow] = []
    download_windows: list[ChangeWindow] = []
    ticket_pattern: Annotated[str, Meta(min_length=1, max_length=200)] = TICKET_PATTERN
    pin: PinRule = PinRule.SAFETY
    approver_roles: Annotated[list[ApproverRole], Meta(max_length=8)] = []
    approval_valid_s: Annotated[float, Meta(gt=0)] = 2_592_000.0
    second_signature_s: Annotated[float, Meta(gt=0)] = 86_400.0
    safety_waivers: Annotated[int, Meta(ge=1, le=5)] = 2
    acknowledged_within_s: Annotated[float, Meta(ge=0)] = 28_800.0
    key_holders: dict[str, list[Person]] = {}
    catch_up_s: Annotated[float, Meta(ge=0)] = 2_592_000.0  # an approval covers who comes late
    catch_up_at_once: Annotated[int, Meta(ge=1)] = 3
    # A pattern in a union with a list makes msgspec 0.22 crash, so `strategies.check` has it.
    strategy: str | list[Share] | None = None
    on_fail: OnFail = OnFail.PAUSE
    signed_plan: PlanRule = PlanRule.ACCEPTED

    def __post_init__(self) -> None:
        """Somebody must say in which steps."""
        if not self.cohorts and self.strategy is None:
            raise ValueError("expected `strategy` or `cohorts`, found neither")


class Cohort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who moves together, in rank order."""

    name: str
    members: list[Serial]
    safety: bool = False


class SignedPlanRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signed plan under which a plan was made; `expires` is when it lets nothing begin."""

    digest: Digest
    sequence: Annotated[int, Meta(ge=1)]
    expires: Instant
    signers: list[str]


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
    maintenance: dict[str, str] = {}  # out for now, with the reason; they catch up
    signers: list[str] = []
    signed: SignedPlanRef | None = None  # what upstream signed about it, and so restricts it


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
    """Who signed exactly which plan, as what, why, and under which ticket.

    Attributes:
        who: the name that the kernel and the user list give.
        name: the printed name.
        role: the voice that was lent, empty where the site has no roles.
        until: when a temporary change ends.
        shown: digest of what was on the signer's screen (`edge_core.contracts.shown`).
        pin: whether the signer's PIN was given.
    """

    who: str
    at: Instant
    ticket: str
    reason: Reason
    plan_digest: Digest
    name: str = ""
    meaning: Meaning = Meaning.APPROVED
    role: str = ""
    change: ChangeType = ChangeType.NORMAL
    until: Instant | None = None
    shown: Digest | None = None
    pin: bool = False


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who waived a gate, or acknowledged a change for their shift; `about` says which."""

    who: str
    name: str
    at: Instant
    meaning: Meaning
    reason: Reason
    about: str
    shown: Digest | None = None
    pin: bool = False


class Revocation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who took which signatures back, why, and whether committed gateways were to go back too."""

    who: str
    name: str
    at: Instant
    reason: Reason
    roll_back: bool
    voided: list[Approval]


class Due(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody still has to do about a plan, and by when; below zero it is overdue."""

    what: Reason
    at: Instant
    left_s: float = 0.0


class Leg(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long one cohort takes at least, and which line sets that.

    `waves` follow one another on `line`: its cells one at a time, a redundancy group's members
    one after the other. `windows` is how many change windows that fills, 0 where none is needed.
    """

    cohort: str
    line: str
    cells: Count
    waves: Count
    windows: Count
    staging_s: float
    activating_s: float
    soaking_s: float
    ends: Instant | None
    why: Reason


class Eta(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a rollout ends if nothing is held and everybody is heard; None where it never does."""

    at: Instant
    ends: Instant | None
    why: Reason
    legs: list[Leg]


class RolloutView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rollout as people see it; `etag` is the digest an action must carry in If-Match.

    Attributes:
        ticket_needed: whether a safety zone is touched.
        windows: when its gateways in safety zones may move.
        change: what its signers call it, None before the first.
        signers_needed: who must still sign, one line each.
        dues: what falls due when, the next first.
        next_window: when the next change window opens, in words.
        pin_needed: whether signing needs a PIN.
        acknowledgement_needed: whether the shift has to acknowledge it now.
        last_order: who ordered what last, and why.
        takes_min: whole minutes of permits, trials, soak and lag that the plan has at least,
            however far it is; downloads and waits for a change window are in `eta` alone. None
            once a member has left the inventory.
        on_fail: what a failed gate leads to.
        signed: the signed plan that restricts it.
    """

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
    excluded: dict[str, str] = {}  # who takes no part, and why
    eta: Eta | None = None
    windows: list[ChangeWindow] = []
    change: ChangeType | None = None
    signers_needed: list[str] = []
    dues: list[Due] = []
    next_window: Reason = ""
    ticket_pattern: str = TICKET_PATTERN
    pin_needed: bool = False
    waivers: list[Signature] = []
    waivers_needed: int = 1
    acknowledgements: list[Signature] = []
    acknowledgement_needed: bool = False
    revocations: list[Revocation] = []
    last_order: Reason = ""
    takes_min: Count | None = None
    on_fail: OnFail = OnFail.PAUSE
    signed: SignedPlanRef | None = None
