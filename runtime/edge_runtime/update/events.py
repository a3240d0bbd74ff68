"""Everything that can happen to an update, as values."""

from dataclasses import dataclass

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Desired, Outcome, RollbackOrder
from edge_runtime.update.record import Entry, Progress
from edge_runtime.update.references import Cause


@dataclass(frozen=True, slots=True)
class Restarted:
    """The daemon starts; *cause* tells whom the end of the last run is held against."""

    cause: Cause
    kernel_boot: str = ""


@dataclass(frozen=True, slots=True)
class StartedSealed:
    """The daemon starts on a disk that takes nothing: nobody is tried, and no try is taken."""


@dataclass(frozen=True, slots=True)
class Told:
    """The site's desired state has arrived."""

    desired: Desired


@dataclass(frozen=True, slots=True)
class DownloadStarted:
    """The room is reserved; bytes may flow."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The release cannot run here; *bars* says that the same attempt must not come again."""

    veto: str
    reason: str
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """Every byte and signature was verified from disk."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Staged:
    """Admission and cold smoke beside the incumbent were passed."""


@dataclass(frozen=True, slots=True)
class PermitAsked:
    """The request is on its way; the gateway has noted its own monotonic time."""


@dataclass(frozen=True, slots=True)
class PermitDenied:
    """No, not yet, or no answer; a permit never survives a restart either."""


@dataclass(frozen=True, slots=True)
class PermitGranted:
    """Yes, and the time from our own request has not run out; it pays for the first load."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The worker itself says that it runs *digest*, and its warm smoke passed."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Tried:
    """The trial has come so far; after a restart it goes on from there."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Stopped:
    """The daemon was told to end and is about to: nobody is to blame for what follows."""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Nothing new: what is believed already goes to a disk that refused it before."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The site has acknowledged how the attempt *key* ended."""

    key: tuple[Digest, int]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TrialPassed:
    """Enough healthy exposure."""


@dataclass(frozen=True, slots=True)
class TrialFailed:
    """The candidate did not load, or harmed the line, or ran out of time."""

    veto: str
    reason: str


@dataclass(frozen=True, slots=True)
class OrderedBack:
    """The site, or a person at the gateway (*local*), wants *order.from_digest* left at once."""

    order: RollbackOrder
    local: bool = False


@dataclass(frozen=True, slots=True)
class TargetRunning:
    """What a rollback returned to runs (or nothing has to)."""


@dataclass(frozen=True, slots=True)
class TargetLost:
    """What a rollback returned to does not load, again and again, though its bytes are right."""

    digest: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class EntryLost:
    """Bytes on disk are no longer what was verified."""

    digest: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class Collected:
    """The bytes of these releases are about to be removed; none of them is referenced."""

    digests: frozenset[Digest]


Event = (
    Restarted
    | StartedSealed
    | Told
    | DownloadStarted
    | Refused
    | Verified
    | Staged
    | PermitAsked
    | PermitDenied
    | PermitGranted
    | Tried
    | Stopped
    | CaughtUp
    | Reported
    | TargetLost
    | Loaded
    | TrialPassed
    | TrialFailed
    | OrderedBack
    | TargetRunning
    | EntryLost
    | Collected
)
