"""What the driver takes from inside Textual is there: a new Textual fails here, not at a plant."""

import inspect

import pytest
import textual
from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver


def test_textual_is_the_one_we_know() -> None:
    """Another version is taken on purpose, after this file was read again."""
    assert textual.__version__ == "8.2.8"


@pytest.mark.parametrize(
    "name",
    [
        "write",
        "close",
        "process_message",
        "send_message",
        "run_input_thread",
        "start_application_mode",
        "stop_application_mode",
        "_get_terminal_size",
        "_request_terminal_sync_mode_support",
        "_query_in_band_window_resize",
    ],
)
def test_methods_we_override_or_call(name: str) -> None:
    """Each is a method of the stock driver."""
    assert callable(getattr(LinuxDriver, name))


@pytest.mark.parametrize("name", ["_file", "fileno", "exit_event", "_loop", "_debug"])
def test_attributes_we_read(name: str) -> None:
    """Each is set when a stock driver is made."""
    sources = inspect.getsource(LinuxDriver.__init__) + inspect.getsource(
        LinuxDriver.__mro__[1].__init__  # type: ignore[misc]  # the class is known to have one
    )
    assert f"self.{name}" in sources


def test_everything_is_written_through_write() -> None:
    """The stock driver hands all its output to `write`, so a driver that replaces it sees all."""
    body = inspect.getsource(linux_driver.LinuxDriver)
    assert body.count("_writer_thread.write(") == 1
    assert "self._writer_thread.write(data)" in inspect.getsource(LinuxDriver.write)


def test_the_input_thread_ends_on_its_event() -> None:
    """Leaving sets `exit_event` and waits for the input thread, ours as well."""
    assert "exit_event.set()" in inspect.getsource(LinuxDriver.disable_input)
    assert "run_input_thread" in inspect.getsource(LinuxDriver._run_input_thread)  # noqa: SLF001 - this test is about what is inside


def test_a_cursor_position_is_an_event() -> None:
    """The answer to DSR 6 comes as an event of its own and never as keys."""
    found = list(XTermParser().feed("\x1b[12;40R"))
    assert [type(event) for event in found] == [events.CursorPosition]


def test_an_unhandled_error_goes_one_way() -> None:
    """All of them pass `_handle_exception`, which renders what knows how to render itself."""
    assert "__rich__" in inspect.getsource(App._handle_exception)  # noqa: SLF001 - this test is about what is inside


def test_settings_are_read_from_the_environment() -> None:
    """The names that `__main__` sets are the ones that Textual reads."""
    source = inspect.getsource(constants)
    for name in ("ESCDELAY", "TEXTUAL_ANIMATIONS", "TEXTUAL_DISABLE_KITTY_KEY"):
        assert name in source
    assert "TEXTUAL_SMOOTH_SCROLL" in source
