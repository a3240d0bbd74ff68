"""What the review queue refuses.

EdgeError
├── RefusedError            3
│   └── LabelRefusedError      not a label of this window
├── NotFoundError           4
│   └── NoSuchItemError        check the number
└── ConflictError           6
    └── ItemTakenError         another person has it, or it is over
"""

from edge_core.contracts.errors import ConflictError, NotFoundError, RefusedError


class LabelRefusedError(RefusedError):
    """The label is none of the window's classes."""


class NoSuchItemError(NotFoundError):
    """The queue has no such item."""


class ItemTakenError(ConflictError):
    """Somebody else holds it, or it was labelled or expired meanwhile."""
