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
from edge_runtime.config import TagConfig
from tests.real.opcua_plants import node_served, reading
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


ANOTHER = {  # name: type, unit, access, value, status
    "float": ("Float", "", "rw", 1.5, ""),
    "int16": ("Int16", "", "rw", -7, ""),
    "boolean": ("Boolean", "", "rw", True, ""),
    "text": ("String", "", "rw", "31,5", ""),
    "broken": ("Double", "", "rw", 888.8, "BadSensorFailure"),
    "held": ("Double", "", "rw", 2.5, "UncertainLastUsableValue"),
    "warm": ("Double", "°F", "rw", 50.0, ""),
    "row": ("Float[]", "", "rw", "[0.5, 1.5, 2.5]", ""),
}


async def test_another_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """node-opcua, encrypted: types, units, ranges, ids by URI; the tags that come of it read."""
    contract, out = tmp_path / "signature.json", tmp_path / "tags.toml"
    model = msgspec.to_builtins(signature(("warm", "float", "count")))
    for feature in model["features"]:
        feature["unit"] = {"warm": "degC"}.get(feature["role"], "1")
    contract.write_bytes(msgspec.json.encode(model))
    with node_served(tmp_path) as served:
        await served.program.ready()
        url = f"opc.tcp://127.0.0.1:{served.port}/{served.path}"
        words = ["--security", "aes256sha256rsapss", "--certificate", str(served.ours[0])]
        words += ["--key", str(served.ours[1]), "--server-certificate", str(served.certificate)]
        assert await asyncio.to_thread(main, ["browse", url, "--json", *words]) == 0
        nodes = {node["name"]: node for node in json.loads(capsys.readouterr().out)["nodes"]}
        for name, expected in ANOTHER.items():
            node = nodes[name]
            keys = ("type", "unit", "access", "value", "status")
            assert tuple(node[key] for key in keys) == expected
            assert node["node"] == f"nsu={served.namespace};s={name}"
            assert node["path"] == f"/device/{name}"
        assert nodes["count"]["access"] == "rwh"
        assert (nodes["warm"]["low"], nodes["warm"]["high"]) == (0.0, 200.0)
        words += ["--contract", str(contract), "--browse", url, "--out", str(out)]
        assert await asyncio.to_thread(main, ["map", *words]) == 0
        tags = msgspec.convert(tomllib.loads(out.read_text())["tags"], list[TagConfig])
        async with reading(served.config(), tags) as (got, _):
            for role, value in {"warm": 10.0, "float": 1.5}.items():
                assert (await got.until_value(role, -1e9)).value == pytest.approx(value)
            await got.until_value("count", 1)
    warm = next(tag for tag in tags if tag.role == "warm")
    assert (warm.low, warm.high) == pytest.approx((-17.777778, 93.333333))
    assert "# the server has °F, which is converted" in out.read_text()


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
