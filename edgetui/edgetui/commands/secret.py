"""Reads a PIN where nobody sees it: from the terminal, a descriptor, or a file of one's own.

Never from an argument or the environment: any user of the machine can list those.
"""

import argparse
import getpass
import os
import stat
import sys
from pathlib import Path

from edge_core.contracts.errors import RefusedError, UsageError

BYTES_MAX = 256
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def pins(chosen: argparse.Namespace, *prompts: str) -> list[str]:
    """One PIN a prompt, in that order; of a file or a descriptor one a line.

    Raises:
        UsageError: there is neither a terminal nor a file, or it has another number of lines.
        RefusedError: the file is open to others.
    """
    if chosen.pin_file is None and chosen.pin_fd is None:
        if not sys.stdin.isatty():
            raise UsageError(
                "this needs a PIN: expected a terminal, --pin-file FILE or --pin-fd N, found none"
            )
        return [getpass.getpass(f"{prompt}: ") for prompt in prompts]
    lines = _read(chosen).splitlines()
    if len(lines) != len(prompts):
        raise UsageError(
            f"PIN file: expected {len(prompts)} lines ({', '.join(prompts)}), found {len(lines)}"
        )
    return [line.strip() for line in lines]


def _read(chosen: argparse.Namespace) -> str:
    named = chosen.pin_file is not None
    what = str(chosen.pin_file) if named else f"descriptor {chosen.pin_fd}"
    try:
        opened = os.open(Path(chosen.pin_file), os.O_RDONLY) if named else int(chosen.pin_fd)
        with os.fdopen(opened, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & OTHERS:
                raise RefusedError(
                    f"PIN {what}: expected a file for its owner alone (mode 0600), "
                    f"found {stat.S_IMODE(mode):04o}"
                )
            return file.read(BYTES_MAX).decode("ascii", errors="replace")
    except OSError as error:
        raise UsageError(f"PIN {what}: expected one to read from, found: {error}") from error
