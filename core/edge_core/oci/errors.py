"""What OCI content refuses, one class for each thing a caller does differently.

RefusedError
└── DigestMismatchError    the bytes are not what the digest says: discard them, raise an alarm
"""

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import RefusedError


class DigestMismatchError(RefusedError):
    """Bytes do not have the digest under which they were asked for or kept."""

    def __init__(self, what: str, *, expected: Digest, found: Digest) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
