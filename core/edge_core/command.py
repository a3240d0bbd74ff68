"""How every command ends: one clear line on stderr and an honest exit code, never a traceback.

People's words go to stderr; `--json` puts exactly one JSON document on stdout.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_core.contracts.errors import ConfigurationError, EdgeError
from edge_core.misfit import from_toml

CONFIG_BYTES_MAX = 1024 * 1024  # a configuration that long is not one

Config = TypeVar("Config", bound=msgspec.Struct)


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations: a script must mean the same for ever."""

    def __init__(self, **settings: Any) -> None:  # argparse's own signature is open
        settings.setdefault("allow_abbrev", False)
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)


def end(
    program: str,
    body: Callable[[argparse.Namespace], int],
    parser: Parser,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse *arguments*, run *body*, and turn what goes wrong into one line and an exit code.

    Exit codes are those of `edge_core.contracts.errors`; 130 is an interrupt by the keyboard.
    """
    chosen = parser.parse_args(arguments)
    try:
        return body(chosen)
    except EdgeError as error:
        tell(program, str(error))
        return error.exit_code
    except ExceptionGroup as group:
        # A TaskGroup wraps what went wrong in one of its tasks; people want the thing itself.
        ours = _first_of_ours(group)
        if ours is None:
            raise
        tell(program, str(ours))
        return ours.exit_code
    except BrokenPipeError:
        # Whoever read us has left, as `head` does; the interpreter would complain at exit.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        tell(program, "interrupted")
        return 130
    except OSError as error:
        thing = error.filename or "the system"
        tell(program, f"{thing}: {error.strerror or error}")
        return EdgeError.exit_code


def _first_of_ours(group: ExceptionGroup) -> EdgeError | None:
    """The first error of ours in *group*, if every error in it is one of ours."""
    if group.split(EdgeError)[1] is not None:
        return None
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, EdgeError) else None


def tell(program: str, words: str) -> None:
    """Say *words* to the person, inert and on one line, without touching stdout."""
    print(f"{program}: {one_line(words)}", file=sys.stderr)  # noqa: T201 - this is how a command speaks


def emit(document: object) -> None:
    """Put one JSON document on stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.flush()


def one_line(text: str) -> str:
    """*text* with everything replaced that could move a cursor, break a line or hide letters."""
    return "".join(c if c == " " or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def read_config(path: Path, kind: type[Config], *, bytes_max: int = CONFIG_BYTES_MAX) -> Config:
    """Decode the TOML file at *path*, of at most *bytes_max*, into *kind*.

    Raises:
        ConfigurationError: not readable, not TOML, an unknown key, or a value outside its bounds;
            the message names file, key and expectation.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: expected a configuration file, found: {error.strerror}"
        ) from None
    if len(raw) > bytes_max:
        raise ConfigurationError(f"{path}: expected at most {bytes_max} bytes, found more")
    return from_toml(raw, kind, what=str(path))
