"""What the documents say of the code is true of the code as it stands."""

import ast
import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import reference

ROOT = reference.ROOT
DOCS = ROOT / "docs"
RUNBOOKS = DOCS / "operate" / "runbooks"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.parent != DOCS / "reference"]
CODE = re.compile(r"`([^`\n]+)`")
MODULE = re.compile(r"(edge_\w+|edgetui)(\.\w+)+\Z")
FILE = re.compile(r"(core|packaging|site_proxy|runtime|edgetui|fixtures|tests|deploy)/[\w./-]+\Z")
# What a reader puts in; ids that a grammar wants as numbers become one.
NUMBERS = {"ALARM": "7", "ITEM": "7"}


def shown(page: Path) -> str:
    """The page's name in a test report."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_page_is_current(name: str) -> None:
    """A page of `docs/reference` is what the code says now; `make docs` writes it anew."""
    found = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert found == reference.PAGES[name](), "run `make docs`"


def there(name: str) -> bool:
    """Whether a dotted name is a package, a module, or a name that a module defines."""
    parts = name.split(".")
    for folder in ("core", "packaging", "site_proxy", "runtime", "edgetui", "fixtures"):
        path = ROOT / folder / Path(*parts)
        if path.is_dir() or path.with_suffix(".py").is_file():
            return True
        module = path.parent.with_suffix(".py")
        if module.is_file() and parts[-1] in defined(module):
            return True
    return False


def defined(module: Path) -> set[str]:
    """Classes, functions and constants at the top of a module."""
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {each.id for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("page", WRITTEN, ids=shown)
def test_named_modules_and_files_exist(page: Path) -> None:
    """Every module, name and file that a page puts in code style is there."""
    named = CODE.findall(page.read_text(encoding="utf-8"))
    modules = {name for name in named if MODULE.match(name)}
    files = {name for name in named if FILE.match(name)}
    missing = {name for name in modules if not there(name)}
    assert missing | {name for name in files if not (ROOT / name).exists()} == set()


def runbooks_named() -> dict[str, str]:
    """Each runbook that the site proxy's code names, with a place that names it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "site_proxy").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = dict(constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for value in runbook_of(node):
                    name = texts.get(value.id) if isinstance(value, ast.Name) else None
                    if isinstance(value, ast.Constant):
                        name = str(value.value)
                    if name is not None:
                        found[name] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Texts that a module gives a name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    yield target.id, node.value.value


def runbook_of(call: ast.Call) -> Iterator[ast.expr]:
    """The fifth argument of whatever raises an alarm, by name or by place."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    if name in {"raise_alarm", "AlarmCall"} and len(call.args) == 5:
        yield call.args[4]
    yield from (word.value for word in call.keywords if word.arg == "runbook")


def test_every_alarm_has_its_runbook() -> None:
    """Whatever page an alarm names is a page in `docs/operate/runbooks`, listed there."""
    listed = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    named = runbooks_named()
    assert len(named) >= 10, "the code names its runbooks in a way that is not seen here"
    missing = {
        name: place
        for name, place in named.items()
        if not (RUNBOOKS / f"{name}.md").is_file() or f"({name}.md)" not in listed
    }
    assert missing == {}


def commands_on(page: Path) -> Iterator[str]:
    """Lines to be typed, from indented blocks, and commands inside the text."""
    text = page.read_text(encoding="utf-8")
    programs = "|".join(reference.PROGRAMS)
    yield from re.findall(rf"^    ((?:{programs}) .*)$", text, re.MULTILINE)
    yield from re.findall(rf"`((?:{programs}) [^`\n]+)`", text)


TYPED = [(page, line) for page in WRITTEN for line in dict.fromkeys(commands_on(page))]


@pytest.mark.parametrize(("page", "line"), TYPED, ids=lambda each: str(each)[-60:])
def test_commands_can_be_typed(page: Path, line: str) -> None:
    """Every command that a page tells somebody to type is one that its program takes."""
    words = [NUMBERS.get(word, word) for word in shlex.split(line, comments=True)]
    words = list(itertools.takewhile(lambda word: word not in {">", ">>", "|"}, words))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            reference.program(reference.PROGRAMS[words[0]]).parse_args(words[1:])
    except SystemExit:
        pytest.fail(f"{shown(page)}: {line}\n{said.getvalue()}")
