"""`edgetui`: the terminal UI without a command, else one subcommand."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from edge_core.command import end
from edge_core.contracts.errors import UnreachableError, UsageError
from edgetui.client import connect
from edgetui.commands.context import Context, socket_path
from edgetui.commands.parser import parser

ANSWER_S_MAX = 30.0  # a subcommand that waits longer should say so and be run again

# Textual reads these when it is imported. Escape needs its delay: over a slow link the bytes of
# one key come apart. Kitty's protocol makes every key longer, and gives us nothing that we bind.
TEXTUAL_SETTINGS = {
    "ESCDELAY": "400",
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_DISABLE_KITTY_KEY": "1",
    "TEXTUAL_SMOOTH_SCROLL": "0",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console or one of its subcommands; returns the exit code."""
    return end("edgetui", _body, parser(), arguments)


def _body(chosen: argparse.Namespace) -> int:
    if chosen.command is None and chosen.plain is None:
        return _terminal(chosen)
    if chosen.command is None:
        # As if it had been typed as a subcommand, with that one's own defaults.
        chosen = parser().parse_args([chosen.plain], namespace=chosen)
    return asyncio.run(_ask(chosen))


async def _ask(chosen: argparse.Namespace) -> int:
    path = socket_path(chosen)
    try:
        async with asyncio.timeout(ANSWER_S_MAX), connect(path) as site:
            context = Context(site=site, chosen=chosen, now=lambda: datetime.now(UTC))
            return int(await chosen.body(context))
    except TimeoutError:
        raise UnreachableError(
            f"site proxy at {path}: no answer in {ANSWER_S_MAX:.0f} s"
        ) from None


def _terminal(chosen: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "the terminal UI needs a terminal; try: edgetui --plain, or edgetui status"
        )
    if os.environ.get("TERM") == "dumb":
        raise UsageError("terminal `dumb` cannot move its cursor; try: edgetui --plain")
    for name, value in TEXTUAL_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from edgetui.app import run  # noqa: PLC0415 - subcommands must start without Textual
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the terminal UI needs {error.name}: pip install 'edge-mlops[console]'"
        ) from None
    return int(run(socket_path(chosen), low=chosen.low, ascii_only=chosen.ascii))


if __name__ == "__main__":
    sys.exit(main())
