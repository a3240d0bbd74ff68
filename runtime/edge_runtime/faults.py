"""Where a part of the daemon says that something does not work, and that it does again."""

from typing import Protocol


class Faults(Protocol):
    """Takes one line about each thing that does not work."""

    def fault(self, name: str, reason: str) -> None:
        """It does not."""
        ...

    def mend(self, name: str) -> None:
        """It does."""
        ...
