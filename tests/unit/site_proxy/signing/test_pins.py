"""PINs on a real disk: whose counts, what locks them, and where no trace of them is."""

import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_core.contracts.errors import EdgeError
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.signing.errors import PinChoiceError, PinLockedError, WrongPinError
from edge_site_proxy.signing.lock import FAILURES_MAX, LOCKED_S
from edge_site_proxy.signing.pins import Pins
from edge_site_proxy.signing.vault import Vault, VaultError
from edge_site_proxy.site import open_store
from edge_site_proxy.store import Store, StoreUnavailableError
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.connections import pragma

pytestmark = pytest.mark.anyio
FIRST, SECOND, WRONG = "271828", "314159", "161803"


@dataclass
class Office:
    """The PINs of a site."""

    pins: Pins
    store: Store
    clock: HandClock
    folder: Path

    async def events(self) -> list[tuple[str, str]]:
        """What the log says: who and what."""
        leaves = await self.store.read(lambda db: audit_log.leaves_after(db, -1, 1000))
        events = [audit_log.parse(bytes(leaf)) for leaf in leaves]
        return [(event.who, event.kind) for event in events]

    async def wrong(self, times: int) -> None:
        """Somebody tries."""
        for _ in range(times):
            with pytest.raises(WrongPinError):
                await self.pins.check("ana", WRONG)


@asynccontextmanager
async def office(folder: Path, clock: HandClock | None = None) -> AsyncIterator[Office]:
    """Opened twice it is the same."""
    clock = clock or HandClock()
    clocks = clock.clocks()
    async with open_store(folder / "site.db", now=clocks.now, clock=clocks.quality) as store:
        vault = Vault(folder / "pins")
        yield Office(await Pins.open(store, vault, clocks.monotonic), store, clock, folder)


def files(folder: Path) -> list[Path]:
    """The files of PINs."""
    return list((folder / "pins").iterdir())


def databases(folder: Path) -> list[bytes]:
    """What lies in the database and beside it."""
    return [path.read_bytes() for path in folder.glob("site.db*")]


async def test_set_and_checked(tmp_path: Path) -> None:
    """The right one passes, another one is refused and audited; none is wrong for everybody."""
    async with office(tmp_path) as here:
        with pytest.raises(WrongPinError, match="PIN of ana: expected one to be set, found none"):
            await here.pins.check("ana", FIRST)
        assert (await here.pins.set("ana", FIRST, None)).pin_set
        await here.pins.check("ana", FIRST)
        with pytest.raises(WrongPinError, match=r"PIN of ana: it is another one \(1 wrong"):
            await here.pins.check("ana", WRONG)
        with pytest.raises(WrongPinError, match="PIN of bob: expected one to be set"):
            await here.pins.check("bob", FIRST)
        assert await here.events() == [("ana", "pin.set"), ("ana", "pin.refused")]


async def test_changed_with_the_old_one(tmp_path: Path) -> None:
    """Who does not know the old one cannot set a new one; the old one then counts no more."""
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        for old, words in ((None, "expected the old one, found none"), (WRONG, "another one")):
            with pytest.raises(WrongPinError, match=words):
                await here.pins.set("ana", SECOND, old)
        await here.pins.set("ana", SECOND, FIRST)
        await here.pins.check("ana", SECOND)
        with pytest.raises(WrongPinError):
            await here.pins.check("ana", FIRST)
    assert len(files(tmp_path)) == 1


CHOSEN = {
    "digits that count up": ("123456", None),
    "one digit": ("000000", None),
    "the old one": (FIRST, FIRST),
}


@pytest.mark.parametrize("row", CHOSEN.values(), ids=CHOSEN.keys())
async def test_chosen(tmp_path: Path, row: tuple[str, str | None]) -> None:
    """A PIN that is tried first, or is no change, is refused."""
    new, old = row
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        with pytest.raises(PinChoiceError, match="expected 6 to 12 digits that are not"):
            await here.pins.set("ana", new, old)
        await here.pins.check("ana", FIRST)


