"""Which checkpoints are kept."""

from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.log import BLOCK, keep_note
from tests.unit.site_proxy.audit.logs import new_log


def kept(sizes: list[int], newest: int) -> list[int]:
    """What is left of checkpoints of *sizes* if the *newest* so many are kept."""
    db = new_log()
    for size in sizes:
        keep_note(db, size, f"log\n{size}\n", newest)
    left = [int(note.split("\n")[1]) for note in audit_log.notes(db)]
    db.close()
    return left


def test_newest_and_one_a_block() -> None:
    """The newest are kept all, of the older ones the first of each thousand entries."""
    sizes = list(range(250, 5 * BLOCK, 250))
    assert kept(sizes, 4) == [250, 1000, 2000, 3000, 4000, 4250, 4500, 4750]
    assert kept(sizes, 100) == sizes


def test_a_repeat_changes_nothing() -> None:
    """The same state signed again is the same checkpoint."""
    assert kept([5, 5, 6, 6, 7], 3) == [5, 6, 7]
