"""What the operator API itself refuses.

EdgeError
├── UsageError             2
│   └── BadRequestError       a body, a parameter or a header is not what this path takes
└── NotPermittedError     77
    └── RoleMissingError      the caller has no role for this
"""

from edge_core.contracts.errors import NotPermittedError, UsageError


class BadRequestError(UsageError):
    """The request is not understood; the message names the part."""


class RoleMissingError(NotPermittedError):
    """The kernel says who is calling, and they may not."""
