"""A board that lacks what makes it one is not made, and mypy says so before."""

import time
from pathlib import Path

import pytest

from edgetui.app import desk_for
from edgetui.link import Link
from edgetui.screens.board import Board
from edgetui.screens.listing import ListingBoard


class Blank(Board):
    """Does not say what its body shows."""


class Unlisted(ListingBoard[str]):
    """Shows rows, and has none."""


def test_not_made(tmp_path: Path) -> None:
    """A screen without a body, or a table without rows, fails when it is made and not at a key."""
    desk = desk_for(tmp_path / "none.sock", Link(time.monotonic), low=False, ascii_only=False)
    with pytest.raises(TypeError, match=r"abstract method.*build"):
        Blank(desk)  # type: ignore[abstract]  # it fails at once, which is what is shown
    with pytest.raises(TypeError, match=r"abstract method.*listing"):
        Unlisted(desk)  # type: ignore[abstract]  # likewise
