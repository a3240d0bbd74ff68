"""Snapshots that the site orders: each once, and one that the disk refuses is said to be."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_core.contracts.errors import TryAgainError
from edge_runtime.snapshot import FAULT, LOOK_S, RETRY_S, TRIES, take_wanted
from tests.unit.runtime.heard import Heard

pytestmark = pytest.mark.anyio


class OverError(Exception):
    """The story is over."""


@dataclass(slots=True)
class Story:
    """What is wanted at each look, and which tries the disk takes.

    Attributes:
        looks: the name that is wanted, look by look.
        refuses: how many tries the disk refuses first.
        tried: the names, try by try.
        pauses: before each look, seconds.
    """

    looks: list[str | None]
    refuses: int = 0
    tried: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    heard: Heard = field(default_factory=Heard)

    async def pause(self, seconds: float) -> None:
        """On to the next look, or over."""
        if not self.looks:
            raise OverError
        self.pauses.append(seconds)

    async def take(self, name: str) -> Path:
        """Take it, if the disk does."""
        self.tried.append(name)
        if len(self.tried) <= self.refuses:
            raise TryAgainError("/data/snapshots: cannot be written: Read-only file system")
        return Path(name)

    async def play(self) -> "Story":
        """To its end."""
        with pytest.raises(OverError):
            await take_wanted(lambda: self.looks.pop(0), self.take, self.heard, self.pause)
        return self


async def test_each_once() -> None:
    """What is wanted for long is taken once; another name is another snapshot."""
    story = await Story([None, "a", "a", "a", "b", None, "b"]).play()
    assert story.tried == ["a", "b"]
    assert story.heard.ever == []
    assert set(story.pauses) == {LOOK_S}


async def test_a_disk_that_refuses() -> None:
    """It is said which one and why, and tried again; once it is taken all is well."""
    story = await Story(["a"] * 4, refuses=2).play()
    assert story.tried == ["a", "a", "a"]
    assert story.pauses == [LOOK_S, RETRY_S, RETRY_S, LOOK_S]
    assert story.heard.ever[0].startswith("snapshot a: /data/snapshots: cannot be written")
    assert story.heard.standing == {}


async def test_not_for_ever() -> None:
    """After some tries it is given up, and the fault stands until another one is taken."""
    story = await Story(["a"] * 9, refuses=100).play()
    assert len(story.tried) == TRIES
    assert f"tried {TRIES} of {TRIES} times" in story.heard.standing[FAULT]
    again = await Story([*["a"] * 6, "b"], refuses=TRIES).play()
    assert again.tried == ["a"] * TRIES + ["b"]
    assert again.heard.standing == {}
