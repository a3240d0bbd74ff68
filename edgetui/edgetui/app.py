"""The console as an application: screens, the one timer, and how it ends."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import App, ScreenStackError
from textual.binding import BindingType
from textual.driver import Driver
from textual.screen import Screen

from edgetui.desk import Desk
from edgetui.driver import DiffDriver, HangUp
from edgetui.feed import LOW_PACE, Feed, Pace
from edgetui.labelling import Bench, Courier
from edgetui.letters import ascii_letters, only_ascii
from edgetui.link import Link, draw_every_s
from edgetui.present.lines import Target
from edgetui.screens.alarms import AlarmBoard, AlarmsBoard, AuditBoard, EventBoard
from edgetui.screens.board import Board
from edgetui.screens.everywhere import Everywhere
from edgetui.screens.gateways import GatewayBoard, GatewaysBoard
from edgetui.screens.label import LabelBoard
from edgetui.screens.overview import OverviewBoard
from edgetui.screens.rollouts import RolloutBoard, RolloutsBoard
from edgetui.session import Session
from edgetui.theme import CSS, THEME
from edgetui.widgets.dialog import OrderDialog

TICK_S: Final = 0.25
CLOCK_S, LOW_CLOCK_S = 1.0, 10.0
LAST_MOMENT_S: Final = 3.0  # a hang-up ends the process by then, whatever hangs
HUNG_UP, TERMINATED = 128 + signal.SIGHUP, 128 + signal.SIGTERM
MODES: Final[dict[str, type[Board]]] = {
    "overview": OverviewBoard,
    "rollouts": RolloutsBoard,
    "gateways": GatewaysBoard,
    "alarms": AlarmsBoard,
    "label": LabelBoard,
    "audit": AuditBoard,
}
# Where a kind of thing is shown: the screen below it, and its own.
DETAILS: Final[dict[str, tuple[str, Callable[[Desk, str], Board]]]] = {
    "rollout": ("rollouts", RolloutBoard),
    "gateway": ("gateways", GatewayBoard),
    "alarm": ("alarms", AlarmBoard),
    "event": ("audit", EventBoard),
}


class OwnFailure(Exception):  # noqa: N818 - it is told to a person, not raised to a caller
    """A mistake of ours, told in one line; a traceback on a shared terminal tells secrets."""

    def __rich__(self) -> Text:
        return Text(f"edgetui: an error of our own, please report it: {self}")


class Console(App[int], inherit_bindings=False):
    """The terminal UI of one site."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []
    ESCAPE_TO_MINIMIZE = False

    def __init__(self, desk: Desk, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self.desk = desk
        self.everywhere = Everywhere(self, desk, MODES)
        desk.go = self.open_target
        desk.listeners.append(self.note_change)
        desk.everywhere = self.everywhere.handler
        self.animation_level = "none"
        self._changed = True
        self._drawn_at = float("-inf")

    def on_mount(self) -> None:
        """Show the overview, then start to listen."""
        self.register_theme(THEME)
        self.theme = THEME.name
        for mode, board in MODES.items():
            self.add_mode(mode, partial(board, self.desk))
        self.switch_mode("overview")
        self.set_interval(TICK_S, self.tick)
        self.run_worker(self.desk.feed.run(), group="feed")
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.end_soon, HUNG_UP)
        loop.add_signal_handler(signal.SIGTERM, self.end_soon, TERMINATED)

    @property
    def front(self) -> Screen[object] | None:
        """The screen in front; none while the console ends."""
        try:
            return self.screen
        except ScreenStackError:
            return None

    async def on_event(self, event: events.Event) -> None:
        """Give keys to the screen in front; drop those typed before a dialog could be seen."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            front = self.front
            if front is None or self.desk.session.deaf:
                return
            if isinstance(front, Board) and front.take(event):
                return
        await super().on_event(event)

    def on_hang_up(self, _: HangUp) -> None:
        """The terminal is gone."""
        self.end_soon(HUNG_UP)

    def end_soon(self, code: int) -> None:
        """End, even if the event loop no longer comes round."""
        last_moment = threading.Timer(LAST_MOMENT_S, os._exit, [code])
        last_moment.daemon = True
        last_moment.start()
        self.exit(code, return_code=code)

    def note_change(self) -> None:
        """The picture changed: draw it at the next tick that the link can bear."""
        self._changed = True

    def tick(self) -> None:
        """Draw what changed, as often as the link bears, and the ages that go on by themselves."""
        desk = self.desk
        since = desk.monotonic() - self._drawn_at
        clock_s = LOW_CLOCK_S if desk.low else CLOCK_S
        if since >= clock_s or (self._changed and since >= draw_every_s(desk.link, low=desk.low)):
            self.draw_now()

    def draw_now(self) -> None:
        """Draw the screen that is in front."""
        self._changed, self._drawn_at = False, self.desk.monotonic()
        front = self.front
        if isinstance(front, Board | OrderDialog):
            front.draw()

    def open_target(self, target: Target) -> None:
        """Go to a thing: its screen on top of the list it belongs to."""
        if target.kind in {"line", "members"}:
            self.desk.session.filters["gateways"] = target.name
            self.to("gateways")
        elif target.kind in DETAILS:
            mode, board = DETAILS[target.kind]
            self.to(mode)
            self.push_screen(board(self.desk, target.name))
        elif target.kind in MODES:
            self.to(target.kind)

    def to(self, mode: str) -> None:
        """Go to the list of a mode, whatever was open on top of it."""
        self.switch_mode(mode)
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.draw_now()

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print a traceback with the values of all variables.
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = "" if frame is None else f" at {frame.tb_frame.f_code.co_name}:{frame.tb_lineno}"
        failure = OwnFailure(f"{type(error).__name__}: {error}{where}")
        failure.__cause__ = error
        super()._handle_exception(failure)


def desk_for(
    socket: Path, link: Link, *, low: bool, ascii_only: bool, pace: Pace | None = None
) -> Desk:
    """Everything that one console needs, on the real clocks."""
    monotonic = link.monotonic
    changed: list[Callable[[], None]] = []

    def tell() -> None:
        for listener in changed:
            listener()

    feed = Feed(socket, monotonic, tell, pace or (LOW_PACE if low else Pace()))
    bench = Bench(monotonic)
    courier = Courier(bench, lambda: feed.site, tell)
    return Desk(
        feed=feed,
        session=Session(monotonic),
        link=link,
        bench=bench,
        courier=courier,
        now=lambda: datetime.now(UTC),
        monotonic=monotonic,
        low=low,
        ascii_only=ascii_only,
        listeners=changed,
    )


def run(socket: Path, *, low: bool, ascii_only: bool) -> int:
    """Run the console on this terminal; returns its exit code."""
    encoding = getattr(sys.__stderr__, "encoding", "ascii")
    plain = ascii_only or only_ascii(os.environ.get("TERM", ""), encoding)
    link = Link(time.monotonic)
    desk = desk_for(socket, link, low=low, ascii_only=plain)
    driver = DiffDriver.linked(link, ascii_letters() if plain else {})
    console = Console(desk, driver)
    code = console.run(mouse=False)
    return console.return_code or 0 if code is None else code
