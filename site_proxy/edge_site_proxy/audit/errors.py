"""What the audit log refuses.

EdgeError
├── RefusedError              3
│   └── LogBrokenError           an export or a checkpoint does not verify; names the first entry
├── NotFoundError             4
│   └── NothingRanError          no record of that asset
└── ConfigurationError       78
    └── LogKeyError              the key file is not usable as it is
"""

from edge_core.contracts.errors import ConfigurationError, NotFoundError, RefusedError


class LogBrokenError(RefusedError):
    """It does not verify.

    Attributes:
        first_bad: the first entry that cannot be trusted, None where the note itself is bad.
    """

    def __init__(self, message: str, first_bad: int | None = None) -> None:
        super().__init__(message)
        self.first_bad = first_bad


class NothingRanError(NotFoundError):
    """The log knows nothing of that asset."""


class LogKeyError(ConfigurationError):
    """The log's key cannot be used."""
