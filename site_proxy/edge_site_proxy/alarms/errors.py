"""What the alarm list refuses.

EdgeError
├── NotFoundError          4
│   └── NoSuchAlarmError      check the number
└── ConflictError          6
    └── AlarmOverError        it is over already
"""

from edge_core.contracts.errors import ConflictError, NotFoundError


class NoSuchAlarmError(NotFoundError):
    """There is no alarm of that number."""


class AlarmOverError(ConflictError):
    """The alarm is cleared; there is nothing left to acknowledge or shelve."""
