"""Every alarm that the site proxy raises is a known kind, and its commands can be typed."""

import ast
import contextlib
import io
import shlex
from collections.abc import Iterator

import pytest

from edge_site_proxy.alarms import catalogue
from edge_site_proxy.alarms.catalogue import KINDS, Kind, meant
from tests.architecture import reference

SITE = reference.ROOT / "site_proxy"


def keys() -> dict[str, str]:
    """The key of each alarm in the code, with what varies as `x1`, and a place that has it."""
    found: dict[str, str] = {}
    for path in sorted(SITE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = dict(assigned(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (value := key_of(node)) is not None:
                for key in texts(value, named):
                    found[key] = f"{path.relative_to(SITE)}:{node.lineno}"
    return found


def assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names that stand for a key: constants, variables, and functions that return one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((each.id, node.value) for each in targets if isinstance(each, ast.Name))
        if isinstance(node, ast.FunctionDef):
            last = node.body[-1]
            if isinstance(last, ast.Return) and last.value is not None:
                yield node.name, last.value


def key_of(call: ast.Call) -> ast.expr | None:
    """What is said first to whatever raises an alarm, by name or by place."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    if name == "AlarmCall":
        given = [word.value for word in call.keywords if word.arg == "key"]
        return next(iter([*given, *call.args]), None)
    raises = name in {"raise_alarm", "_raise", "_alarm"}
    return call.args[0] if raises and len(call.args) > 1 else None


def texts(value: ast.expr, named: dict[str, ast.expr]) -> Iterator[str]:
    """The texts that an expression may have."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        found = [""]
        for part in value.values:
            ends = list(texts(part, named)) if isinstance(part, ast.Constant) else ["x1"]
            if isinstance(part, ast.FormattedValue) and isinstance(
                part.value, ast.IfExp | ast.Subscript
            ):
                ends = list(texts(part.value, named))
            found = [begin + end for begin in found for end in ends]
        yield from found
    elif isinstance(value, ast.IfExp):
        yield from (text for each in (value.body, value.orelse) for text in texts(each, named))
    elif isinstance(value, ast.Dict):
        yield from (text for each in value.values for text in texts(each, named))
    elif isinstance(value, ast.Subscript):
        yield from texts(value.value, named)
    elif isinstance(value, ast.Call):
        yield from texts(value.func, named)
    elif isinstance(value, ast.Name) and value.id in named:
        yield from texts(named[value.id], named)
    elif isinstance(value, ast.Name):
        text = getattr(catalogue, value.id, None)
        yield from [text] if isinstance(text, str) else []


def test_every_alarm_is_of_a_known_kind() -> None:
    """Each key in the code has its kind, and each kind has a key in the code."""
    found = keys()
    kinds = {meant(key, lambda _: "L1").kind.name: key for key in found}
    assert "EdgeAlarm" not in kinds, f"{kinds['EdgeAlarm']} is of no kind: add it to the catalogue"
    assert {kind.name for kind in KINDS} - set(kinds) == set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_its_commands_can_be_typed(kind: Kind) -> None:
    """Every action is a command that its program takes."""
    words = {"serial": "gw-1", "line": "L1", "rollout": "r-1", "name": "n"}
    assert kind.actions
    for action in kind.actions:
        typed = shlex.split(action.format(**words))
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                reference.program(reference.PROGRAMS[typed[0]]).parse_args(typed[1:])
        except SystemExit:
            pytest.fail(f"{kind.name}: {action}\n{said.getvalue()}")
