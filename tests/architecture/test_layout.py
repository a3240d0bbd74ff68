"""The house keeps its rules: what a linter cannot say is said here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("core", "packaging", "site_proxy", "runtime", "edgetui", "fixtures", "bench")
LINES_MAX = 400
WHOLE = {"verify_audit.py"}  # goes to auditors alone, who read one file and import none of ours
VAGUE = {"utils", "util", "helpers", "common", "misc", "base"}


def modules(*folders: str) -> Iterator[Path]:
    """Every Python file below the named folders."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_component_folders_hold_no_code_of_their_own() -> None:
    """`packaging/` and `runtime/` must stay plain folders, or they shadow real packages."""
    found = [path for part in PARTS[:-1] for path in (ROOT / part).glob("*.py")]
    assert found == []


def test_every_test_folder_is_a_package() -> None:
    """A test folder without `__init__.py` would clash with `packaging` at collection."""
    folders = {path.parent for path in modules("tests")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", list(modules(*PARTS)), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_one_duty(path: Path) -> None:
    """A module opens with its duty, stays under 400 lines and is not called after nothing."""
    text = path.read_text(encoding="utf-8")
    within = len(text.splitlines()) <= LINES_MAX or path.name in WHOLE
    assert within, f"{path.name} is too long: split it by duty"
    assert path.stem not in VAGUE, f"{path.name} says nothing: name it for what it does"
    assert ast.get_docstring(ast.parse(text)) or not text.strip()


def test_no_class_is_called_manager() -> None:
    """A manager knows everything, so a test of it would have to build everything."""
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in modules(*PARTS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Manager")
    ]
    assert found == []


def test_an_ignore_gives_its_reason() -> None:
    """A `noqa` or `type: ignore` carries its code, and a reason in words on the same line."""
    bare = re.compile(r"#\s*(noqa(?!:)|type:\s*ignore(?!\[))")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in modules(*PARTS, "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line) and path != Path(__file__)
    ]
    assert found == []


def test_no_commit_names_a_package_host() -> None:
    """Pins name packages and versions, never where they came from."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
