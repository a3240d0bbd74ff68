"""A content-addressed folder: `blobs/sha256/<hex>`, where a name is a promise about the bytes.

The methods block; a daemon calls them through `asyncio.to_thread`. Many processes may share a
folder: a blob appears by rename, complete, and is never changed.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from edge_core.contracts.artefact import MANIFEST_BYTES_MAX, Digest, is_digest
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.oci.digest import CHUNK_BYTES, Hasher, digest_of
from edge_core.oci.disk import UNFINISHED, publish, sync_folder, temporary_file, writing
from edge_core.oci.errors import DigestMismatchError
from edge_core.oci.names import check_digest
from edge_core.oci.part import part_path

QUARANTINED_MAX: Final = 16  # evidence, not an archive: a failing disk must not fill itself up


@dataclass(frozen=True, slots=True)
class BlobStore:
    """Blobs under *root*; folders are made on first use."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where the blobs lie; it exists."""
        folder = self.root / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def path(self, digest: Digest) -> Path:
        """Where the blob lies or would lie; its folder exists.

        Raises:
            RefusedError: not a digest, and so never a path.
        """
        return self.folder / check_digest(digest).removeprefix("sha256:")

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here, as far as its name says; `verify` looks at the bytes."""
        return self.path(digest).is_file()

    def bytes_here(self, digest: Digest) -> int:
        """How many bytes of the blob have arrived, unverified: progress, for people."""
        path = self.path(digest)
        for arrived in (path, part_path(path)):
            if arrived.is_file():
                return arrived.stat().st_size
        return 0

    def digests(self) -> Iterator[Digest]:
        """All blobs, in no order; half-fetched ones are none."""
        names = (path.name for path in self.folder.iterdir())
        return (digest for name in names if is_digest(digest := f"sha256:{name}"))

    def open(self, digest: Digest) -> BinaryIO:
        """The blob, unverified, from its first byte; the caller closes it.

        Raises:
            NotFoundError: it is not here.
            RefusedError: something else than a file is in its place.
        """
        try:
            opened = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFoundError(f"blob {digest}: not in {self.root}") from None
        except OSError as error:
            raise RefusedError(f"blob {digest}: cannot be opened: {error.strerror}") from None
        return os.fdopen(opened, "rb")

    def read(self, digest: Digest, *, bytes_max: int = MANIFEST_BYTES_MAX) -> bytes:
        """The bytes of a small blob, verified.

        Raises:
            NotFoundError: it is not here.
            RefusedError: it has more than *bytes_max* bytes.
            DigestMismatchError: other bytes than promised; the blob is quarantined.
        """
        with self.open(digest) as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise RefusedError(f"blob {digest}: expected at most {bytes_max} bytes, found more")
        self._hold_to_promise(digest, digest_of(content))
        return content

    def verify(self, digest: Digest) -> int:
        """Read the blob from disk and check every byte; its size in bytes.

        Raises:
            NotFoundError: it is not here.
            DigestMismatchError: other bytes than promised; the blob is quarantined.
        """
        with self.open(digest) as file:
            hasher = Hasher.of(file)
        self._hold_to_promise(digest, hasher.digest)
        return hasher.size

    def add_bytes(self, content: bytes) -> Digest:
        """Keep *content*.

        Raises:
            TryAgainError: the disk takes no bytes.
        """
        digest = digest_of(content)
        if not (self.has(digest) and self._same(digest, content)):
            self._write(lambda file: file.write(content), expected=digest)
        return digest

    def add_file(self, source: Path, *, expected: Digest | None = None) -> Digest:
        """Keep a copy of the file at *source*.

        Raises:
            DigestMismatchError: its bytes are not *expected*; nothing is kept.
            TryAgainError: the disk takes no bytes.
        """
        with source.open("rb") as opened:
            return self._write(
                lambda file: shutil.copyfileobj(opened, file, CHUNK_BYTES), expected=expected
            )

    def remove(self, digest: Digest) -> None:
        """Remove the blob and what was half-fetched of it; none there is fine."""
        path = self.path(digest)
        path.unlink(missing_ok=True)
        part_path(path).unlink(missing_ok=True)
        sync_folder(path.parent)

    def sweep(self) -> None:
        """Remove what a killed process left half-added; called while nobody else adds."""
        for left in self.folder.glob(f"{UNFINISHED}*"):
            left.unlink(missing_ok=True)

    def _quarantine(self, digest: Digest) -> None:
        """Take the blob out of use and keep its bytes as evidence, up to QUARANTINED_MAX."""
        path = self.path(digest)
        folder = self.root / "quarantine"
        folder.mkdir(exist_ok=True)
        if sum(1 for _ in folder.iterdir()) < QUARANTINED_MAX:
            path.replace(folder / path.name)
            sync_folder(folder)
        else:
            path.unlink(missing_ok=True)
        sync_folder(path.parent)

    def _hold_to_promise(self, digest: Digest, found: Digest) -> None:
        if found != digest:
            with suppress(OSError):  # a stick that is read-only: refused all the same
                self._quarantine(digest)
            raise DigestMismatchError("blob on disk", expected=digest, found=found)

    def _same(self, digest: Digest, content: bytes) -> bool:
        with self.open(digest) as file:
            return file.read(len(content) + 1) == content

    def _write(self, fill: Callable[[BinaryIO], object], *, expected: Digest | None) -> Digest:
        """Fill a temporary file, hash what is in it, and give it its name."""
        with writing("blob"), temporary_file(self.folder) as (file, temporary):
            fill(file)
            file.seek(0)
            digest = Hasher.of(file).digest
            if expected is not None and digest != expected:
                raise DigestMismatchError("blob", expected=expected, found=digest)
            publish(file, temporary, self.path(digest))
        return digest
