"""The record survives a power cut at every step, and never comes back as something else."""

from pathlib import Path

import google_crc32c
import msgspec
import pytest

from edge_core.contracts.gateway import UpdateState
from edge_runtime.errors import StoreError
from edge_runtime.update.keeper import RecordKeeper
from edge_runtime.update.record import Attempt, Record
from edge_runtime.update.store import COPIES, RecordStore, decode, encode
from tests.simulators.disk import CuttableDisk, PowerCutError, WornDisk
from tests.unit.runtime.update.made import TRYING_C, assignment, desired, order, record

FOLDER = Path("/data/record")
STEPS = 3  # of one write: the file, its name, the folder


def written(count: int) -> CuttableDisk:
    """A disk to which *count* records went."""
    disk = CuttableDisk()
    store = RecordStore(FOLDER, disk)
    for _ in range(count):
        store.save(Record(boot_epoch=store.record.boot_epoch + 1))
    return disk


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize("cut_after", range(STEPS))
def test_power_cut(before: int, cut_after: int) -> None:
    """Whatever step a cut falls into, the old record or the new one is there, whole."""
    disk = written(before).reboot(cut_after)
    store = RecordStore(FOLDER, disk)
    with pytest.raises(PowerCutError):
        store.save(Record(boot_epoch=before + 1))
    found = RecordStore(FOLDER, disk.reboot()).record
    assert found.boot_epoch in {before, before + 1}
    assert found.sequence == found.boot_epoch


def test_two_cuts_in_a_row() -> None:
    """A cut while the record is written again after a cut loses nothing either."""
    for first in range(STEPS):
        for second in range(STEPS):
            disk = written(3).reboot(first)
            for cut_after in (second, None):
                store = RecordStore(FOLDER, disk)
                assert store.record.boot_epoch in {3, 4}
                with pytest.raises(PowerCutError):
                    store.save(Record(boot_epoch=4))
                disk = disk.reboot(cut_after)
            assert RecordStore(FOLDER, disk).record.boot_epoch in {3, 4}


def test_rotten_copy() -> None:
    """A copy that rotted is not believed; the other one is, and somebody hears of it."""
    disk = written(4)
    newest = max(COPIES, key=lambda name: _sequence(disk, name))
    disk.rot(FOLDER / newest)
    store = RecordStore(FOLDER, disk.reboot())
    assert store.record.sequence == 3
    assert f"found {newest} damaged" in store.damage
    assert "is forgotten" in RecordKeeper(store, lambda: 0.0).faults["record"]


@pytest.mark.parametrize("name", COPIES)
def test_unreadable_copy(name: str) -> None:
    """A bad sector under one copy stops no start; the next write takes that copy's place."""
    disk = WornDisk()
    for number in range(1, 5):
        RecordStore(FOLDER, disk).save(Record(boot_epoch=number))
    disk.unreadable = FOLDER / name
    store = RecordStore(FOLDER, disk)
    assert store.record.boot_epoch in {3, 4}
    assert f"found {name} unreadable (Input/output error)" in store.damage
    disk.unreadable = None
    store.save(Record(boot_epoch=5))
    again = RecordStore(FOLDER, disk)
    assert (again.record.boot_epoch, again.damage) == (5, "")


def test_missing_copy(tmp_path: Path) -> None:
    """After the first write there is one copy; later one that is gone was lost."""
    store = RecordStore(tmp_path)
    store.save(Record(boot_epoch=1))
    assert RecordStore(tmp_path).damage == ""
    for number in (2, 3):
        store.save(Record(boot_epoch=number))
    (tmp_path / COPIES[1]).unlink()
    assert f"found {COPIES[1]} missing" in RecordStore(tmp_path).damage


def test_both_rotten() -> None:
    """With no whole copy left the gateway says so instead of starting as a new one."""
    disk = written(4)
    for name in COPIES:
        disk.rot(FOLDER / name)
    with pytest.raises(StoreError, match="damaged"):
        RecordStore(FOLDER, disk.reboot())


def test_codec() -> None:
    """What was encoded is decoded; a prefix of it is not."""
    raw = encode(Record(sequence=7))
    assert decode(raw) == Record(sequence=7)
    assert decode(raw[:-1]) is None
    assert decode(b"") is None


def test_downgrade(tmp_path: Path) -> None:
    """The record of newer software, which knows more of everything, is read for what is known."""
    before = record(TRYING_C, Attempt(assignment=assignment("c"), state=UpdateState.TRIAL))
    told = desired(assignment("c"), rollback=order("b"))
    before = msgspec.structs.replace(before, sequence=1, desired=told, untold=[before.attempt])
    grown = msgspec.json.decode(msgspec.json.encode(before))
    attempts = [grown["attempt"], *grown["untold"]]
    known = [grown, grown["slots"], grown["desired"], *grown["entries"].values(), *attempts]
    for each in [*known, *(each["assignment"] for each in attempts)]:
        each["from_a_later_version"] = {"anything": [1]}
    raw = msgspec.json.encode(grown)
    (tmp_path / COPIES[0]).write_bytes(b"%08x\n" % google_crc32c.value(raw) + raw)
    store = RecordStore(tmp_path)
    assert (store.record, store.damage) == (before, "")


def test_real_disk(tmp_path: Path) -> None:
    """On a real file system a record comes back in the next process."""
    store = RecordStore(tmp_path)
    for number in range(3):
        store.save(Record(boot_epoch=number))
    assert RecordStore(tmp_path).record == store.record
    assert store.record.sequence == 3


def test_read_only(tmp_path: Path) -> None:
    """A folder that is not there is our own failure, in one line, and the record stays."""
    store = RecordStore(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(StoreError, match="cannot be written"):
        store.save(Record(boot_epoch=9))
    assert store.record == Record()


def _sequence(disk: CuttableDisk, name: str) -> int:
    raw = disk.read(FOLDER / name)
    found = None if raw is None else decode(raw)
    return -1 if found is None else found.sequence