async def test_locked(tmp_path: Path) -> None:
    """After five wrong ones none is looked at, for a time that no wall clock shortens."""
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        await here.wrong(FAILURES_MAX)
        here.clock.jump(10 * LOCKED_S)
        for call in (here.pins.check("ana", FIRST), here.pins.set("ana", SECOND, FIRST)):
            with pytest.raises(PinLockedError, match="none is looked at for 15 min; an admin can"):
                await call
        assert here.pins.view("ana").locked_s == LOCKED_S
        here.clock.turn(LOCKED_S)
        await here.wrong(1)
        with pytest.raises(PinLockedError):
            await here.pins.check("ana", FIRST)
        here.clock.turn(LOCKED_S)
        await here.pins.check("ana", FIRST)
        await here.wrong(FAILURES_MAX - 1)
        await here.pins.check("ana", FIRST)
        kinds = [kind for _, kind in await here.events()]
        assert kinds[1:7] == ["pin.refused"] * 4 + ["pin.locked"] * 2
        assert kinds[7:] == ["pin.accepted", *["pin.refused"] * 4, "pin.accepted"]


async def test_a_restart_unlocks_nothing(tmp_path: Path) -> None:
    """Whoever can have the daemon restarted gains no try; the lock then begins anew."""
    clock = HandClock()
    async with office(tmp_path, clock) as here:
        await here.pins.set("ana", FIRST, None)
        await here.wrong(FAILURES_MAX)
    clock.turn(LOCKED_S / 2)
    async with office(tmp_path, clock) as here:
        assert here.pins.view("ana").locked_s == LOCKED_S
        with pytest.raises(PinLockedError):
            await here.pins.check("ana", FIRST)
        clock.turn(LOCKED_S)
        await here.pins.check("ana", FIRST)


async def test_reset(tmp_path: Path) -> None:
    """An admin takes a PIN and its lock away; the person sets a new one without the old."""
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        await here.wrong(FAILURES_MAX)
        view = await here.pins.reset("root", "ana", "forgot it, seen in person")
        assert (view.user, view.pin_set, view.locked_s) == ("ana", False, 0.0)
        with pytest.raises(WrongPinError, match="found none"):
            await here.pins.check("ana", FIRST)
        await here.pins.set("ana", SECOND, None)
        await here.pins.check("ana", SECOND)
        assert ("root", "pin.reset") in await here.events()
    assert len(files(tmp_path)) == 1


async def test_no_trace(tmp_path: Path) -> None:
    """Neither PIN nor hash is in database or log; the file is the daemon's alone."""
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        await here.wrong(1)
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    secrets = [file.read_bytes()[20:60], FIRST.encode(), WRONG.encode()]
    for raw in databases(tmp_path):
        assert not [each for each in secrets if each in raw]
    assert FIRST.encode() not in file.read_bytes()


BROKEN: dict[str, Callable[[Path], object]] = {
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "of another make": lambda file: file.write_bytes(b'{"salt": "AAAA"}'),
    "that would take all memory": lambda file: file.write_bytes(
        file.read_bytes().replace(b'"n":32768', b'"n":1073741824')
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_file_that_is_broken(tmp_path: Path, name: str) -> None:
    """It is nobody's PIN, and counts as no wrong one."""
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        (file,) = files(tmp_path)
        BROKEN[name](file)
        with pytest.raises(VaultError, match="expected a salt and a hash"):
            await here.pins.check("ana", FIRST)
        await here.pins.reset("root", "ana", "the disk lost it")
        await here.pins.set("ana", SECOND, None)
        await here.pins.check("ana", SECOND)


async def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """A wrong PIN that cannot be audited is counted all the same."""
    async with office(tmp_path) as here:
        await here.pins.set("ana", FIRST, None)
        await pragma(here.store, "query_only = ON")
        for _ in range(FAILURES_MAX):
            with pytest.raises(EdgeError) as refused:
                await here.pins.check("ana", WRONG)
            assert isinstance(refused.value, StoreUnavailableError)
        with pytest.raises(PinLockedError):
            await here.pins.check("ana", FIRST)
