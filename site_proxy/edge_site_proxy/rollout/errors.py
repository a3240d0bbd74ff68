"""What a rollout refuses.

EdgeError
├── RefusedError                     3
│   ├── UnplannableError                 cohorts cannot be formed under the blast-radius rules
│   └── OrderRefusedError                the order makes no sense here, or its words are wrong
├── NotFoundError                    4
│   └── NoSuchRolloutError               check the id
├── ConflictError                    6
│   ├── RolloutChangedError              it is no longer what the person saw; carries what it is
│   └── TooLateError                     the state no longer allows it
└── NotPermittedError               77
    └── OwnRolloutError                  nobody approves what they made
"""

from edge_core.contracts.errors import (
    ConflictError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
)


class UnplannableError(RefusedError):
    """No cohorts can be formed that keep the rules; the message says which rule and whom."""


class OrderRefusedError(RefusedError):
    """An order was understood and refused."""


class NoSuchRolloutError(NotFoundError):
    """There is no rollout of that id."""


class RolloutChangedError(ConflictError):
    """The rollout changed after the person looked; nothing was done."""


class TooLateError(ConflictError):
    """The rollout is past the state that this order needs."""


class OwnRolloutError(NotPermittedError):
    """The author of a release may not approve it."""
