"""A gateway remembers the site's audit log, and says so when it is shown another."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gateway import Checkpoint
from edge_runtime.witness import KEPT_S, Seen, Witness, load, weighed
from tests.unit.runtime.heard import Heard

pytestmark = pytest.mark.anyio


def shown(size: int, log: str = "the log") -> Checkpoint:
    """The checkpoint of *log* when it had *size* entries."""
    root = base64.b64encode(hashlib.sha256(f"{log} {size}".encode()).digest()).decode()
    return Checkpoint(
        size=size, note=f"edge-site/P1\n{size}\n{root}\n\n\u2014 edge-site/P1 c2ln\n"
    )


@dataclass(frozen=True)
class Row:
    """What is kept, what is shown, what was known when the site was asked, and what becomes."""

    kept: Checkpoint | None
    shown: Checkpoint
    floor: int
    then: Checkpoint | None
    wrong: str = ""
    contradicts: bool = False


BACK = "the site's audit log went back"
CASES = {
    "the first is kept": Row(None, shown(5), 0, shown(5)),
    "a larger one replaces it": Row(shown(5), shown(6), 5, shown(6)),
    "the same again changes nothing": Row(shown(5), shown(5), 5, shown(5)),
    "a smaller one never replaces it": Row(
        shown(5), shown(4), 5, shown(5), BACK, contradicts=True
    ),
    "an empty log does not either": Row(shown(5), shown(0), 5, shown(5), BACK, contradicts=True),
    "another log of the same size": Row(
        shown(5), shown(5, "another"), 5, shown(5), "two logs of 5", contradicts=True
    ),
    "an answer that a later one overtook is no lie": Row(shown(5), shown(4), 4, shown(5)),
    "an overtaken answer of another log is one": Row(
        shown(5), shown(5, "another"), 4, shown(5), "two logs", contradicts=True
    ),
    "a note of another size is none": Row(
        shown(5), Checkpoint(size=9, note=shown(7).note), 5, shown(5), "expected one of 9"
    ),
    "a text that is no note": Row(None, Checkpoint(size=9, note="9"), 0, None, "another text"),
    "a root that is no root": Row(
        None, Checkpoint(size=9, note="n\n9\nabc=\n\n\u2014 n x\n"), 0, None, "another text"
    ),
    "a root that is too short": Row(
        None, Checkpoint(size=9, note="n\n9\nAAAA\n\n\u2014 n x\n"), 0, None, "another text"
    ),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_weighed(row: Row) -> None:
    """The larger one stays, and what contradicts it is said and kept beside it."""
    seen, wrong = weighed(Seen(checkpoint=row.kept), row.shown, row.floor)
    assert seen.checkpoint == row.then
    assert (wrong == "") == (row.wrong == "")
    assert row.wrong in wrong
    expected = (row.kept, row.shown) if row.contradicts else None
    assert seen.contradiction == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["one", "other"]))))
def test_any_order(answers: list[tuple[int, str]]) -> None:
    """In whatever order: the size never falls, and one log alone never contradicts itself."""
    seen, size = Seen(), 0
    for entries, log in answers:
        seen, _ = weighed(seen, shown(entries, log), 0)
        assert seen.checkpoint is not None
        assert seen.checkpoint.size >= size
        size = seen.checkpoint.size
    assert len({log for _, log in answers}) == 2 or seen.contradiction is None


def test_first_contradiction_stays() -> None:
    """A log that grew past the lie takes the fault away, and never the evidence."""
    seen, _ = weighed(Seen(checkpoint=shown(5)), shown(3), 5)
    seen, _ = weighed(seen, shown(2), 5)
    seen, wrong = weighed(seen, shown(8), 5)
    assert (seen.checkpoint, wrong) == (shown(8), "")
    assert seen.contradiction == (shown(5), shown(3))


class HandTime:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.s


async def test_on_disk(tmp_path: Path) -> None:
    """The first is kept at once, then one in five minutes, a permit's and a lie at once."""
    path, now, heard = tmp_path / "witness.json", HandTime(), Heard()
    witness = Witness(path, heard, now)
    assert (witness.floor, load(path)) == (0, Seen())
    for size, after_s, at_once, kept in (
        (5, 0.0, False, 5),
        (6, KEPT_S - 1, False, 5),
        (7, KEPT_S, False, 7),
        (8, KEPT_S + 1, True, 8),
        (9, KEPT_S + 2, False, 8),
    ):
        now.s = after_s
        await witness.take(shown(size), witness.floor, at_once=at_once)
        assert load(path).checkpoint == shown(kept)
    await witness.take(shown(4), witness.floor, at_once=False)
    assert BACK in heard.standing["audit log"]
    again = Witness(path, heard, now)
    assert again.floor == 9
    assert again.seen.contradiction == (shown(9), shown(4))
    await again.take(None, again.floor, at_once=True)
    await again.take(shown(10), again.floor, at_once=False)
    assert heard.standing == {}
    assert again.seen.contradiction == (shown(9), shown(4))


async def test_disk_that_takes_nothing(tmp_path: Path) -> None:
    """Then the gateway remembers while it runs, and says so until the disk takes it."""
    folder, heard = tmp_path / "not-there", Heard()
    witness = Witness(folder / "witness.json", heard, HandTime())
    await witness.take(shown(5), 0, at_once=True)
    assert set(heard.standing) == {"witness"}
    assert witness.floor == 5
    folder.mkdir()
    await witness.take(shown(6), witness.floor, at_once=True)
    assert heard.standing == {}
    assert load(folder / "witness.json").checkpoint == shown(6)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"checkpoint": {"size": -1}}'])
def test_damaged_file(tmp_path: Path, raw: bytes) -> None:
    """What cannot be read is left aside, and the next checkpoint is the first."""
    (tmp_path / "witness.json").write_bytes(raw)
    assert load(tmp_path / "witness.json") == Seen()
