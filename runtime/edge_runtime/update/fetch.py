"""Brings an assigned release onto the disk: room first, then signatures, then bytes, then proof.

What broke off goes on where it was. Nothing is called verified before every byte was read back
from the disk.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Self

from edge_core.contracts.artefact import Descriptor, Digest, Target
from edge_core.contracts.errors import TryAgainError
from edge_core.contracts.gateway import Assignment
from edge_core.contracts.plant import SafetyClass
from edge_core.oci.disk import writing
from edge_core.oci.documents import Fetched
from edge_core.oci.pull import Limits, Offer, look_up, pull_release
from edge_core.oci.source import Source
from edge_core.oci.store import BlobStore
from edge_core.trust.policy import Trust
from edge_runtime.errors import AssignmentRefusedError
from edge_runtime.update.record import Entry
from edge_runtime.update.release import choose, entry_from_disk, trusted

MIB: Final = 1024 * 1024
LIMITS: Final = Limits(attachments_max=32, attachment_bytes_max=4 * MIB)
OVERHEAD_BYTES: Final = 256 * 1024  # manifests, signatures, and what a file system rounds up
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Turns:
    """One download after the other, though the thread of one that was cancelled may still run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest = 0

    def take(self) -> int:
        """A turn; every one before it is over."""
        self._newest += 1
        return self._newest

    @contextmanager
    def held(self, turn: int) -> Iterator[bool]:
        """Keep the next download waiting; whether it is still this turn."""
        with self._lock:
            yield turn == self._newest


@dataclass(slots=True)
class Shelf:
    """Where releases lie on this gateway, and under which rules they come there.

    Attributes:
        store: the blobs.
        trust: the site's policy; another one counts at once, also for a download under way.
        stage: which of its rules hold here.
        safety_class: likewise.
        targets: what this gateway can run, best first.
        reserve_bytes: free room that no download may touch.
        free_at: how much room the disk of a folder has.
        turns: whose download it is.
    """

    store: BlobStore
    trust: Trust
    stage: str
    safety_class: SafetyClass
    targets: tuple[Target, ...]
    reserve_bytes: int
    free_at: Callable[[Path], int] = _free
    turns: Turns = field(default_factory=Turns)

    async def fetch(self, source: Source, assignment: Assignment, kept: Iterable[Entry]) -> Entry:
        """Bring the release here and prove it from disk.

        Raises:
            AssignmentRefusedError: it cannot run here, or there is no room for it.
            RefusedError: it does not verify.
            TryAgainError: the disk takes nothing; the same call later goes on.
            EdgeError: as `Source`; likewise.
        """
        release = assignment.release

        def check(offer: Offer) -> tuple[str, ...]:
            return trusted(self.trust, self.stage, self.safety_class, release)(offer)

        turn = self.turns.take()
        self._forget_reserved()  # of a download that was killed
        # What is signed comes first and is small; the model comes after there is room for it.
        await asyncio.to_thread(self._make_room, turn, OVERHEAD_BYTES, kept, frozenset())
        offer = await look_up(source, release.digest, self.store, limits=LIMITS)
        check(offer)
        chosen = choose(offer.release, self.targets)
        manifest = (await source.manifest(chosen.digest)).manifest()
        blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
        wanted = {offer.index.digest, chosen.digest, *blobs, *_attached(offer)}
        missing = await asyncio.to_thread(self._room_for, turn, blobs.values(), kept, wanted)
        with Reservation(self._reserved, missing) as room:
            pulled = await pull_release(
                Roomy(source, room),
                release.digest,
                self.store,
                verify=check,
                wanted=lambda entry: entry.digest == chosen.digest,
                limits=LIMITS,
            )
        return await asyncio.to_thread(
            entry_from_disk, self.store, pulled, check, assignment.attempt
        )

    def collect(self, kept: Iterable[Entry], wanted: AbstractSet[Digest] = frozenset()) -> int:
        """Remove every blob that is neither wanted nor needed by a kept entry; how many went.

        Whatever a killed process left half-done goes too. Blocks.

        Raises:
            TryAgainError: the disk does not take that.
        """
        needed = {digest for entry in kept for digest in entry.blobs} | wanted
        with writing(str(self.store.root)):
            gone = [digest for digest in self.store.digests() if digest not in needed]
            for digest in gone:
                self.store.remove(digest)
            names = {digest.removeprefix("sha256:") for digest in wanted}
            for part in self.store.folder.glob("*.part"):
                if part.stem not in names:
                    part.unlink(missing_ok=True)
        self.store.sweep()
        self._forget_reserved()
        return len(gone)

    def verify(self, entry: Entry) -> None:
        """Read every byte of an entry back from disk. Blocks.

        Raises:
            RefusedError: a byte is not what it must be.
            NotFoundError: a blob is gone.
        """
        for digest in entry.blobs:
            self.store.verify(digest)

    def free_bytes(self) -> int:
        """Room on the disk; none where it does not say."""
        with suppress(OSError, TryAgainError):
            return self.free_at(self.store.folder)
        return 0

    @property
    def _reserved(self) -> Path:
        return self.store.root / "reservation"

    def _forget_reserved(self) -> None:
        with writing(str(self._reserved)):
            self._reserved.unlink(missing_ok=True)

    def _room_for(
        self,
        turn: int,
        blobs: Iterable[Descriptor],
        kept: Iterable[Entry],
        wanted: AbstractSet[Digest],
    ) -> dict[Digest, int]:
        """How many bytes of each blob are to come; there is room for them."""
        here = self.store.bytes_here
        missing = {blob.digest: max(0, blob.size - here(blob.digest)) for blob in blobs}
        self._make_room(turn, sum(missing.values()) + OVERHEAD_BYTES, kept, wanted)
        return missing

    def _make_room(
        self, turn: int, size_bytes: int, kept: Iterable[Entry], wanted: AbstractSet[Digest]
    ) -> None:
        """See to it that so much is free beside the reserve; what nobody needs goes if it must.

        Nothing goes where the *turn* is over: what a newer download brings is not known here.

        Raises:
            AssignmentRefusedError: even so there is not enough.
            TryAgainError: the disk takes nothing.
        """
        with self.turns.held(turn) as ours:
            if ours and self.free_bytes() < size_bytes + self.reserve_bytes:
                self.collect(kept, wanted)
                shutil.rmtree(self.store.root / "quarantine", ignore_errors=True)
        free = self.free_bytes()
        if free < size_bytes + self.reserve_bytes:
            raise AssignmentRefusedError(
                "space",
                f"expected {size_bytes + self.reserve_bytes} bytes free ({self.reserve_bytes} of "
                f"them as reserve), found {free}",
            )


