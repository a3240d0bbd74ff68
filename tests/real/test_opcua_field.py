"""OPC UA as plants have it: every policy, users, a trust list, units, types, history."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client.client import Client

from edge_core.features.samples import CellQuality
from edge_runtime.config import TagConfig
from tests.real.opcua_plants import Served, asyncua_served, reading
from tests.simulators.link import Link
from tests.simulators.opcua_field import BAR, FAHRENHEIT, URI
from tests.simulators.truth import account, learnt
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

GOOD = CellQuality.GOOD
SECOND = 1_000_000_000
POLICY = "basic256sha256"


@pytest.fixture(scope="module")
def field_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One process for all tests here, since it takes seconds to start."""
    with asyncua_served(tmp_path_factory.mktemp("field")) as served:
        yield served


@pytest.fixture
async def plant(field_process: Served) -> Served:
    """It takes connections."""
    await field_process.program.ready()
    return field_process


def tag(role: str, unit: str = "1", **more: object) -> TagConfig:
    """A tag of the source `plc`, by the server's own name."""
    usual: dict[str, object] = {"address": f"nsu={URI};s={role}"}
    return TagConfig(role=role, unit=unit, source="plc", **{**usual, **more})  # type: ignore[arg-type]  # fields of any type


async def test_trust_list(plant: Served, tmp_path: Path) -> None:
    """A stranger's certificate is put where people find it; moved to trusted/, it is believed."""
    trust = tmp_path / "pki"
    async with reading(plant.secure(POLICY, trust=trust), [tag("count")]) as (got, _):
        await got.until_said("source.lost")
        [file] = (trust / "rejected").iterdir()
        assert file.read_bytes() == plant.certificate.read_bytes()
        assert str(file) in got.said("source.lost")[0]
        assert got.samples == []
        file.rename(trust / "trusted" / file.name)
        await got.until_value("count", 1)


TAGS = [
    tag("temperature", "degC"),
    tag("pressure", "mbar"),
    tag("vibration", address=f"nsu={URI};s=vibration#[1]"),
    tag("recipe", texts={"blend": 3.0, "AISI": 4.0}),
    tag("running"),
    tag("state"),
    tag("still"),
    tag("count"),
]
VALUES = {
    "temperature": 10.0,
    "pressure": 2500.0,
    "vibration": 1.5,
    "recipe": 3.0,
    "running": 1.0,
    "state": 2.0,
    "still": 4.5,
}


async def test_types_and_units(plant: Served) -> None:
    """Numbers in the tag's unit, elements of arrays, texts by their meaning, and what is old."""
    async with reading(plant.config(), TAGS) as (got, _):
        count = await got.until_value("count", 1)
        for role, value in VALUES.items():
            found = await got.until_value(role, -1e9)
            assert found.value == pytest.approx(value), role
        [still] = got.of("still")
        assert abs(still.source_ns - count.source_ns) < 5_000_000_000


async def test_unit_that_cannot_be(plant: Served) -> None:
    """A unit that cannot become the tag's is refused by name, and its values are bad."""
    tags = [tag("temperature", "bar"), tag("count")]
    async with reading(plant.config(), tags) as (got, _):
        await got.until_value("count", 1)
        await until(lambda: bool(got.of("temperature")), "a value")
        assert {each.quality for each in got.of("temperature")} == {CellQuality.BAD}
        [line] = got.said("tag.unit_refused")
        assert "temperature" in line
        assert "bar" in line


async def test_unit_that_changes(plant: Served) -> None:
    """When the server changes a unit, values go on in ours, and no window spans the change."""
    async with reading(plant.config(), [tag("pressure", "bar"), tag("count")]) as (got, _):
        await got.until_value("pressure", 2.5)
        async with Client(f"opc.tcp://127.0.0.1:{plant.port}/field", timeout=10) as other:
            index = await other.get_namespace_index(URI)
            pressure = other.get_node(f"ns={index};s=pressure")
            unit = await pressure.get_child("0:EngineeringUnits")
            await set_unit(unit, FAHRENHEIT)
            try:
                await until(lambda: bool(got.gaps()), "a gap")
                assert set(got.gaps()) == {"pressure"}
                await got.until_said("tag.unit_refused")
            finally:
                await set_unit(unit, BAR)


async def set_unit(node: object, unit: ua.EUInformation) -> None:
    """As an engineer would."""
    await node.write_value(unit)  # type: ignore[attr-defined]  # asyncua's node


async def test_history(plant: Served) -> None:
    """What an outage swallowed and the server had to forget is read from its history."""
    link = Link(plant.port)
    tags = [tag("count"), tag("half")]
    async with (
        link.open(),
        reading(plant.config(link.port, hold_s=0.5), tags) as (got, source),
        reading(plant.config(), tags) as (seen, _),
    ):
        await got.until_value("half", (await got.until_value("count", 1)).value / 2 + 10)
        link.closed = True
        link.reset()
        await asyncio.sleep(2.5)
        link.closed = False
        await seen.until_said("source.history_read")
        now = seen.of("count")[-1].value
        await got.until_value("half", now / 2 + 5)
    truth: dict[int, int] = {}
    learnt(truth, seen.of("count"))
    learnt(truth, got.of("count"))
    count = account(got.of("count"), truth)
    assert (count.missing, count.wrong) == (0, [])
    assert source.recovered > 20
    values = [each.value for each in got.of("count") if each.quality is GOOD]
    assert len(values) == len(set(values)), "no value comes twice"
    # Of the other tag there is no history: it has one gap, and nothing is made up.
    assert got.gaps()["half"] == 1


async def test_one_controller_is_ahead(plant: Served) -> None:
    """A controller whose clock is ahead hides no outage of the others, moving or not."""
    link = Link(plant.port)
    tags = [tag("count"), tag("half"), tag("still"), tag("fast")]
    more: dict[str, object] = {"hold_s": 0.5, "history": False}
    async with link.open(), reading(plant.config(link.port, **more), tags) as (got, _):
        await got.until_value("half", (await got.until_value("count", 1)).value / 2 + 20)
        fast_ns, now_ns = got.of("fast")[-1].source_ns, got.of("count")[-1].source_ns
        assert fast_ns > now_ns + 30 * SECOND
        link.closed = True
        link.reset()
        await until(lambda: len(got.gaps()) == len(tags), "gaps")
        last_ns = got.of("count")[-2].source_ns
        for role in ("count", "half", "still"):
            gap = got.of(role)[-1]
            assert gap.quality is CellQuality.GAP
            assert abs(gap.source_ns - last_ns) < SECOND, role
        link.closed = False
        await until(lambda: got.of("still")[-1].quality is GOOD, "all are back")
        assert abs(got.of("still")[-1].source_ns - got.of("count")[-1].source_ns) < 5 * SECOND


async def test_refused_tag(plant: Served) -> None:
    """A node that the server does not have costs that tag alone, and is named."""
    async with reading(plant.config(), [tag("nobody"), tag("count")]) as (got, _):
        await got.until_value("count", 1)
        [refusal] = [each for each in got.events if each["event"] == "tag.refused"]
        assert (refusal["role"], refusal["status"]) == ("nobody", "BadNodeIdUnknown")
