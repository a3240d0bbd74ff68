"""What the fleet refuses.

EdgeError
├── NotFoundError               4
│   └── UnknownGatewayError        not in the inventory: correct the inventory or the serial
└── NotPermittedError          77
    └── IdentityMismatchError      a gateway speaks in another's name
"""

from edge_core.contracts.errors import NotFoundError, NotPermittedError


class UnknownGatewayError(NotFoundError):
    """The inventory has no gateway of that serial."""


class IdentityMismatchError(NotPermittedError):
    """The certificate names one gateway and the message another."""
