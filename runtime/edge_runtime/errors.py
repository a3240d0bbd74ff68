"""What can go wrong on a gateway, one class for each thing a caller does differently.

EdgeError
├── StoreError              the gateway's own record cannot be read or kept: no update, one alarm
├── ConfigurationError
│   └── ExtraMissingError   a library is not installed: install the extra that is named
├── UnreachableError
│   ├── SiteUnreachableError     the site proxy did not answer: go on alone, retry with backoff
│   ├── SourceLostError          a data source went away: connect anew, record the gap
│   │   └── DecoderLostError     the process that decodes pictures ended: start another
│   └── DaemonAbsentError        nobody answers on the control socket: the daemon is not running
├── RefusedError
│   ├── SiteRefusedError         the site proxy said no, and saying it again changes nothing
│   ├── PayloadError             a message from a source is not of the form it must have
│   │   └── PictureError         a picture cannot be used: count it under its reason
│   └── AssignmentRefusedError   the assigned release cannot run here: the reason says why
├── TryAgainError
│   ├── DownloadDeferredError    the site gives out no bytes now: ask again when it says
│   ├── NoModelError             nothing is loaded that could answer
│   ├── NotDurableError          it was done, and a restart forgets it: mend the disk
│   └── DaemonRefusedError       the daemon said no, with the exit code of its reason
└── ConflictError
    └── NothingToRollBackError   no other verified version to go back to
"""

from edge_core.contracts.artefact import Label
from edge_core.contracts.errors import (
    ConfigurationError,
    ConflictError,
    EdgeError,
    RefusedError,
    TryAgainError,
    UnreachableError,
)


class StoreError(EdgeError):
    """The durable record cannot be read, written or read back; what runs goes on running."""


class ExtraMissingError(ConfigurationError):
    """A library that this configuration needs is not installed."""


class SiteUnreachableError(UnreachableError):
    """The site proxy did not answer in time, or broke off."""


class SourceLostError(UnreachableError):
    """A source of samples is gone; the supervisor connects anew and marks the gap."""


class DecoderLostError(SourceLostError):
    """A process that decodes has ended; *kind* says how, *blamed* whether what it read did it."""

    def __init__(self, kind: Label, message: str, *, blamed: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.blamed = blamed


class DaemonAbsentError(UnreachableError):
    """No daemon answers on the control socket."""


class SiteRefusedError(RefusedError):
    """The site proxy answered with a refusal; the status tells whether a retry makes sense."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class PayloadError(RefusedError):
    """A message from the plant is not what it must be; it is counted and dropped."""


class PictureError(PayloadError):
    """A picture that cannot be used; *reason* is the short one that it is counted under."""

    def __init__(self, reason: Label, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AssignmentRefusedError(RefusedError):
    """A release that the site assigned cannot run on this gateway; *veto* is the short reason."""

    def __init__(self, veto: Label, message: str) -> None:
        super().__init__(message)
        self.veto = veto


class DownloadDeferredError(TryAgainError):
    """The site gives out no bytes for a download now, and says why and for how long."""

    def __init__(self, reason: str, *, retry_after_s: float) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NoModelError(TryAgainError):
    """No model is loaded, so nothing can answer."""


class NotDurableError(TryAgainError):
    """What was ordered holds now, and the disk does not keep it: a restart forgets it."""


class DaemonRefusedError(TryAgainError):
    """What the daemon refused, with the exit code that it named."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # the daemon's error decides, not our class


class NothingToRollBackError(ConflictError):
    """There is no other verified version on this gateway."""
