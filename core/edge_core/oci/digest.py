"""SHA-256 of bytes, streams and files.

The functions block; a daemon calls them through `asyncio.to_thread`.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self

from edge_core.contracts.artefact import Digest

CHUNK_BYTES: Final = 1024 * 1024  # large enough that hashing, not the call, is the cost


@dataclass(slots=True)
class Hasher:
    """Counts and hashes a stream.

    Attributes:
        size: bytes seen so far.
    """

    size: int = 0
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def update(self, chunk: bytes) -> None:
        """See *chunk*."""
        self._sha256.update(chunk)
        self.size += len(chunk)

    @property
    def digest(self) -> Digest:
        """Of everything seen so far."""
        return f"sha256:{self._sha256.hexdigest()}"

    @classmethod
    def of(cls, file: BinaryIO) -> Self:
        """Hash *file* from where it stands to its end."""
        hasher = cls()
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
        return hasher


def digest_of(content: bytes) -> Digest:
    """Digest of *content*."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_of_file(path: Path) -> tuple[Digest, int]:
    """Digest and size in bytes of the file at *path*."""
    with path.open("rb") as file:
        hasher = Hasher.of(file)
    return hasher.digest, hasher.size
