"""What is kept of a rollout: the plan, the header that moves, and the permits that are out."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from msgspec import Struct

from edge_core.contracts.api import Priority
from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.gates import GateReport
from edge_core.contracts.plant import Instant
from edge_core.contracts.rollout import (
    TERMINAL,
    Approval,
    Hold,
    Plan,
    Revocation,
    RolloutState,
    Signature,
)
from edge_core.contracts.signed_plan import SignedPlan
from edge_site_proxy.audit.canonical import canonical
from edge_site_proxy.audit.events import Event

SITE = "site-proxy"  # who orders, in the log, where no person does
IN_PROGRESS = frozenset(
    {
        RolloutState.STAGING,
        RolloutState.ACTIVATING,
        RolloutState.SOAKING,
        RolloutState.GATED,
        RolloutState.SAFETY_LAG,
        RolloutState.ROLLING_BACK,
    }
)
MOVING = IN_PROGRESS - {RolloutState.ROLLING_BACK}
PENDING = frozenset(
    {
        RolloutState.VERIFYING,
        RolloutState.PLANNED,
        RolloutState.AWAITING_APPROVAL,
        RolloutState.APPROVED,
    }
)


class Arrived(Struct, frozen=True, kw_only=True):
    """A verified release as it is kept: what it can run on, and on whose word."""

    release: ReleaseRef
    targets: list[str]
    signers: list[str]
    author: str
    at: Instant
    sizes: dict[str, int] = {}  # bytes of the build for each target, where known


class InForce(Struct, frozen=True, kw_only=True):
    """The newest signed plan of a model, as it is kept.

    Attributes:
        digest: of the plan as it was written.
        signers: ids of the keys that signed it.
        expires: when it lets nothing begin any more.
        at: when it was accepted here.
        withheld: why it does not verify any more, empty while it does.
    """

    plan: SignedPlan
    digest: Digest
    signers: list[str]
    expires: Instant
    at: Instant
    withheld: str = ""


class Header(Struct, frozen=True, kw_only=True):
    """The part of a rollout that changes; one change is one transaction and one event.

    `attempts` holds only serials that are past their first attempt. `waived` are cohorts that a
    named human moved on in spite of their gate, and `late` are members that no longer count.
    `requesters` are people who had it go on, and so do not approve it; `last_order` says in words
    who ordered what last.
    """

    id: str
    state: RolloutState
    cohort: int = 0
    holds: dict[Hold, str] = {}
    approvals: list[Approval] = []
    gates: list[GateReport] = []
    attempts: dict[str, int] = {}
    waived: list[int] = []
    late: list[str] = []
    why: str = ""
    created: Instant
    changed: Instant
    plan_digest: Digest | None = None
    rollback_epoch: int | None = None
    rollback_reason: str = ""
    switched: bool = False  # of a blue-green plan: somebody said that green may take over
    waivers: list[Signature] = []
    acknowledgements: list[Signature] = []
    revocations: list[Revocation] = []
    requesters: list[str] = []
    last_order: str = ""
    vetoes: list[str] = []  # known when it was completed, or told since; each is told once


class Rollout(Struct, frozen=True, kw_only=True):
    """A rollout in full."""

    header: Header
    plan: Plan

    @property
    def id(self) -> str:
        """The id; the same in header and plan."""
        return self.header.id

    @property
    def state(self) -> RolloutState:
        """Where it stands."""
        return self.header.state

    @property
    def digest(self) -> Digest:
        """The release that it brings."""
        return self.plan.release.digest

    @property
    def plan_digest(self) -> Digest:
        """Of the plan; counted once, when it was made."""
        return self.header.plan_digest or plan_digest(self.plan)

    @property
    def open(self) -> bool:
        """Whether it can still move."""
        return self.header.state not in TERMINAL

    def members_to(self, cohort: int) -> list[str]:
        """Serials of every cohort up to and including *cohort*."""
        return [serial for part in self.plan.cohorts[: cohort + 1] for serial in part.members]


class Grant(Struct, frozen=True, kw_only=True):
    """One permit that is out. `seen` is the newest report known when it was given."""

    serial: str
    rollout: str
    digest: Digest
    attempt: int
    boot_epoch: int
    epoch: int
    seen: tuple[int, int]
    valid_s: float
    at: Instant


@dataclass(frozen=True, slots=True)
class AlarmCall:
    """An alarm that a decision asks for; `key` makes a repeat the same alarm.

    `group` is what alarms of one cause share where the key alone does not tell.
    """

    key: str
    priority: Priority
    what: str
    consequence: str
    runbook: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: what the rollout becomes, what is recorded, and who is told."""

    rollout: Rollout
    event: Event
    alarms: tuple[AlarmCall, ...] = ()
    cleared: tuple[str, ...] = field(default=())


def plan_digest(plan: Plan) -> Digest:
    """The digest that an approver signs off: over the plan's canonical JSON."""
    return f"sha256:{hashlib.sha256(canonical(msgspec.to_builtins(plan))).hexdigest()}"


def etag_of(rollout: Rollout) -> str:
    """The digest of what a person decides on; measurements move, and are not part of it."""
    header = rollout.header
    seen = {
        "id": header.id,
        "state": header.state.value,
        "cohort": header.cohort,
        "holds": sorted(hold.value for hold in header.holds),
        "approvals": [[each.who, each.plan_digest] for each in header.approvals],
        "plan": rollout.plan_digest,
        "waived": header.waived,
        "attempts": header.attempts,
        "switched": header.switched,
        "waivers": [[each.who, each.about] for each in header.waivers],
    }
    return f"sha256:{hashlib.sha256(canonical(seen)).hexdigest()}"


def moved(rollout: Rollout, now: datetime, event: Event, **changes: object) -> Step:
    """The step that gives the header *changes*, at *now*.

    Every event of a rollout carries where it then stands, so the log alone tells that (S16).
    """
    header = msgspec.structs.replace(rollout.header, changed=now, **changes)
    stands = {
        "state": header.state.value,
        "cohort_number": header.cohort,
        "holds": sorted(hold.value for hold in header.holds),
    }
    recorded = Event(event.kind, event.subject, {**event.facts, **stands})
    return Step(msgspec.structs.replace(rollout, header=header), recorded)
