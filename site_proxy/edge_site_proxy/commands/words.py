"""What a command says to people on stdout: one inert line at a time."""

import sys

from edge_core.command import one_line


def say(text: str) -> None:
    """Print *text* on one line, whatever is in it."""
    sys.stdout.write(one_line(text) + "\n")
