"""What the console costs on a link: bytes at 20 changed cells a second, and to the first screen.

`python -m bench.console [--quick]`: our console on a pseudo-terminal of 120x40 that answers like a
terminal, against a simulated site that changes 20 gateways a second. The peer is the same table of
the same gateways in a stock Textual `DataTable` under Textual's own driver, in the same run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.text import Text
from textual.app import App, ComposeResult
from textual.widgets import DataTable

from bench.report import report, table
from edge_core.contracts.api import GatewayView
from edgetui.__main__ import TEXTUAL_SETTINGS
from edgetui.client import connect
from edgetui.present.fleet_page import gateway_columns
from edgetui.present.words import inert
from edgetui.theme import THEME
from tests.simulators.terminal import Terminal

SIZE = (120, 40)
GATEWAYS = 200
CELLS = 20
EVERY_S = 1.0
WARM_UP_S = 6.0
LONG_S, QUICK_S = 30.0, 10.0
F3 = "\x1bOR"


class StockTable(App[None]):
    """The peer: the gateways in a `DataTable`, each changed cell by `update_cell`."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, socket: Path) -> None:
        super().__init__()
        self._socket = socket
        self.animation_level = "none"
        self._shown: dict[str, list[str]] = {}

    def compose(self) -> ComposeResult:
        """One table."""
        yield DataTable[Text](cursor_type="row")

    async def on_mount(self) -> None:
        """Fill it, then look again every second, as the console does."""
        self.register_theme(THEME)
        self.theme = THEME.name
        grid = self.query_one(DataTable)
        for column in gateway_columns(lambda _: 0.0):
            grid.add_column(column.title, key=column.title, width=column.cells)
        await self.look()
        self.set_interval(EVERY_S, self.look)

    async def look(self) -> None:
        """Read the gateways and put what changed into the table."""
        grid = self.query_one(DataTable)
        columns = gateway_columns(lambda _: 0.0)
        async with connect(self._socket) as site:
            views = [
                await site.fetch(f"/v1/gateways/gw-{number:04}", GatewayView)
                for number in range(CELLS)
            ]
            if not self._shown:
                views += (await site.fetch("/v1/gateways", list[GatewayView]))[CELLS:]
        for view in views:
            cells = [inert(column.text(view)) for column in columns]
            known = self._shown.get(view.place.serial)
            if known is None:
                # As `Text`: a plain string would be read as markup, and a hostile name ends it.
                grid.add_row(*map(Text, cells), key=view.place.serial)
            else:
                for column, text, before in zip(columns, cells, known, strict=True):
                    if text != before:
                        grid.update_cell(view.place.serial, column.title, Text(text))
            self._shown[view.place.serial] = cells


@contextmanager
def simulated_site(socket: Path) -> Iterator[None]:
    """A site that changes the latency of the first gateways every second."""
    command = [sys.executable, "-m", "tests.simulators.site", "--socket", str(socket)]
    command += ["--gateways", str(GATEWAYS), "--stir-s", str(EVERY_S), "--cells", str(CELLS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as site:
        assert site.stdout is not None
        site.stdout.readline()
        try:
            yield
        finally:
            site.terminate()


def environment(socket: Path) -> dict[str, str]:
    """A colour terminal over SSH."""
    kept = {key: value for key, value in os.environ.items() if key != "COLORTERM"}
    return {**kept, **TEXTUAL_SETTINGS, "TERM": "xterm-256color", "EDGE_SOCKET": str(socket)}


def measured(terminal: Terminal, for_s: float) -> float:
    """Kilobits a second that the terminal receives."""
    terminal.read(WARM_UP_S)
    begun_at, before = time.monotonic(), terminal.received
    while time.monotonic() - begun_at < for_s:
        terminal.read(min(1.0, for_s))
    return (terminal.received - before) * 8 / 1000 / (time.monotonic() - begun_at)


def ours(socket: Path, for_s: float) -> dict[str, float]:
    """The console."""
    begun_at = time.monotonic()
    with Terminal([sys.executable, "-m", "edgetui"], environment(socket), SIZE) as terminal:
        terminal.shows("NEEDS YOU", "FEED ok")
        first_s = time.monotonic() - begun_at
        first_bytes = terminal.received
        terminal.quiet(0.3)
        before = terminal.received
        terminal.press(F3)
        terminal.shows("gw-0003", "p99 ms")
        terminal.quiet(0.3)
        page_bytes = terminal.received - before
        rate = measured(terminal, for_s)
    return {
        "kbit_s_20_cells": round(rate, 2),
        "first_screen_bytes": first_bytes,
        "first_screen_s": round(first_s, 2),
        "page_change_bytes": page_bytes,
    }


def peers(socket: Path, for_s: float) -> dict[str, float]:
    """The stock table under the stock driver."""
    command = [sys.executable, "-m", "bench.console", "--peer", str(socket)]
    with Terminal(command, environment(socket), SIZE) as terminal:
        terminal.shows("gw-0003", "p99 ms")
        first_bytes = terminal.received
        rate = measured(terminal, for_s)
    return {"kbit_s_20_cells": round(rate, 2), "first_screen_bytes": first_bytes}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both, tell both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.peer is not None:
        StockTable(chosen.peer).run(mouse=False)
        return
    for_s = QUICK_S if chosen.quick else LONG_S
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        with simulated_site(socket):
            figures, peer = ours(socket, for_s), peers(socket, for_s)
    named = {"name": "Textual DataTable, stock driver", **peer}
    ratio = {
        "bytes_vs_stock": round(figures["kbit_s_20_cells"] / peer["kbit_s_20_cells"], 4),
        "first_screen_vs_stock": round(
            figures["first_screen_bytes"] / peer["first_screen_bytes"], 4
        ),
    }
    rows = [[key, figures.get(key, ""), peer.get(key, "")] for key in figures]
    table(f"20 changed cells a second, 120x40, {for_s:.0f} s", ["", "console", "stock"], rows)
    report("console", figures, named, ratio)


if __name__ == "__main__":
    main()
