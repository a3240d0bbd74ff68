"""What a sink has yet to say survives a kill at any point, in order and to the byte."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.sinks.mqtt import still_to_say
from edge_runtime.unsaid import NOT_KEPT, SLOT_BYTES, SLOTS, Unsaid

KEEP, LET_GO, KILL = "keep", "let go", "kill"


def bodies(unsaid: Unsaid) -> list[bytes]:
    """What was left, oldest first."""
    return [body for _, body in unsaid.left]


@given(
    moves=st.lists(
        st.one_of(
            st.tuples(st.just(KEEP), st.binary(min_size=1, max_size=64)),
            st.tuples(st.just(LET_GO), st.integers(0, 5)),
            st.tuples(st.just(KILL), st.none()),
        ),
        max_size=30,
    )
)
def test_any_order_of_moves(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, object]]
) -> None:
    """A file that is opened anew has exactly what was kept and not let go, in that order."""
    path = tmp_path_factory.mktemp("unsaid") / "u"
    with ExitStack() as opened:
        unsaid = opened.enter_context(Unsaid(path))
        held: list[tuple[int, bytes]] = []
        for what, argument in moves:
            if isinstance(argument, bytes):
                held.append((unsaid.keep(argument), argument))
            elif what == KILL:
                unsaid = opened.enter_context(Unsaid(path))  # the old one is not closed before
                assert unsaid.left == held
            elif isinstance(argument, int) and argument < len(held):
                unsaid.let_go(held.pop(argument)[0])
        last = opened.enter_context(Unsaid(path))
        assert bodies(last) == [body for _, body in held]


def test_half_written_body_is_not_said(tmp_path: Path) -> None:
    """A power cut in the middle of a page costs that one and no other."""
    with Unsaid(tmp_path / "u") as unsaid:
        unsaid.keep(b"first")
        slot = unsaid.keep(b"second")
        unsaid.keep(b"third")
    torn = bytearray((tmp_path / "u").read_bytes())
    torn[slot * SLOT_BYTES + 17] ^= 0xFF
    (tmp_path / "u").write_bytes(bytes(torn))
    with Unsaid(tmp_path / "u") as unsaid:
        assert bodies(unsaid) == [b"first", b"third"]


def test_full_and_too_long(tmp_path: Path) -> None:
    """What does not fit stays in memory alone, and letting it go frees nobody else's slot."""
    with Unsaid(tmp_path / "u") as unsaid:
        assert unsaid.keep(b"x" * SLOT_BYTES) == NOT_KEPT
        unsaid.let_go(NOT_KEPT)
        assert NOT_KEPT not in {unsaid.keep(b"x") for _ in range(SLOTS)}
        assert unsaid.keep(b"y") == NOT_KEPT
        unsaid.let_go(7)
        assert unsaid.keep(b"y") == 7


def test_foreign_file(tmp_path: Path) -> None:
    """Bytes of something else are nobody's verdicts."""
    (tmp_path / "u").write_bytes(bytes(range(256)) * 64)
    with Unsaid(tmp_path / "u") as unsaid:
        assert not unsaid.left
        assert unsaid.keep(b"{}") != NOT_KEPT
    with Unsaid(tmp_path / "u") as unsaid:
        assert not still_to_say(unsaid)  # whole, and not a verdict of this version
