"""A console at a simulated site, for tests: clocks to turn, screens as text, waits that end."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from edgetui.app import Console, desk_for
from edgetui.desk import Desk
from edgetui.feed import Pace
from edgetui.link import Link
from edgetui.widgets.lines import Lines
from tests.simulators.site import Site, serve
from tests.simulators.site_data import AT

WAIT_S = 20.0
STEP_S = 0.02
QUICK = Pace(poll_s=0.2, between_s=0.02, backoff_s=(0.05,), fleet_poll_s=0.2)


class Clock:
    """Monotonic seconds that can be turned forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._held_at: float | None = None

    def __call__(self) -> float:
        """Now."""
        return time.monotonic() + self.ahead_s if self._held_at is None else self._held_at

    def hold(self) -> None:
        """Stand still until turned forward: a person types faster than a busy machine tests."""
        self._held_at = self()

    def forward(self, seconds: float) -> None:
        """Later."""
        self._held_at = None
        self.ahead_s += seconds


@dataclass
class Person:
    """A person at a console."""

    pilot: Pilot[int]
    app: Console
    desk: Desk
    clock: Clock

    async def press(self, *keys: str) -> None:
        """Press keys, when the console hears them again."""
        self.clock.forward(1.0)
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Fill in what has the focus; a tab goes on to the next field."""
        for number, part in enumerate(text.split("\t")):
            if number:
                await self.press("tab")
            self.app.post_message(events.Paste(part))
            await self.pilot.pause()

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Wait until *holds*; the console's own clock goes on so that it draws."""
        end = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < end, f"waited for {what}; the screen:\n{self.text()}"
            await self.pilot.pause(STEP_S)
            self.app.draw_now()

    async def shows(self, *words: str) -> None:
        """Wait until all *words* are on the screen."""
        await self.until(lambda: all(word in self.text() for word in words), repr(words))

    def text(self) -> str:
        """The screen as text."""
        width, height = self.app.size
        grid = [[" "] * width for _ in range(height)]
        for widget in self.app.screen.query("Lines, Input"):
            region = widget.region
            if isinstance(widget, Lines) and region.width:
                rows = [widget.render_line(y).text for y in range(region.height)]
            elif isinstance(widget, Input) and widget.password:
                rows = [widget.render_line(0).text]
            elif isinstance(widget, Input) and widget.display:
                rows = [widget.value or widget.placeholder]
            else:
                continue
            for y, row in enumerate(rows, region.y):
                if y < height:
                    shown = row[: region.width]
                    grid[y][region.x : region.x + len(shown)] = shown
        return "\n".join("".join(line).rstrip() for line in grid)


@dataclass
class Seat(Person):
    """The same, where the site is a simulated one that a test can change."""

    site: Site


@asynccontextmanager
async def at_console(
    socket: Path,
    *,
    size: tuple[int, int] = (80, 24),
    pace: Pace = QUICK,
    now: Callable[[], datetime] = lambda: AT,
    low: bool = False,
    ascii_only: bool = False,
) -> AsyncIterator[Person]:
    """A person at a console of whatever serves *socket*."""
    clock = Clock()
    desk = desk_for(socket, Link(clock), low=low, ascii_only=ascii_only, pace=pace)
    desk.now = now
    app = Console(desk)
    async with app.run_test(size=size) as pilot:
        person = Person(pilot, app, desk, clock)
        await person.shows("NEEDS YOU")
        yield person


@asynccontextmanager
async def seated(
    folder: Path,
    site: Site | None = None,
    *,
    size: tuple[int, int] = (80, 24),
    ascii_only: bool = False,
) -> AsyncIterator[Seat]:
    """A console of a simulated site, with its overview on the screen."""
    served, socket = site or Site(now=lambda: AT), folder / "s"
    async with (
        serve(served, socket),
        at_console(socket, size=size, ascii_only=ascii_only) as person,
    ):
        yield Seat(person.pilot, person.app, person.desk, person.clock, served)
