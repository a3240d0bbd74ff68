"""Each component imports only what its own extra installs, so a lean machine really runs it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {
    "edge_core",
    "edge_packaging",
    "edge_site_proxy",
    "edge_runtime",
    "edgetui",
    "edge_fixtures",
}
COMPONENTS = {
    "packaging/edge_packaging": "pack",
    "site_proxy/edge_site_proxy": "site",
    "runtime/edge_runtime": "gateway",
    "edgetui/edgetui": "console",
    "fixtures/edge_fixtures": "demo",
}
# What a component loads only where its configuration asks for it, and then says is missing.
OPTIONAL = {"gateway": ("frames",)}
# What a library brings and re-exports as its public face, so that no pin of ours could differ.
BROUGHT = {
    "rich": "textual",
    "opentelemetry-proto": "opentelemetry-exporter-otlp-proto-http",
    "paho-mqtt": "aiomqtt",
}


def canonical(name: str) -> str:
    """A distribution's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def allowed(extra: str) -> set[str]:
    """The distributions that `edge-mlops[extra]` names, those of other extras included."""
    found: set[str] = set()
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra]:
        name = canonical(re.split(r"[\[<>=~! ;]", line)[0])
        if name == "edge-mlops":
            for inner in re.findall(r"\[(.*?)\]", line)[0].split(","):
                found |= allowed(inner)
        found.add(name)
    return found


def imported(folder: Path) -> set[str]:
    """Top-level names of every absolute import below *folder*."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(".".join(node.module.split(".")[:1]))
    return names - OURS - set(sys.stdlib_module_names)


@pytest.mark.parametrize(("folder", "extra"), COMPONENTS.items(), ids=COMPONENTS.values())
def test_imports_come_from_the_extra(folder: str, extra: str) -> None:
    """What a component imports is named in its extra, or brought by a library named there."""
    known = allowed(extra).union(*(allowed(also) for also in OPTIONAL.get(extra, ())))
    known |= {brought for brought, by in BROUGHT.items() if by in known}
    owners = packages_distributions()
    missing = {
        name
        for name in imported(ROOT / folder)
        if not {canonical(owner) for owner in owners.get(name, [name])} & known
    }
    assert missing == set()
