"""What a gateway and the site proxy say to each other; the gateway always speaks first.

`status` goes up every 30 s (sooner while something is under way). Its answer carries the ETag of
the desired state; the desired state is fetched only when that changed. Activation needs a permit.
A download needs bytes to be asked for, where the assignment says that they are metered.

Within one minor version either side may be newer and say more. A field that is not known is
ignored, so a new field has a default and says nothing that an older peer must not miss. What must
not be missed comes with a new minor version: a value of an enumeration, a bound, and what a trial
asks for, of which a gateway refuses what it does not know rather than commit on less.
"""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, Label, Name, ReleaseRef
from edge_core.contracts.plant import ClockQuality, Instant, Serial

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
REASON_CHARS: Final = 500
Reason = Annotated[str, Meta(max_length=REASON_CHARS)]

STATUS_BYTES_MAX = 64 * 1024
BAD_INPUTS_MAX = 5  # tags told one by one; more of them have one cause and are told in one
HEALTH_MAX = 64  # health windows in one heartbeat; who has more comes back sooner
REVIEW_BYTES_MAX = 256 * 1024
OTLP_BYTES_MAX = 1024 * 1024


class UpdateState(StrEnum):
    """Where one attempt stands on the gateway; the gateway alone moves it."""

    IDLE = "idle"
    ASSIGNED = "assigned"
    DOWNLOADING = "downloading"
    VERIFIED = "verified"
    STAGED = "staged"
    AWAITING_PERMIT = "awaiting_permit"
    ACTIVATING = "activating"
    TRIAL = "trial"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED_NO_CHANGE = "failed_no_change"
    ROLLBACK_FAILED = "rollback_failed"
    FAIL_SAFE = "fail_safe"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """How an attempt ended; independent of the phase it ended in."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    ALREADY = "already"
    FAILED_NO_CHANGE = "failed_no_change"
    FAILED_ROLLED_BACK = "failed_rolled_back"
    FAILED_ROLLBACK = "failed_rollback"
    REJECTED_STALE = "rejected_stale"
    NEVER_STARTED = "never_started"
    CANCELLED = "cancelled"
    TOO_LATE = "too_late"


class References(Struct, frozen=True, kw_only=True):
    """The four references of the gateway's store; each is the digest of a release's index."""

    golden: Digest | None = None
    previous_good: Digest | None = None
    committed: Digest | None = None
    candidate: Digest | None = None


class UpdateReport(Struct, frozen=True, kw_only=True):
    """One attempt as the gateway sees it; merged by (boot, sequence), never regressing.

    `unpaired`: it waits for pairs and will get none, since the present model sees other windows.
    """

    digest: Digest
    attempt: Annotated[int, Meta(ge=1)]
    state: UpdateState
    outcome: Outcome = Outcome.OPEN
    veto: Label | None = None
    reason: Reason = ""
    since_s: Annotated[float, Meta(ge=0)] = 0.0
    unpaired: bool = False


class HealthWindow(Struct, frozen=True, kw_only=True):
    """What one model did on one gateway in one health window: counts and extremes, no samples.

    `number` counts up per gateway and boot epoch and is never reused, so a repeat is recognised.
    `shadow_pairs` are windows that both models scored, `shadow_disagreed` those classed otherwise,
    `shadow_dropped` those that the model looking on was not shown because it was too slow.
    `anomalies` are windows that the model's own anomaly output marked, `overrides` decisions of
    the operator against its verdicts. `kpi_sum` over `kpi_rows` is the mean of the line's KPI
    while it was in charge. `cut_short`: the gateway ended in the middle; what is counted is exact.
    `broken` are those errors in which the model gave what is no number, or of another shape.
    """

    epoch: Count
    number: Count
    digest: Digest
    role: Label  # committed, trial or shadow
    started: Instant
    ended: Instant
    scored: Count
    no_verdict: Count = 0
    errors: Count = 0
    alarms: Count = 0
    out_of_domain: Count = 0
    shadow_pairs: Count = 0
    shadow_disagreed: Count = 0
    shadow_dropped: Count = 0
    anomalies: Count = 0
    overrides: Count = 0
    kpi_sum: float = 0.0
    kpi_rows: Count = 0
    cut_short: bool = False
    latency_p50_us: Count = 0
    latency_p99_us: Count = 0
    regime: Annotated[str, Meta(max_length=40)] = ""
    broken: Count = 0


class DriftNotice(Struct, frozen=True, kw_only=True):
    """One grouped drift record; it routes windows to review and never pages."""

    digest: Digest
    kind: Label
    tags: Annotated[list[Label], Meta(max_length=16)]
    since: Instant
    mode: Annotated[str, Meta(max_length=40)] = ""
    height: float = 0.0


class WindowCounts(Struct, frozen=True, kw_only=True):
    """Window numbers since the gateway's first start: cut is every number ever given out."""

    cut: Count = 0
    scored: Count = 0
    no_verdict: Count = 0
    dropped: Count = 0
    doubled: Count = 0


class BadInput(Struct, frozen=True, kw_only=True):
    """A tag that has kept windows from a verdict for too long; None stands for many in one."""

    tag: Label | None
    words: Reason