def _attached(offer: Offer) -> set[Digest]:
    """Signatures and bills of material: the documents, and what they hold."""
    found = {each.digest for each in offer.attachments}
    for each in offer.attachments:
        document = each.manifest()
        found |= {blob.digest for blob in (document.config, *document.layers)}
    return found


class Reservation:
    """Room on the disk that is ours until the bytes come; each blob is given its share.

    Args:
        path: a file that holds the room.
        shares: how many bytes each blob needs.
    """

    def __init__(self, path: Path, shares: Mapping[Digest, int]) -> None:
        self._path = path
        self._shares = dict(shares)

    def __enter__(self) -> Self:
        """Take the room.

        Raises:
            AssignmentRefusedError: the disk does not have it.
            TryAgainError: the disk takes nothing.
        """
        size_bytes = sum(self._shares.values())
        if size_bytes > 0:
            with writing(str(self._path)):
                self._take(size_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def give(self, digest: Digest) -> None:
        """Let the bytes of this blob have their share: they are about to come.

        Raises:
            TryAgainError: the disk takes nothing.
        """
        self._shares.pop(digest, None)
        with writing(str(self._path)):
            if self._path.exists():
                os.truncate(self._path, sum(self._shares.values()))

    def _take(self, size_bytes: int) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size_bytes)
        except OSError as error:
            self._forget()
            if error.errno not in _NO_ROOM:
                raise
            raise AssignmentRefusedError(
                "space", f"{size_bytes} bytes cannot be reserved: {error.strerror}"
            ) from error
        finally:
            os.close(handle)

    def _forget(self) -> None:
        # A disk that takes nothing keeps it until the next download, which begins without it.
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Roomy:
    """A source whose blobs take the room that was reserved for them."""

    source: Source
    room: Reservation

    async def manifest(self, reference: str) -> Fetched:
        """See `Source.manifest`."""
        return await self.source.manifest(reference)

    async def blob(self, descriptor: Descriptor, into: Path) -> None:
        """See `Source.blob`."""
        self.room.give(descriptor.digest)
        await self.source.blob(descriptor, into)

    async def referrers(
        self, subject: Digest, artifact_type: str | None = None
    ) -> list[Descriptor]:
        """See `Source.referrers`."""
        return await self.source.referrers(subject, artifact_type)

    async def tags(self) -> list[str]:
        """See `Source.tags`."""
        return await self.source.tags()
