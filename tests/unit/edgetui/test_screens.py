"""Each screen as text at 80x24 and 120x36, compared with `shown/`.

A screen that changed on purpose is written anew by deleting its file and running this once.
"""

from pathlib import Path

import pytest

from edgetui.present.words import width
from tests.unit.edgetui.made import Seat, seated

pytestmark = pytest.mark.anyio
SHOWN = Path(__file__).parent / "shown"
SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
# A tour: keys from the screen before, and a word that says that one is there.
TOUR = {
    "overview": ((), "NEEDS YOU"),
    "rollouts": (("f2",), "> ro-03"),
    "gateways": (("f3",), "41 min ?"),
    "gateway": (("down", "enter"), "p99 39"),
    "alarms": (("f4",), "> "),
    "alarm": (("enter",), "consequence  "),
    "audit": (("f6",), "rollout.planned"),
    "event": (("enter",), "previous  "),
    "help": (("f8", "question_mark"), "Keys of overview"),
    "rollout": (("escape", "2"), "cannot tell yet"),
    "label": (("f5",), "cavitation"),
    "approve": (("f2", "escape", "home", "e", "A"), "F9 sign"),
    "goto": (("escape", "f8", "ctrl+p"), "Go to"),
}


def all_healthy(seat: Seat) -> bool:
    """Whether each gateway in sight was read by itself."""
    feed = seat.desk.feed
    return bool(feed.in_sight) and all(feed.seen.gateways[s].health for s in feed.in_sight)


async def go(seat: Seat, keys: tuple[str, ...]) -> None:
    """Press the keys of a way, each when what it needs is there."""
    for key in keys:
        await seat.press(key)
        if key in {"f2", "f3", "f4"}:
            await seat.shows("> ")
        if key == "f3":
            await seat.until(lambda: all_healthy(seat), "health of those in sight")
            seat.app.draw_now()  # what the feed knows now, not what was drawn before
            await seat.pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_screens(tmp_path: Path, size: str) -> None:
    """Every screen looks as it did, and no line of it is wider than the window."""
    found = {}
    async with seated(tmp_path, size=SIZES[size]) as seat:
        for name, (keys, word) in TOUR.items():
            await go(seat, keys)
            await seat.shows(word)
            found[name] = seat.text() + "\n"
    for name, text in found.items():
        assert max(width(line) for line in text.splitlines()) <= SIZES[size][0]
        path = SHOWN / f"{name}-{size}.txt"
        if not path.exists():
            SHOWN.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            pytest.fail(f"{path.name} was not there; it was taken now: look at it and keep it")
        assert text == path.read_text(encoding="utf-8"), f"{name} at {size} looks different"
    assert not any(c in text for text in found.values() for c in "\x1b\u202e\x07")


async def test_without_glyphs(tmp_path: Path) -> None:
    """In ASCII mode priorities are [1] to [4], and every state word is still there."""
    async with seated(tmp_path, ascii_only=True) as seat:
        await seat.press("f4")
        await seat.shows("[1]", "UNACK", "shelved", "rtn-unk")
        assert "■" not in seat.text()


async def test_too_small(tmp_path: Path) -> None:
    """Below 60x20 there is one line about the size, and the alarm counts."""
    async with seated(tmp_path) as seat:
        await seat.pilot.resize_terminal(50, 12)
        await seat.shows("make the window larger", "alarms")
