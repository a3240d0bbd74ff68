"""`edge-gateway`: run the daemon, look at a plant's server, ask the daemon, put it in order."""

import argparse
import sys
from collections.abc import Sequence

from edge_core.command import end
from edge_runtime.commands.grammar import parser
from edge_runtime.commands.names import PROGRAM

__all__ = ["main", "parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""

    def chosen(found: argparse.Namespace) -> int:
        code: int = found.body(found)
        return code

    return end(PROGRAM, chosen, parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
