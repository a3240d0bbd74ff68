"""The operator API: roles, requests and views. Served on a Unix socket, used by every console.

Paths (JSON; `GET` unless said; every change carries If-Match with the etag the person saw):

    /v1/whoami                              WhoAmI
    /v1/overview                            Overview
    /v1/gateways, /v1/gateways/{serial}     GatewayView
    /v1/rollouts, /v1/rollouts/{id}         RolloutView
    /v1/gate-checks                         GateChecks
    POST /v1/rollouts/{id}/approve          ApproveRequest      -> RolloutView
    POST /v1/rollouts/{id}/resume           WaiveRequest        -> RolloutView
    POST /v1/rollouts/{id}/revoke           RevokeRequest       -> RolloutView
    POST /v1/rollouts/{id}/{acknowledge,hold,cancel,rollback,switch}  ReasonRequest -> RolloutView
    POST /v1/pin                            PinRequest          -> PinView
    POST /v1/pin/reset                      PinResetRequest     -> PinView
    POST /v1/gateways/{serial}/rollback     ReasonRequest       -> GatewayView
    POST /v1/safe-mode                      SafeModeRequest     -> list of GatewayView
    POST /v1/gateways/{serial}/snapshot     ReasonRequest       -> Snapshot
    POST /v1/gateways/{serial}/{resume,declare-dead}  ReasonRequest -> GatewayView
    POST /v1/gateways/{serial}/retire       RetireRequest       -> list of GatewayView
    POST /v1/conflicts/resume               ReasonRequest       -> list of GatewayView
    /v1/exceptions                          list of GatewayException
    /v1/queue?state=&line=&limit=           list of ReviewItem; /v1/queue/summary QueueSummary
    POST /v1/queue/lease                    LeaseRequest        -> list of ReviewItem
    POST /v1/queue/{item}/label, /undo      LabelRequest        -> ReviewItem
    /v1/queue/export                        JSON lines, one labelled window each
    /v1/alarms, /v1/alarms/summary          list of AlarmView; AlarmSummary
    POST /v1/alarms/{id}/{ack,shelve}       AckRequest, ShelveRequest -> AlarmView
    POST /v1/alarms/{id}/{unshelve,reset,retire,restore}  ReasonRequest -> AlarmView
    /v1/maintenance; POST /v1/maintenance   list of Maintenance; MaintenanceRequest -> Maintenance
    POST /v1/maintenance/{line}/end         ReasonRequest -> Maintenance
    /v1/audit?after=&limit=                 list of AuditEvent; /v1/audit/checkpoint Checkpoint
    /v1/audit/what-ran?asset=&at=           WhatRan
    /v1/events?after=                       server-sent events, id = cursor, data = Change
    /v1/openapi.json
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, Label
from edge_core.contracts.gateway import (
    Count,
    DriftNotice,
    HealthWindow,
    Reason,
    References,
    UpdateReport,
    WindowCounts,
)
from edge_core.contracts.plant import ClockQuality, GatewayPlace, Instant, Serial
from edge_core.contracts.review import QueueSummary
from edge_core.contracts.rollout import RolloutView

Why = Annotated[str, Meta(min_length=3, max_length=500)]


class Role(StrEnum):
    """What a caller may do; the value is the Unix group that grants it."""

    VIEWER = "edge-viewer"
    LABELLER = "edge-labeller"
    OPERATOR = "edge-operator"
    APPROVER = "edge-approver"
    ADMIN = "edge-admin"


class Action(StrEnum):
    """Everything that changes something; each needs a role."""

    APPROVE = "approve"
    HOLD = "hold"
    RESUME = "resume"
    CANCEL = "cancel"
    ROLLBACK = "rollback"
    SAFE_MODE = "safe_mode"
    SNAPSHOT = "snapshot"
    LABEL = "label"
    ACK = "ack"
    SHELVE = "shelve"
    RETIRE = "retire"
    MAINTENANCE = "maintenance"
    ENROL = "enrol"
    SWITCH = "switch"
    REVOKE = "revoke"
    ACKNOWLEDGE = "acknowledge"
    PIN = "pin"
    PIN_RESET = "pin_reset"
    DECLARE_DEAD = "declare_dead"
    DECOMMISSION = "decommission"


ALLOWED: dict[Action, frozenset[Role]] = {
    Action.APPROVE: frozenset({Role.APPROVER, Role.ADMIN}),
    Action.HOLD: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.RESUME: frozenset({Role.APPROVER, Role.ADMIN}),
    Action.CANCEL: frozenset({Role.APPROVER, Role.ADMIN}),
    Action.ROLLBACK: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.SAFE_MODE: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.SNAPSHOT: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.LABEL: frozenset({Role.LABELLER, Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.ACK: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.SHELVE: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.RETIRE: frozenset({Role.APPROVER, Role.ADMIN}),
    Action.MAINTENANCE: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.ENROL: frozenset({Role.ADMIN}),
    Action.SWITCH: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.REVOKE: frozenset({Role.APPROVER, Role.ADMIN}),
    Action.ACKNOWLEDGE: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.PIN: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.PIN_RESET: frozenset({Role.ADMIN}),
    Action.DECLARE_DEAD: frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN}),
    Action.DECOMMISSION: frozenset({Role.ADMIN}),
}


class WhoAmI(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the kernel says is calling, and what that allows."""

    user: str
    uid: int
    roles: list[Role]
    may: list[Action]
    site: str
    name: str = ""
    pin_set: bool = False


