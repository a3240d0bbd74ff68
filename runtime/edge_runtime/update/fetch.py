"""Brings an assigned release onto the disk: room first, then signatures, then bytes, then proof.

What broke off goes on where it was. Nothing is called verified before every byte was read back
from the disk.
"""

import asyncio
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge_core.contracts.artefact import Descriptor, Digest, Target
from edge_core.contracts.gateway import Assignment
from edge_core.contracts.plant import SafetyClass
from edge_core.oci.pull import Progress, look_up, pull_release
from edge_core.oci.source import Source
from edge_core.oci.store import BlobStore
from edge_core.trust.policy import Trust
from edge_runtime.errors import AssignmentRefusedError
from edge_runtime.update.record import Entry
from edge_runtime.update.release import choose, entry_from_disk, trusted


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where releases lie on this gateway, and under which rules they come there.

    Attributes:
        store: the blobs.
        trust: the site's policy.
        stage: which of its rules hold here.
        safety_class: likewise.
        targets: what this gateway can run, best first.
        reserve_bytes: free room that no download may touch.
    """

    store: BlobStore
    trust: Trust
    stage: str
    safety_class: SafetyClass
    targets: tuple[Target, ...]
    reserve_bytes: int

    async def fetch(self, source: Source, assignment: Assignment) -> Entry:
        """Bring the release here and prove it from disk.

        Raises:
            AssignmentRefusedError: it cannot run here, or there is no room for it.
            RefusedError: it does not verify.
            EdgeError: as `Source`; the same call later goes on.
        """
        release = assignment.release
        check = trusted(self.trust, self.stage, self.safety_class, release)
        offer = await look_up(source, release.digest, self.store)
        check(offer)
        chosen = choose(offer.release, self.targets)
        manifest = (await source.manifest(chosen.digest)).manifest()
        missing = await asyncio.to_thread(self._missing, (manifest.config, *manifest.layers))
        with Reservation(self.store.root / "reservation", missing, self.reserve_bytes) as room:
            pulled = await pull_release(
                source,
                release.digest,
                self.store,
                verify=check,
                wanted=lambda entry: entry.digest == chosen.digest,
                progress=room.shrink,
            )
        return await asyncio.to_thread(
            entry_from_disk, self.store, pulled, check, assignment.attempt
        )

    def collect(self, kept: Iterable[Entry]) -> int:
        """Remove every blob that no kept entry needs; how many went. Blocks."""
        needed: set[Digest] = {digest for entry in kept for digest in entry.blobs}
        gone = [digest for digest in self.store.digests() if digest not in needed]
        for digest in gone:
            self.store.remove(digest)
        for part in self.store.folder.glob("*.part"):
            part.unlink(missing_ok=True)
        return len(gone)

    def free_bytes(self) -> int:
        """Room on the disk."""
        return shutil.disk_usage(self.store.folder).free

    def _missing(self, blobs: Iterable[Descriptor]) -> int:
        return sum(
            max(0, blob.size - self.store.bytes_here(blob.digest))
            for blob in {blob.digest: blob for blob in blobs}.values()
        )


class Reservation:
    """Room on the disk that is ours until the bytes come; given back as they do.

    Raises:
        AssignmentRefusedError: there is not enough, the reserve counted.
    """

    def __init__(self, path: Path, size_bytes: int, reserve_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < size_bytes + reserve_bytes:
            raise AssignmentRefusedError(
                "space",
                f"expected {size_bytes + reserve_bytes} bytes free ({reserve_bytes} of them "
                f"as reserve), found {free}",
            )

    def __enter__(self) -> Self:
        if self._size_bytes > 0:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._size_bytes)
            except OSError as error:
                self._path.unlink(missing_ok=True)
                raise AssignmentRefusedError(
                    "space", f"{self._size_bytes} bytes cannot be reserved: {error.strerror}"
                ) from error
            finally:
                os.close(handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def shrink(self, progress: Progress) -> None:
        """Give back what has arrived meanwhile."""
        left = max(0, min(self._size_bytes, progress.bytes_total - progress.bytes_done))
        if self._path.exists():
            os.truncate(self._path, left)
