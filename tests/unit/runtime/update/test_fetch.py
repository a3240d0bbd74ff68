"""Room before bytes: what a download takes, what makes way for it, and what a kill leaves."""

import asyncio
import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest

from edge_core.contracts.artefact import Descriptor, Digest
from edge_core.contracts.errors import TryAgainError
from edge_core.contracts.gateway import Assignment
from edge_core.contracts.plant import SafetyClass
from edge_core.oci import BlobStore, Layout
from edge_core.oci.documents import Fetched
from edge_core.trust.policy import Trust
from edge_runtime.errors import AssignmentRefusedError, SiteUnreachableError
from edge_runtime.update.fetch import OVERHEAD_BYTES, Reservation, Shelf, Turns
from edge_runtime.update.record import Entry
from tests.simulators.releases import TARGET, Workshop
from tests.simulators.waiting import until

pytestmark = pytest.mark.anyio

AMPLE = 10**9
WAIT_S = 10.0


@dataclass(slots=True)
class Depot:
    """A workshop with releases, and a gateway's shelf on a disk of so many bytes.

    Attributes:
        capacity: of the disk; what lies in the folder is taken off.
        breaks_after: blobs that still come before the link breaks.
        blobs: what was fetched.
    """

    folder: Path
    workshop: Workshop
    capacity: int = AMPLE
    breaks_after: int = AMPLE
    blobs: list[Digest] = field(default_factory=list)
    looks: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    def below(cls, folder: Path) -> "Depot":
        """A new one."""
        workshop = Workshop.below(folder / "workshop")
        (folder / "policy.toml").write_text(workshop.policy())
        return cls(folder, workshop)

    @property
    def layout(self) -> Layout:
        """Where releases come from."""
        return self.workshop.layout

    @property
    def store(self) -> BlobStore:
        """What the gateway has."""
        return BlobStore(self.folder / "store")

    @property
    def shelf(self) -> Shelf:
        """The gateway's."""
        return Shelf(
            store=self.store,
            trust=Trust.load(self.folder / "policy.toml"),
            stage="production",
            safety_class=SafetyClass.NONE,
            targets=(TARGET,),
            reserve_bytes=1000,
            free_at=lambda _: self.capacity - self.used,
        )

    @property
    def used(self) -> int:
        """Bytes that lie in the store."""
        files = (each for each in (self.folder / "store").rglob("*") if each.is_file())
        return sum(each.stat().st_size for each in files)

    async def take(self, version: str, kept: tuple[Entry, ...] = ()) -> Entry:
        """Fetch a release."""
        release = self.workshop.releases[version]
        return await self.shelf.fetch(
            self, Assignment(release=release, attempt=1, rollout="r"), kept
        )

    # As a source: the layout, until the link breaks.

    async def manifest(self, reference: str) -> Fetched:
        """As the layout."""
        return await self.layout.manifest(reference)

    async def blob(self, descriptor: Descriptor, into: Path) -> None:
        """As the layout, as long as the link holds."""
        for look in self.looks:
            look()
        if len(self.blobs) >= self.breaks_after:
            part = into.with_name(f"{into.name}.part")
            raw = self.layout.blobs.path(descriptor.digest).read_bytes()
            part.write_bytes(raw[: len(raw) // 2])
            raise SiteUnreachableError("the link broke")
        self.blobs.append(descriptor.digest)
        await self.layout.blob(descriptor, into)

    async def referrers(
        self, subject: Digest, artifact_type: str | None = None
    ) -> list[Descriptor]:
        """As the layout."""
        return await self.layout.referrers(subject, artifact_type)

    async def tags(self) -> list[str]:
        """As the layout."""
        return await self.layout.tags()


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """With three releases."""
    made = Depot.below(tmp_path)
    for number in range(1, 4):
        made.workshop.release(str(number), leak=number / 10)
    return made


async def test_no_room(depot: Depot) -> None:
    """Without room for all of it and the reserve, no byte of it comes: FAILED_NO_CHANGE(space)."""
    depot.capacity = 1000 + OVERHEAD_BYTES - 1
    with pytest.raises(AssignmentRefusedError) as refused:
        await depot.take("1")
    assert refused.value.veto == "space"
    assert depot.blobs == []


async def test_l9_room_is_made(depot: Depot) -> None:
    """L9: what nobody needs goes before a download is refused; what is kept, stays."""
    one, two = await depot.take("1"), await depot.take("2")
    evidence = depot.folder / "store" / "quarantine" / "rotten"
    evidence.parent.mkdir()
    evidence.write_bytes(bytes(5000))
    depot.capacity = depot.used - 5000 - two.size_bytes // 4 + OVERHEAD_BYTES + 1000
    three = await depot.take("3", (one,))
    for entry in (one, three):
        depot.shelf.verify(entry)
    assert not set(two.blobs) & set(depot.store.digests()) - set(one.blobs) - set(three.blobs)
    assert not evidence.exists()


async def test_l9_or_it_says_so(depot: Depot) -> None:
    """L9: where even that is not enough, the reason is the room, and what is kept is whole."""
    one, two = await depot.take("1"), await depot.take("2")
    depot.capacity = depot.used + OVERHEAD_BYTES
    with pytest.raises(AssignmentRefusedError, match="bytes free"):
        await depot.take("3", (one, two))
    depot.shelf.verify(one)
    depot.shelf.verify(two)


async def test_resume(depot: Depot) -> None:
    """What came before the link broke is not fetched again, and survives a collection for room."""
    depot.breaks_after = 3
    with pytest.raises(SiteUnreachableError):
        await depot.take("1")
    before = list(depot.blobs)
    assert not (depot.folder / "store" / "reservation").exists()
    depot.blobs, depot.breaks_after = [], AMPLE
    entry = await depot.take("1")
    depot.shelf.verify(entry)
    again = set(before) & set(depot.blobs)
    assert all(depot.store.bytes_here(digest) > 0 for digest in again)


async def test_reserved_and_arrived(depot: Depot) -> None:
    """What is reserved and what has arrived are never more than the release: no byte twice."""
    held: list[int] = []
    depot.looks.append(lambda: held.append(depot.used))
    entry = await depot.take("1")
    assert len(held) > 3
    assert max(held) <= entry.size_bytes == depot.used


def test_reservation(tmp_path: Path) -> None:
    """The room is on the disk before the first byte, and each blob is given its share."""
    path = tmp_path / "reservation"
    with Reservation(path, {"a": 5000, "b": 3000}) as room:
        assert path.stat().st_size == 8000
        assert path.stat().st_blocks * 512 >= 8000
        room.give("a")
        assert path.stat().st_size == 3000
        room.give("b")
        room.give("b")
        assert path.stat().st_size == 0
    assert not path.exists()


async def test_what_a_kill_left(depot: Depot) -> None:
    """Half-written files of a killed process go with the next collection; whole ones stay."""
    one = await depot.take("1")
    blobs = depot.store.folder
    (blobs / ".adding-x").write_bytes(b"half")
    (blobs / f"{'0' * 64}.part").write_bytes(b"half")
    reserved = depot.folder / "store" / "reservation"
    reserved.write_bytes(bytes(9000))
    assert depot.shelf.collect((one,)) == 0
    assert not reserved.exists()
    assert {each.name for each in blobs.iterdir()} == {
        digest.removeprefix("sha256:") for digest in one.blobs
    }


async def test_a_disk_that_takes_nothing(depot: Depot) -> None:
    """A disk that fails before or in a download makes it wait; nothing else comes of it."""
    reserved = depot.folder / "store" / "reservation"
    (reserved / "in the way").mkdir(parents=True)
    with pytest.raises(TryAgainError, match=f"{reserved}: cannot be written"):
        await depot.take("1")
    assert depot.blobs == []
    with pytest.raises(TryAgainError, match="cannot be written"):
        depot.shelf.collect(())
    shutil.rmtree(reserved)

    def breaks() -> None:
        if reserved.is_file():
            reserved.unlink()
            reserved.mkdir()

    depot.looks.append(breaks)
    with pytest.raises(TryAgainError, match=f"{reserved}: cannot be written"):
        await depot.take("1")
    reserved.rmdir()
    depot.looks.clear()
    depot.shelf.verify(await depot.take("1"))


def test_a_reservation_that_the_disk_refuses(tmp_path: Path) -> None:
    """A disk that takes no file has not said that it has no room."""
    path = tmp_path / "reservation"
    path.mkdir()
    with pytest.raises(TryAgainError, match="Is a directory"), Reservation(path, {"a": 1}):
        pass


def test_a_disk_that_does_not_say(depot: Depot) -> None:
    """Room that nobody can tell of is none, and no error to whoever reports it."""

    def gone(_: Path) -> int:
        raise OSError(errno.EIO, "Input/output error")

    assert replace(depot.shelf, free_at=gone).free_bytes() == 0


async def test_a_cancelled_download_takes_nothing_away(depot: Depot) -> None:
    """A thread that a cancelled download left making room harms nothing of the next one."""
    stuck, go_on = Event(), Event()

    def slow(_: Path) -> int:
        if not stuck.is_set():
            stuck.set()
            go_on.wait(WAIT_S)
            return 0  # as if it had found none: everything that nobody needs must go
        return AMPLE

    shelf = replace(depot.shelf, free_at=slow)

    async def take(version: str) -> Entry:
        release = depot.workshop.releases[version]
        return await shelf.fetch(depot, Assignment(release=release, attempt=1, rollout="r"), ())

    async with asyncio.TaskGroup() as group:
        first = group.create_task(take("1"))
        await until(stuck.is_set, "it makes room")
        first.cancel()
        second = group.create_task(take("2"))
        asyncio.get_running_loop().call_later(0.2, go_on.set)
    await until(go_on.is_set, "the thread goes on")
    await asyncio.get_running_loop().shutdown_default_executor()
    shelf.verify(second.result())


def test_turns() -> None:
    """Of two turns the newer one counts."""
    turns = Turns()
    first, second = turns.take(), turns.take()
    with turns.held(first) as ours:
        assert not ours
    with turns.held(second) as ours:
        assert ours
