"""Says a command's grammar in Markdown, alike on every Python: `--help` words, our own layout."""

import argparse
from collections.abc import Iterator

TOP = 2  # level of a program's own heading


def sections(parser: argparse.ArgumentParser, level: int = TOP, words: str = "") -> Iterator[str]:
    """The program, then each of its subcommands; *words* is what its parent says of it."""
    yield section(parser, level, words)
    said = helps(parser)
    for name, each in subcommands(parser).items():
        yield from sections(each, level + 1, said.get(name, ""))


def helps(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What *parser* says of each of its subcommands."""
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name for it
            return {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001 - nor for this
    return {}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subcommands of *parser* by name, none if it has none."""
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name for it
            return dict(action.choices)
    return {}


def section(parser: argparse.ArgumentParser, level: int, words: str = "") -> str:
    """Heading, duty, one line of usage, and what each argument means."""
    rows = [_row(action) for action in _own(parser)]
    table = ["| argument | meaning |", "|---|---|", *rows, ""] if rows else []
    duty = [_sentence(parser.description or words), ""]
    end = [_sentence(parser.epilog), ""] if parser.epilog and level == TOP else []
    heading = f"{'#' * level} `{parser.prog}`"
    return "\n".join([heading, "", *duty, f"    {usage(parser)}", "", *table, *end])


def usage(parser: argparse.ArgumentParser) -> str:
    """What to type, required parts bare and optional ones in brackets."""
    words = [_usage(action) for action in _own(parser) if action.required or _positional(action)]
    optional = ["[options]"] if any(not _positional(action) for action in _own(parser)) else []
    command = ["COMMAND"] if subcommands(parser) else []
    return " ".join([parser.prog, *words, *optional, *command])


def _sentence(words: str) -> str:
    said = " ".join(words.split())
    return said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")


def _usage(action: argparse.Action) -> str:
    name = _value(action)
    if not _positional(action):
        return " ".join(filter(None, [action.option_strings[-1], name]))
    return f"[{name}]" if action.nargs in {"?", "*"} else name


def _row(action: argparse.Action) -> str:
    name = " ".join(filter(None, [", ".join(action.option_strings), _value(action)]))
    words = " ".join((action.help or "").split())
    if "%(default)s" in words:
        words = words.replace("%(default)s", str(action.default))
    if action.choices and not _positional(action) and action.metavar:
        words = f"{words}; {' or '.join(map(str, action.choices))}".lstrip("; ")
    must = "required" if action.required and not _positional(action) else ""
    said = "; ".join(filter(None, [words, must]))
    return f"| `{name}` | {said.replace('|', chr(92) + '|')} |"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar is not None:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest if _positional(action) else action.dest.upper()


def _positional(action: argparse.Action) -> bool:
    return not action.option_strings


def _own(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        action
        for action in _actions(parser)
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)  # noqa: SLF001 - no public names for them
    ]


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse offers no other way to look at a grammar