class StatusReport(Struct, frozen=True, kw_only=True):
    """The heartbeat. The serial is checked against the certificate, never trusted alone.

    `config` is the digest of the configuration that the gateway works with. `inputs` are its tags,
    each `role source:address`; they are said at a start, and when the site asks for them. `faults`
    are its own, `bad_inputs` those of the instruments that it reads.
    """

    serial: Serial
    boot_epoch: Count
    sequence: Count
    software: Annotated[str, Meta(max_length=64)]
    clock: ClockQuality
    references: References
    effective: Digest | None
    running: Digest | None  # what the worker itself says it loaded
    update: UpdateReport | None = None
    health: Annotated[list[HealthWindow], Meta(max_length=HEALTH_MAX)] = []
    drift: Annotated[list[DriftNotice], Meta(max_length=8)] = []
    windows: WindowCounts = WindowCounts()
    safe_mode: bool = False
    targets: Annotated[list[str], Meta(max_length=16)] = []
    generation_seen: Count = 0
    outbox_waiting: Count = 0
    disk_free_bytes: Count = 0
    faults: Annotated[list[Reason], Meta(max_length=16)] = []
    epoch_seen: Count = 0
    config: Digest | None = None
    inputs: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=513)] = []
    at: Instant | None = None  # by the gateway's own clock, right or wrong
    bad_inputs: Annotated[list[BadInput], Meta(max_length=BAD_INPUTS_MAX)] = []


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The last audit checkpoint (C2SP tlog-checkpoint), kept by every gateway as a witness."""

    size: Count
    note: Annotated[str, Meta(max_length=2000)]


class StatusReply(Struct, frozen=True, kw_only=True):
    """The answer to a heartbeat: health windows taken, what to fetch, when to come back.

    `tell_inputs`: the site does not know the inputs of the configuration that was reported.
    """

    desired_etag: str
    come_back_s: float
    health_stored: Count = 0
    checkpoint: Checkpoint | None = None
    tell_inputs: bool = False


class TrialPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a gateway may commit by itself: both bounds must be reached, in healthy running."""

    inferences_min: Annotated[int, Meta(ge=1)] = 500
    duration_min_s: Annotated[float, Meta(ge=0)] = 300.0
    duration_max_s: Annotated[float, Meta(gt=0)] = 3600.0
    error_share_max: Share = 0.02
    tries: Annotated[int, Meta(ge=1, le=10)] = 3


class Assignment(Struct, frozen=True, kw_only=True):
    """Run this release; `activate` says whether a permit may be asked for yet.

    `former_beside`: once it is committed, what ran before goes on beside it and decides nothing,
    until the site has seen enough of both.
    """

    release: ReleaseRef
    attempt: Annotated[int, Meta(ge=1)]
    rollout: Annotated[str, Meta(max_length=80)]
    activate: bool = False
    shadow_pairs_min: Count = 0
    trial: TrialPolicy = TrialPolicy()
    former_beside: bool = False
    metered: bool = False  # its bytes have to be asked for


class RollbackOrder(Struct, frozen=True, kw_only=True):
    """Leave this digest, whatever else is under way; needs no bytes. Outranks every assignment."""

    from_digest: Digest
    epoch: Count
    reason: Reason


class Desired(Struct, frozen=True, kw_only=True):
    """What the site wants of one gateway. A lower generation than one seen is refused."""

    serial: Serial
    generation: Count
    epoch: Count
    repository: Name
    assignment: Assignment | None = None
    rollback: RollbackOrder | None = None
    safe_mode: bool = False
    snapshot: Annotated[str, Meta(max_length=40)] | None = None
    health_window_s: Annotated[float, Meta(gt=0)] = 300.0
    review_budget: Count = 20


class PermitRequest(Struct, frozen=True, kw_only=True):
    """May I activate? The gateway notes its own monotonic time before it sends this."""

    digest: Digest
    attempt: Annotated[int, Meta(ge=1)]
    boot_epoch: Count


class PermitReply(Struct, frozen=True, kw_only=True):
    """Yes for `valid_s` seconds from the request, or no with the reason and when to ask."""

    granted: bool
    epoch: Count
    valid_s: Annotated[float, Meta(ge=0)] = 0.0
    reason: Reason = ""
    retry_after_s: Annotated[float, Meta(ge=0)] = 0.0
    checkpoint: Checkpoint | None = None


class PullRequest(Struct, frozen=True, kw_only=True):
    """May I download? `bytes_missing` of what is fetched now; asked again when those are used."""

    digest: Digest
    attempt: Annotated[int, Meta(ge=1)]
    bytes_missing: Annotated[int, Meta(ge=1)]


class PullReply(Struct, frozen=True, kw_only=True):
    """Yes for so many bytes, no faster than the rate (0 is no bound), or no and when to ask."""

    granted: bool
    bytes: Count = 0
    rate_bytes_s: Annotated[float, Meta(ge=0)] = 0.0
    reason: Reason = ""
    retry_after_s: Annotated[float, Meta(ge=0)] = 0.0


class Enrolled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What enrolment leaves on a gateway's disk, beside the key that never left it."""

    serial: Serial
    not_after: Instant
