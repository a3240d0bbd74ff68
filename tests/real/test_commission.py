"""From a server to a tag map, by the commands that a person types, over a real socket."""

import asyncio
import json
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from edge_fixtures.plant import NAMESPACE, node_name
from edge_runtime.__main__ import main
from tests.simulators.field import SERIAL
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.releases import ROLES, Workshop, signature

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A plant's server, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "tests.simulators.field", "opcua", str(port)]
    with Program(command, tmp_path / "said", port) as program:
        await program.ready()
        yield f"opc.tcp://127.0.0.1:{port}/demo-plant"


async def test_from_browse_to_tags(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each form of an export gives the same tags as the server itself; a missing role is 3."""
    workshop = Workshop.below(tmp_path / "workshop")
    workshop.release("1")
    contract = tmp_path / "signature.json"
    contract.write_bytes(msgspec.json.encode(signature((*ROLES, "torque"))))
    exports = []
    for form in ("--json", "--csv", "--toml"):
        assert await asyncio.to_thread(main, ["browse", url, form]) == 0
        exports.append(tmp_path / form.strip("-"))
        exports[-1].write_text(capsys.readouterr().out)
    names = [node["name"] for node in json.loads(exports[0].read_text())["nodes"]]
    assert names == [SERIAL, *ROLES, "row"]
    expected = [f"nsu={NAMESPACE};s={node_name(SERIAL, role)}" for role in ROLES]
    for source in (*map(str, exports), url):
        out = tmp_path / "tags.toml"
        layout = str(workshop.layout.root)
        words = ["map", "--contract", layout, "--browse", source, "--out", str(out)]
        assert await asyncio.to_thread(main, words) == 0
        assert [tag["address"] for tag in tomllib.loads(out.read_text())["tags"]] == expected
    words = ["map", "--contract", str(contract), "--browse", str(exports[0]), "--json"]
    capsys.readouterr()
    assert main(words) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["missing"] == ["torque"]
    assert "torque: expected a variable" in said.err


async def test_empty_and_absent(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What finds nothing says so; who does not answer is 5; what makes no sense is 2."""
    assert await asyncio.to_thread(main, ["browse", url, "--filter", "nonsense"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "none of 4 nodes has 'nonsense' in it" in said.err
    absent = f"opc.tcp://127.0.0.1:{free_port()}"
    assert await asyncio.to_thread(main, ["browse", absent]) == 5
    assert await asyncio.to_thread(main, ["browse", "http://127.0.0.1"]) == 2
    assert await asyncio.to_thread(main, ["browse"]) == 2
    assert "Traceback" not in capsys.readouterr().err
