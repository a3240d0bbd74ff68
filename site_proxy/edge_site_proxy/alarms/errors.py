"""What the alarm list refuses.

EdgeError
├── NotFoundError          4
│   ├── NoSuchAlarmError      check the number
│   └── NoSuchLineError       check the name
├── ConflictError          6
│   ├── AlarmOverError        it is over already
│   ├── AlarmAsideError       it is shelved, suppressed or out of service, or should be and is not
│   └── AlarmStandsError      it cannot be reset: acknowledge it, or wait until its cause is gone
└── TryAgainError         75
    └── PageDelayedError      the receiver did not take a page; later it may
        └── PageRefusedError  it says no to this very page: a setting or a key
"""

from datetime import timedelta

from edge_core.contracts.errors import ConflictError, NotFoundError, TryAgainError


class NoSuchAlarmError(NotFoundError):
    """There is no alarm of that number."""


class NoSuchLineError(NotFoundError):
    """There is no line of that name, or nobody works on it."""


class AlarmOverError(ConflictError):
    """The alarm is cleared; there is nothing left to acknowledge or shelve."""


class AlarmAsideError(ConflictError):
    """The alarm is put aside in another way than the order needs."""


class AlarmStandsError(ConflictError):
    """The alarm cannot be reset as it stands."""


class PageDelayedError(TryAgainError):
    """A receiver did not take a page.

    Attributes:
        after: the receiver's own wish when to try again.
    """

    def __init__(self, reason: str, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = after


class PageRefusedError(PageDelayedError):
    """A receiver says no to this page; the same page goes on being refused until a person acts."""
