"""A blob on its way: cut anywhere, go on, and only the right bytes get the name."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.artefact import Descriptor
from edge_core.contracts.errors import RefusedError, TryAgainError, UnreachableError
from edge_core.oci import DigestMismatchError, digest_of
from edge_core.oci.part import is_complete, open_part, part_path

CONTENT = bytes(range(256)) * 40


def _descriptor(content: bytes = CONTENT) -> Descriptor:
    return Descriptor(media_type="x", digest=digest_of(content), size=len(content))


@settings(max_examples=25, deadline=None)  # every example flushes a file
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=5))
def test_cut_anywhere(cuts: list[int]) -> None:
    """However often and wherever it breaks off, the same bytes end up under the name."""
    with TemporaryDirectory() as folder:
        final = Path(folder) / "blob"
        for cut in [*sorted(cuts), len(CONTENT)]:
            with open_part(_descriptor(), final) as part:
                part.write(CONTENT[part.size : cut])
                if cut == len(CONTENT):
                    part.finish()
                else:
                    with pytest.raises(UnreachableError):
                        part.finish()
                    assert not final.exists()
                    continue
            break
        assert final.read_bytes() == CONTENT
        assert not part_path(final).exists()


@settings(max_examples=25, deadline=None)
@given(rotten=st.integers(0, len(CONTENT) - 1), cut=st.integers(1, len(CONTENT)))
def test_rot_in_what_had_arrived(rotten: int, cut: int) -> None:
    """A bit that flips in the arrived part is found at the end, and the name stays free."""
    with TemporaryDirectory() as folder:
        final = Path(folder) / "blob"
        changed = bytearray(CONTENT)
        changed[rotten] ^= 1
        part_path(final).write_bytes(changed[:cut])
        with open_part(_descriptor(), final) as part:
            part.write(CONTENT[part.size :])
            if rotten < cut:
                assert part.rotten
                with pytest.raises(DigestMismatchError):
                    part.finish()
                assert not final.exists()
                assert part.size == 0
            else:
                part.finish()
                assert final.read_bytes() == CONTENT


def test_more_than_promised(tmp_path: Path) -> None:
    """One byte too many is refused before it is written."""
    with open_part(_descriptor(), tmp_path / "blob") as part:
        part.write(CONTENT)
        with pytest.raises(RefusedError, match="found more"):
            part.write(b"+")
    assert part_path(tmp_path / "blob").stat().st_size == 0


def test_a_part_longer_than_the_whole_is_dropped(tmp_path: Path) -> None:
    """What lies there for another size is of no use."""
    part_path(tmp_path / "blob").write_bytes(CONTENT + b"+")
    with open_part(_descriptor(), tmp_path / "blob") as part:
        assert part.size == 0


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second one who wants to fetch the same is told to come later."""
    with (
        open_part(_descriptor(), tmp_path / "blob"),
        pytest.raises(TryAgainError, match="somebody else"),
        open_part(_descriptor(), tmp_path / "blob"),
    ):
        pass
    with open_part(_descriptor(), tmp_path / "blob") as part:
        assert part.size == 0


def test_the_empty_blob(tmp_path: Path) -> None:
    """Nothing is a blob too."""
    with open_part(_descriptor(b""), tmp_path / "blob") as part:
        part.finish()
    assert (tmp_path / "blob").read_bytes() == b""


def test_what_cannot_be_read_is_not_complete(tmp_path: Path) -> None:
    """A whole that the disk does not give back is fetched again."""
    (tmp_path / "blob").mkdir()
    assert not is_complete(_descriptor(), tmp_path / "blob")
