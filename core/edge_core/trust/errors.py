"""What trust refuses, one class for each thing a caller does differently.

RefusedError
├── NotVerifiedError           names the numbered step: never load it, keep the evidence
├── DocumentRolledBackError    an attack or a restored upstream: alarm, keep what we have
└── DocumentForkedError        two documents under one sequence: alarm, keep what we have
"""

from enum import IntEnum

from edge_core.contracts.errors import RefusedError


class Step(IntEnum):
    """The numbered steps of verification, in the order in which they are taken."""

    SIZE = 1
    JSON = 2
    MEDIA_TYPE = 3
    KEY_MATERIAL = 4
    KEYRING = 5
    ONE_SIGNATURE = 6
    PAYLOAD_TYPE = 7
    KEY_ID = 8
    SIGNATURE = 9
    STATEMENT = 10
    SUBJECT = 11
    POLICY = 12
    THRESHOLD = 13

    @property
    def label(self) -> str:
        """How a message and the audit log call the step, for example `step 9 (signature)`."""
        return f"step {self.value} ({self.name.lower().replace('_', ' ')})"


class NotVerifiedError(RefusedError):
    """It did not verify.

    Attributes:
        step: the numbered step that failed.
        expected: what would have passed.
        found: what was there instead, printable and cut short.
    """

    def __init__(self, step: Step, *, expected: str, found: str) -> None:
        super().__init__(f"{step.label}: expected {expected}, found {found}")
        self.step = step
        self.expected = expected
        self.found = found


class DocumentRolledBackError(RefusedError):
    """A channel or a plan came with a lower sequence than one accepted before."""


class DocumentForkedError(RefusedError):
    """A channel or a plan came with a known sequence and other content."""
