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
from edge_core.oci.disk import UNFINISHED, publish, reading, sync_folder, temporary_file, writing
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
        """Where the blobs lie; it exists.

        Raises:
            TryAgainError: it does not, and the disk does not take it.
        """
        folder = self.root / "blobs" / "sha256"
        with writing(str(folder)):
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
        with suppress(OSError):
            return self.path(digest).is_file()
        return False

    def bytes_here(self, digest: Digest) -> int:
        """How many bytes of the blob have arrived, unverified: progress, for people."""
        path = self.path(digest)
        for arrived in (path, part_path(path)):
            with suppress(OSError):
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
            RefusedError: something else than a file is in its place, or the disk fails.
            TryAgainError: this process cannot open it now.
        """
        path = self.path(digest)

        def opened(_: str, flags: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW)

        with reading(f"blob {digest}"):
            try:
                return open(path, "rb", opener=opened)
            except FileNotFoundError:
                raise NotFoundError(f"blob {digest}: not in {self.root}") from None

    def read(self, digest: Digest, *, bytes_max: int = MANIFEST_BYTES_MAX) -> bytes:
        """The bytes of a small blob, verified.

        Raises:
            NotFoundError: it is not here.
            RefusedError: it has more than *bytes_max* bytes, or the disk does not give them back.
            DigestMismatchError: other bytes than promised; the blob is quarantined.
        """
        with self.open(digest) as file, reading(f"blob {digest}"):
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise RefusedError(f"blob {digest}: expected at most {bytes_max} bytes, found more")
        self._hold_to_promise(digest, digest_of(content))
        return content

    def verify(self, digest: Digest) -> int:
        """Read the blob from disk and check every byte; its size in bytes.

        Raises:
            NotFoundError: it is not here.
            RefusedError: the disk does not give the bytes back.
            DigestMismatchError: other bytes than promised; the blob is quarantined.
        """
        with self.open(digest) as file, reading(f"blob {digest}"):
            hasher = Hasher.of(file)
        self._hold_to_promise(digest, hasher.digest)
        return hasher.size

    def add_bytes(self, content: bytes) -> Digest:
        """Keep *content*.

        Raises:
            TryAgainError: the disk takes no bytes.
        """
        digest = digest_of(content)
        if not self._same(digest, content):
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
        """Remove the blob and what was half-fetched of it; none there is fine.

        Raises:
            TryAgainError: the disk does not take that.
        """
        path = self.path(digest)
        with writing(f"blob {digest}"):
            path.unlink(missing_ok=True)
            part_path(path).unlink(missing_ok=True)
            sync_folder(path.parent)

    def sweep(self) -> None:
        """Remove what a killed process left half-added; called while nobody else adds.

        Raises:
            TryAgainError: the disk does not take that.
        """
        with writing(str(self.root)):
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
        """Whether *content* is here already; where the disk does not say, it is written anew."""
        try:
            with self.open(digest) as file, reading(f"blob {digest}"):
                return file.read(len(content) + 1) == content
        except (NotFoundError, RefusedError):
            return False

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