class Problem(Struct, frozen=True, kw_only=True):
    """Every refusal: a class for programs, one line for people; 409 carries what is there now."""

    error: str
    message: str
    exit_code: int
    current: RolloutView | None = None


class ReasonRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An action that needs nothing but a reason."""

    reason: Why


class RetireRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This gateway stands here no longer; `by` is the serial of the one that does."""

    reason: Why
    by: Serial | None = None


class SafeModeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put one gateway, or every gateway of a line, into or out of safe mode."""

    on: bool
    reason: Why
    serial: Serial | None = None
    line: str | None = None


class LeaseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give me the next items, of one line or one asset if named; each stays mine for `seconds`."""

    count: Annotated[int, Meta(ge=1, le=50)] = 20
    seconds: Annotated[float, Meta(gt=0, le=28_800)] = 900.0
    line: str | None = None
    asset: str | None = None


class LabelRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a window was; `seconds` is how long it was looked at."""

    label: Label
    seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    proposal_shown: bool = True


class AckRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """I have seen it."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class ShelveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Not now: at most one shift, with a reason."""

    minutes: Annotated[int, Meta(ge=1, le=480)]
    reason: Why


class Priority(StrEnum):
    """ISA-18.2 priorities, by how soon somebody must act; only P1 pages.

    P1 now, whatever the hour; P2 within the shift; P3 by day; P4 when there is time.
    """

    P1 = "p1"
    P2 = "p2"
    P3 = "p3"
    P4 = "p4"


class AlarmState(StrEnum):
    """ISA-18.2 states of one alarm.

    Pending waits for its on-delay and has told nobody; latched has returned and waits for a reset;
    shelved is put aside by a person for a time, suppressed by the site's own rules, out of service
    by a person until further notice; cleared is what the standard calls normal.
    """

    PENDING = "pending"
    UNACK = "unack"
    ACKED = "acked"
    RETURNED_UNACK = "returned_unack"
    LATCHED_UNACK = "latched_unack"
    LATCHED_ACKED = "latched_acked"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out_of_service"
    CLEARED = "cleared"


