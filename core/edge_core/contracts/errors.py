"""What can go wrong, one class for each thing a caller does differently.

    EdgeError                    1   our own failure: report it, keep the evidence
    ├── UsageError               2   the command line makes no sense: show the usage
    ├── RefusedError             3   did not verify, failed a policy or contract: never retry it
    ├── NotFoundError            4   no such thing: check the name
    ├── UnreachableError         5   the other side did not answer: retry with backoff
    ├── ConflictError            6   it changed meanwhile, or too late: look again, decide again
    ├── TryAgainError           75   full, busy or not yet: the same call may work later
    ├── NotPermittedError       77   the caller may not: another person must
    └── ConfigurationError      78   a setting is wrong: correct the file and start again

The number is the exit code of every command that ends in that error. A component's own errors
are subclasses of exactly one of these, so a caller who does not know the component still knows
what to do.
"""

from typing import ClassVar


class EdgeError(Exception):
    """Something this system reports in one line that names thing, expected and found."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgeError):
    """The command line makes no sense."""

    exit_code: ClassVar[int] = 2


class RefusedError(EdgeError):
    """It did not verify, or it failed a policy or a contract; the same input never passes."""

    exit_code: ClassVar[int] = 3


class NotFoundError(EdgeError):
    """There is no such thing."""

    exit_code: ClassVar[int] = 4


class UnreachableError(EdgeError):
    """The other side did not answer, or broke off; worth a retry."""

    exit_code: ClassVar[int] = 5


class ConflictError(EdgeError):
    """It changed meanwhile, or the moment has passed."""

    exit_code: ClassVar[int] = 6


class TryAgainError(EdgeError):
    """Full, busy, or not ready yet; the very same call may work later."""

    exit_code: ClassVar[int] = 75


class NotPermittedError(EdgeError):
    """The caller's role does not allow it."""

    exit_code: ClassVar[int] = 77


class ConfigurationError(EdgeError):
    """A setting is wrong; the message names its key and what was expected."""

    exit_code: ClassVar[int] = 78
