"""Textual's terminal driver, made fit for thin links: diffs only, and one frame in flight.

Every frame ends with a cursor-position request (DSR 6); the next one waits for the answer, so no
more stands in buffers than the link has carried, and a key is answered a round trip later even
while values change. A terminal that reads nothing never blocks the console, one byte that is no
UTF-8 never ends it, and end of input is a hang-up. The hooks of Textual used here are pinned by
`tests/unit/edgetui/test_driver_contract.py`.
"""

import codecs
import os
import selectors
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, ClassVar, Final

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from edgetui.link import Link
from edgetui.shadow import Shadow

FRAME_EVERY_S: Final = 0.05
ANSWER_S_MAX: Final = 4.0  # a terminal that is silent for longer does not know the request
LEAVE_S_MAX: Final = 1.0  # how long leaving waits for a slow link
READ_BYTES: Final = 4096
POLL_S: Final = 0.1
WHERE_IS_THE_CURSOR: Final = "\x1b[6n"
CLEAR: Final = "\x1b[m\x1b[H\x1b[2J"


class HangUp(Message):
    """The terminal is gone."""


class Output(threading.Thread):
    """Writes to the terminal, so that nobody else waits for it."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(daemon=True, name="terminal-output")
        self._file = file
        self._woken = threading.Condition()
        self._waiting: list[str] = []
        self._writing = self._ended = False

    @property
    def idle(self) -> bool:
        """Whether the terminal took everything."""
        with self._woken:
            return not (self._waiting or self._writing)

    def put(self, text: str) -> None:
        """Have *text* written after everything before it; returns at once."""
        with self._woken:
            self._waiting.append(text)
            self._woken.notify()

    def end(self) -> None:
        """Write what waits, but for no longer than leaving may take."""
        with self._woken:
            self._ended = True
            self._woken.notify()
        self.join(LEAVE_S_MAX)

    def run(self) -> None:
        """Write until the end."""
        while text := self._next():
            try:
                self._file.write(text)
                self._file.flush()
            except (OSError, ValueError):
                return  # the terminal is gone; its input says so too
            with self._woken:
                self._writing = False

    def _next(self) -> str:
        with self._woken:
            while not self._waiting and not self._ended:
                self._woken.wait()
            text = "".join(self._waiting)
            self._waiting.clear()
            self._writing = bool(text)
            return text


class DiffDriver(LinuxDriver):
    """See the module; `linked` makes the class that one console uses."""

    link: ClassVar[Link] = Link(time.monotonic)
    letters: ClassVar[Mapping[int, str]] = {}

    @classmethod
    def linked(cls, link: Link, letters: Mapping[int, str]) -> type["DiffDriver"]:
        """This driver with its counters in *link*, and each letter looked up in *letters*."""
        return type("LinkedDriver", (cls,), {"link": link, "letters": letters})

    def __init__(self, *given: Any, **settings: Any) -> None:  # Textual's own signature
        super().__init__(*given, **settings)
        self._lock = threading.RLock()
        self._shadow = Shadow(0, 0, self.letters)
        self._terminal: IO[str] = self._file or sys.stdout
        self._output: Output | None = None
        self._asked_at: float | None = None
        self._answered = threading.Event()
        self._answered.set()
        self._scheduled = self._leaving = False
        self._last = 0.0

    def start_application_mode(self) -> None:
        """Take the terminal over."""
        self._leaving = False
        self._output = Output(self._terminal)
        self._output.start()
        super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual's own

    def stop_application_mode(self) -> None:
        """Give the terminal back once it has answered: later, the answer would go to the shell."""
        self._leaving = True
        if self.link.paced:
            self._answered.wait(LEAVE_S_MAX)
        super().stop_application_mode()

    def close(self) -> None:
        """Write what is left."""
        if self._output is not None:
            self._output.end()
        super().close()

    def write(self, data: str) -> None:
        """Take in what Textual paints; a frame follows when the terminal is ready for it."""
        with self._lock:
            self._follow_size()
            if controls := self._shadow.apply(data):
                self._send(controls)
            if "\x1b[?1049h" in controls:
                self._send(CLEAR)
                self._shadow.forget()
            if self._shadow.touched:
                self._schedule()

    def process_message(self, message: Message) -> None:
        """Keep the answers to our requests, pass everything else on."""
        if isinstance(message, events.CursorPosition):
            self._answer()
            return
        super().process_message(message)

    def run_input_thread(self) -> None:
        """Read keys until the end; a closed terminal is a hang-up, not a reason to spin."""
        decode = codecs.getincrementaldecoder("utf-8")("edgetui-latin1").decode
        parser = XTermParser(self._debug)
        with selectors.SelectSelector() as ready:
            ready.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if ready.select(POLL_S):
                    raw = self._read()
                    if not raw:
                        self.send_message(HangUp())
                        return
                    for event in parser.feed(decode(raw)):
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, READ_BYTES)
        except OSError:
            return b""  # Linux answers EIO once the other side of a terminal is closed

    def _get_terminal_size(self) -> tuple[int, int]:
        for stream in (self._terminal.fileno(), self.fileno):
            try:
                width, height = os.get_terminal_size(stream)
            except OSError:
                continue
            if width and height:
                return width, height
        return 80, 24

    def _request_terminal_sync_mode_support(self) -> None:
        """Not asked: a frame of ours is small and whole."""

    def _query_in_band_window_resize(self) -> None:
        """Not asked: SIGWINCH comes through SSH as well."""

    def _follow_size(self) -> None:
        size = self._get_terminal_size()
        resized = size != self._shadow.size
        if resized:
            self._shadow.resize(*size)
        if resized or self.link.repaint.is_set():
            self.link.repaint.clear()
            self._send(CLEAR)
            self._shadow.forget()

    def _send(self, text: str) -> None:
        if self._output is not None:
            self.link.sent(len(text.encode(errors="replace")))
            self._output.put(text)

    def _schedule(self) -> None:
        if self._scheduled or self._leaving or self._held():
            return
        self._scheduled = True
        delay_s = max(0.0, self._last + FRAME_EVERY_S - self.link.monotonic())
        self._loop.call_soon_threadsafe(self._loop.call_later, delay_s, self._flush_frame)

    def _held(self) -> bool:
        """Whether a frame is still on its way."""
        return self._asked_at is not None

    def _flush_frame(self) -> None:
        with self._lock:
            self._scheduled = False
            if self._leaving or self._held():
                return
            frame = self._shadow.frame()
            if not frame:
                return
            self._last = self._asked_at = self.link.monotonic()
            self._answered.clear()
            self.link.frames += 1
            self._send(frame + WHERE_IS_THE_CURSOR)
            patience_s = ANSWER_S_MAX if self.link.paced else FRAME_EVERY_S
            self._loop.call_later(patience_s, self._give_up, self._asked_at)

    def _answer(self) -> None:
        with self._lock:
            if self._asked_at is not None:
                self.link.rtt_s = self.link.monotonic() - self._asked_at
            self.link.paced = True
            self._go_on()

    def _give_up(self, asked_at: float) -> None:
        """No answer: if the terminal took the frame at least, go on without answers."""
        with self._lock:
            if self._asked_at != asked_at:
                return
            if self._output is not None and not self._output.idle:
                self._loop.call_later(FRAME_EVERY_S, self._give_up, asked_at)
                return
            self.link.paced = False
            self._go_on()

    def _go_on(self) -> None:
        self._asked_at = None
        self._answered.set()
        if self._shadow.touched:
            self._schedule()


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 as Latin-1, which is what an old terminal meant by them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    text = error.object[error.start : error.end].decode("latin-1")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text), error.end


codecs.register_error("edgetui-latin1", _as_latin1)
