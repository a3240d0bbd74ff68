"""What can go wrong with a PIN.

EdgeError
├── RefusedError           3
│   └── PinChoiceError         the new PIN is too easy to guess: choose another
├── TryAgainError         75
│   └── PinLockedError         too many wrong ones: wait
└── NotPermittedError     77
    └── WrongPinError          not the PIN of that person, or they have none: set one
"""

from edge_core.contracts.errors import NotPermittedError, RefusedError, TryAgainError


class PinChoiceError(RefusedError):
    """A PIN that everybody tries first."""


class PinLockedError(TryAgainError):
    """Too many wrong PINs; the right one is refused as well until the time is over."""


class WrongPinError(NotPermittedError):
    """It is not the PIN of that person."""
