"""What every subcommand gets: the site, where to print, and how wide."""

import argparse
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_core.command import emit
from edgetui.client import SOCKET_DEFAULT, Operator
from edgetui.present.lines import Line, texts

WIDTH_REPORT = 160  # where nobody's terminal says how wide it is, as in a file


@dataclass(frozen=True, slots=True)
class Context:
    """One run of one subcommand."""

    site: Operator
    chosen: argparse.Namespace
    now: Callable[[], datetime]

    @property
    def cells(self) -> int:
        """How wide a line may be."""
        if self.chosen.width:
            return int(self.chosen.width)
        return shutil.get_terminal_size((WIDTH_REPORT, 24)).columns

    def answer(self, document: object, lines: Callable[[int], Sequence[Line | str]]) -> int:
        """Print *document* as JSON, or *lines* for people."""
        if self.chosen.json:
            emit(document)
        else:
            sys.stdout.write("\n".join(texts(lines(self.cells))) + "\n")
        return 0

    def keeps(self, *texts: str) -> bool:
        """Whether a row with these texts passes the filter that was asked for."""
        wanted = (self.chosen.filter or "").casefold()
        return any(wanted in text.casefold() for text in texts)


Body = Callable[[Context], Awaitable[int]]


def socket_path(chosen: argparse.Namespace) -> Path:
    """`--socket`, else `$EDGE_SOCKET`, else where the package puts it."""
    return Path(chosen.socket or os.environ.get("EDGE_SOCKET") or SOCKET_DEFAULT)
