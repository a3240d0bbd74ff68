"""Exports come back as they were, run nothing in a spreadsheet, and do nothing to a terminal."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_runtime.commands.output import inert_json
from edge_runtime.commission.exports import as_csv, as_toml, read_export
from edge_runtime.commission.nodes import Node, Tree

FORMS: dict[str, Callable[[Tree], Iterable[str]]] = {
    "csv": as_csv,
    "json": lambda tree: [inert_json(tree)],
    "toml": as_toml,
}
FLOW = Node(
    node="nsu=urn:plant;s=pump.flow",
    path="/pump/flow",
    name="flow",
    type="Double",
    unit="l/min",
    access="rw",
    value="31.5",
    low=0.0,
    high=150.0,
)
HOSTILE = "\x1b[2J\u202e\n=1+1"


def written(folder: Path, form: str, tree: Tree) -> Path:
    """The export as a file."""
    path = folder / f"export.{form}"
    path.write_text("\n".join(FORMS[form](tree)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_comes_back(form: str, tmp_path: Path) -> None:
    """Whatever the form, the nodes come back as they were."""
    tree = Tree(server="opc.tcp://plc:4840", nodes=[FLOW])
    assert read_export(written(tmp_path, form, tree)).nodes == [FLOW]


@pytest.mark.parametrize("form", FORMS)
def test_empty(form: str, tmp_path: Path) -> None:
    """A tree without nodes is an export like any other."""
    tree = Tree(server="opc.tcp://plc:4840", nodes=[])
    assert read_export(written(tmp_path, form, tree)).nodes == []


@pytest.mark.parametrize("form", FORMS)
def test_inert(form: str, tmp_path: Path) -> None:
    """Whatever a server calls its nodes, the export has no character that acts on a terminal."""
    node = Node(node=f"ns=2;s={HOSTILE}", path=f"/{HOSTILE}", name=HOSTILE, unit=HOSTILE)
    text = written(tmp_path, form, Tree(server="opc.tcp://plc", nodes=[node])).read_text()
    assert all(letter.isprintable() for letter in text.replace("\n", ""))


def test_no_formulas() -> None:
    """A spreadsheet is not made to run what a server wrote."""
    node = Node(node="i=1", path="/a", name="a", value="=HYPERLINK(1)", unit="@SUM(1)")
    _, line = as_csv(Tree(server="", nodes=[node]))
    assert "'=HYPERLINK" in line
    assert "'@SUM" in line


@given(st.text())
def test_toml_text_comes_back(text: str) -> None:
    """Any text of a server comes back through TOML."""
    import tomllib  # noqa: PLC0415 - one test needs it

    node = Node(node=text, path="/a", name="a")
    found = tomllib.loads("\n".join(as_toml(Tree(server="", nodes=[node]))))
    assert (
        found["nodes"][0]["node"] == text.encode("utf-8", "replace").decode() or text >= "\ud800"
    )


BAD_FILES: dict[str, bytes] = {
    "nothing": b"\x00\x01",
    "other JSON": b'{"nodes": 7}',
    "JSON that nests for ever": b'{"nodes":' + b"[" * 100_000,
    "other TOML": b"[section]\n",
    "CSV with a word for a number": b"path,node,low\n/a,i=1,low\n",
    "CSV without ids": b"path,type\n/a,Double\n",
    "no text at all": b"path,\xff\xfe\n",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name: str, tmp_path: Path) -> None:
    """Each row is a file that is no export; it is refused in one line that names it."""
    path = tmp_path / "export"
    path.write_bytes(BAD_FILES[name])
    with pytest.raises(RefusedError) as refused:
        read_export(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(NotFoundError, match=r"none\.csv"):
        read_export(tmp_path / "none.csv")