class AlarmView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alarm: what, what it means for the plant, and what to do (a runbook, and commands).

    Attributes:
        active: whether its cause is there; a cause that is gone still counts for its off-delay.
        raises: how often its cause has come since it was raised.
        gone: when its cause went, while the off-delay runs.
        acked: when somebody last said they had seen it; `acked_by` who, `why` their reason.
        latches: it stays on the list until a person resets it.
        by_hand: only a person can say that its cause is gone.
        needs_wan: expected while the site is offline.
        shelves: how often it was put aside; `realarms` how often it came back unanswered.
        suppressed_by: which rule of the site keeps it quiet.
        kind: what alarm it is, whoever it is about; `line` where, `group` of one cause.
        page: the number of the alarm whose page speaks for this one too.
        flood: the number of the flood that it came in.
        actions: commands that can be typed.
    """

    id: int
    priority: Priority
    state: AlarmState
    source: str
    what: Reason
    consequence: Reason
    runbook: str
    raised: Instant
    changed: Instant
    paged: bool = False
    until: Instant | None = None
    who: str | None = None
    active: bool = True
    raises: Count = 1
    gone: Instant | None = None
    acked: Instant | None = None
    acked_by: str | None = None
    why: str = ""
    latches: bool = False
    by_hand: bool = False
    needs_wan: bool = False
    shelves: Count = 0
    realarms: Count = 0
    suppressed_by: str = ""
    kind: str = ""
    line: str = ""
    group: str = ""
    page: int | None = None
    flood: int | None = None
    actions: list[str] = []


class GatewayView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway: its place, and what it last said with the age of that."""

    place: GatewayPlace
    etag: str
    enrolled: bool
    age_s: float | None
    stale: bool
    references: References | None
    effective: Digest | None
    running: Digest | None
    names: dict[str, str]  # digest -> model and version, for people
    update: UpdateReport | None
    health: list[HealthWindow]
    drift: list[DriftNotice]
    windows: WindowCounts | None
    clock: ClockQuality | None
    safe_mode: bool
    safe_mode_wanted: bool
    rollback_wanted: Digest | None
    defer: Reason
    faults: list[Reason]
    software: str | None
    exceptions: list["GatewayException"] = []
    clock_ahead_s: float | None = None  # of the site's, by its newest report


class ExceptionKind(StrEnum):
    """Why one gateway is not where its rollout wants it."""

    CONFLICT = "conflict"  # it was told more than the site remembers
    DRIFT = "drift"  # its worker runs another model than its record says
    DEAD = "dead"  # a person declared it dead
    ROLLBACK_TARGET = "rollback_target"  # what it would go back to is not loaded
    SUSPECT = "suspect"  # it has been in one state for longer than that may take
    CLOCK = "clock"  # its clock says another day than the site's
    CATCH_UP = "catch_up"  # it is behind the newest release, and something keeps it there


class GatewayException(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway that stands apart: why, since when, and for how long, where that is known."""

    serial: Serial
    asset: str
    line: str
    kind: ExceptionKind
    why: Reason
    since: Instant | None = None
    age_s: float | None = None


class TelemetryView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The write-ahead log as people ask for it: how much waits, how old, is the WAN there."""

    state: str
    waiting_records: Count
    bytes: Count
    oldest_age_s: float | None
    upstream_ok: bool
    upstream_since: Instant | None


class Overview(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first screen in one answer."""

    site: str
    at: Instant
    cursor: Count
    lines: list["LineView"]
    rollouts: list[RolloutView]
    queue: QueueSummary
    alarms: list[AlarmView]
    telemetry: TelemetryView
    clock: ClockQuality
    audit_size: Count


class LineView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line in numbers."""

    line: str
    gateways: Count
    online: Count
    trial: Count
    safe_mode: Count
    models: list[str]
    scored: Count
    alarms: Count
    queue: Count
    oldest_age_s: float | None


class Snapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a gateway's state was put for whoever looks into it."""

    id: str
    serial: Serial
    requested: Instant


class Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something changed: which resource to look at again."""

    cursor: Count
    resource: Label
    id: str
    at: Instant
