"""OPC UA over real sockets: a server that is killed, a deaf link, strangers, another make."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_core.contracts.artefact import Windowing
from edge_core.features.samples import CellQuality
from edge_core.features.window import assess
from edge_fixtures.certificates import issue
from edge_fixtures.plant import NAMESPACE, SERVER_URI, node_name
from edge_runtime.config import TagConfig
from edge_runtime.ledger import Ledger
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.sample import TagSample, batch_of
from edge_runtime.windows import CutWindow, WindowStream
from tests.real.other_make import other_make_program
from tests.simulators.field import SERIAL, TAGS
from tests.simulators.link import Link
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.recorder import Recorder
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

figures = logging.getLogger(__name__)
SECOND_NS = 1_000_000_000
SILENCE_S = 1.0
DEAF_S = 3.0
ROWS = 60  # more than a second: enough for a window
WINDOWING = Windowing(period_s=0.05, length_rows=8, stride_rows=4, gap_rows_max=2)
QUALITIES = (CellQuality.GOOD, CellQuality.UNCERTAIN, CellQuality.BAD)  # of `STATUSES`


@dataclass(frozen=True, slots=True)
class Plant:
    """The plant's server, its certificate, and ours with its key."""

    program: Program
    port: int
    certificate: Path
    ours: tuple[Path, Path]


@pytest.fixture(scope="module")
def plant_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One process for all tests here, since it takes seconds to start."""
    folder, port, now = tmp_path_factory.mktemp("plant"), free_port(), datetime.now(UTC)
    pair = issue(folder, "server", SERVER_URI, now)
    ours = issue(folder, "ours", "urn:edge-mlops:gateway", now)
    command = [sys.executable, "-m", "tests.simulators.field", "opcua", str(port)]
    with Program([*command, *pair, ours[0]], folder / "said", port) as program:
        yield Plant(program, port, pair[0], ours)


@pytest.fixture
async def plant(plant_process: Plant) -> Plant:
    """It takes connections."""
    await plant_process.program.ready()
    return plant_process


def config(port: int, **more: object) -> OpcUaConfig:
    """The source; *more* are other fields."""
    usual: dict[str, object] = {
        "name": "plc",
        "url": f"opc.tcp://127.0.0.1:{port}/demo-plant",
        "publishing_s": 0.05,
        "silence_s": SILENCE_S,
        "queue": 1000,
        "retry_s": 0.1,
    }
    return OpcUaConfig(**{**usual, **more})  # type: ignore[arg-type]  # fields of any type


def tags(names: Sequence[str] = TAGS, address: str = "") -> list[TagConfig]:
    """Tags of the source `plc`; *address* has a place for the name."""
    form = address or f"nsu={NAMESPACE};s={node_name(SERIAL, '{}')}"
    return [
        TagConfig(role=name, unit="bar", source="plc", address=form.format(name)) for name in names
    ]


@asynccontextmanager
async def reading(
    wanted: OpcUaConfig, roles: Sequence[TagConfig] = ()
) -> AsyncIterator[tuple[Recorder, OpcUaSource]]:
    """A source that reads as long as the context lasts, and what comes of it."""
    known = roles or tags()
    got = Recorder([tag.role for tag in known])
    source = OpcUaSource(wanted, known, got.take, monotonic=time.monotonic, unix_ns=time.time_ns)
    with got.listening():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run())
            try:
                yield got, source
            finally:
                task.cancel()


async def test_values(plant: Plant) -> None:
    """Fifty rows a second arrive without a hole, each tag with its status and its source time."""
    async with reading(config(plant.port)) as (got, _):
        first = await got.until_value("flow", 1.0)
        await got.until_value("flow", first.value + 100)
    rows = {each.source_ns: int(each.value) for each in got.of("flow")}
    numbers = list(rows.values())
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert abs(time.time_ns() - first.source_ns) < 60 * SECOND_NS
    known = [each for each in got.of("pressure") if each.source_ns in rows]
    assert len(known) >= 100
    for pressure in known:
        number = rows[pressure.source_ns]
        assert pressure.quality is QUALITIES[number % len(QUALITIES)]
        assert pressure.quality is CellQuality.BAD or pressure.value == number / 2
    assert got.gaps() == {}


async def test_killed_server(plant: Plant, tmp_path: Path) -> None:
    """A killed server that comes back gives data again; the outage is a gap in every tag."""
    async with reading(config(plant.port)) as (got, _):
        await got.until_value("flow", await now_at(got) + ROWS)
        plant.program.kill()
        killed_s = time.monotonic()
        await until(lambda: got.gaps() == dict.fromkeys(TAGS, 1), "a gap in every tag")
        noticed_s, before = time.monotonic() - killed_s, len(got.samples)
        plant.program.start()
        await plant.program.ready()
        ready_s = time.monotonic()
        await until(lambda: seen(got.samples[before:]) == set(TAGS), "data again")
        figures.info(
            "server killed: noticed after %.2f s, data %.2f s after it was back, gap %.2f s",
            noticed_s,
            time.monotonic() - ready_s,
            gap_s(got),
        )
        await until(lambda: len(got.samples) > before + ROWS * len(TAGS), "rows")
    assert got.said("source.lost")[0].endswith("the connection was closed")
    begun_ns, ended_ns = outage(got)
    found = [each.window for each in windows(got, tmp_path)]
    within = [each for each in found if begun_ns < each.start_ns and each.end_ns < ended_ns]
    assert within
    assert not any(assess(each, WINDOWING, TAGS).scorable for each in within)
    assert min(each.end_ns for each in found if each.good_share[0] == 1.0) < begun_ns
    assert max(each.start_ns for each in found if each.good_share[0] == 1.0) > ended_ns


async def test_deaf_link(plant: Plant) -> None:
    """A link that takes connections and loses every byte is noticed, and left once it works."""
    link = Link(plant.port)
    async with link.open(), reading(config(link.port)) as (got, _):
        await got.until_value("flow", await now_at(got) + ROWS)
        tasks = len(asyncio.all_tasks())
        link.deaf = True
        deaf_s = time.monotonic()
        await until(lambda: got.gaps() == dict.fromkeys(TAGS, 1), "a gap in every tag")
        noticed_s = time.monotonic() - deaf_s
        await until(lambda: time.monotonic() - deaf_s > DEAF_S, "the outage lasts a while")
        link.deaf = False
        works_s, before = time.monotonic(), len(got.samples)
        await until(lambda: seen(got.samples[before:]) == set(TAGS), "data again")
        back_s = time.monotonic() - works_s
        figures.info(
            "deaf for %g s: noticed after %.2f s, data %.2f s after it worked, gap %.2f s",
            DEAF_S,
            noticed_s,
            back_s,
            gap_s(got),
        )
        await until(lambda: len(got.samples) > before + ROWS, "rows")
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "old connections leave no task")
    assert "expected a publish response every 1 s" in got.said("source.lost")[0]


async def test_wrong_certificate(plant: Plant, tmp_path: Path) -> None:
    """A server whose certificate is not the pinned one is refused in one line, without a value."""
    other, _ = issue(tmp_path, "other", SERVER_URI, datetime.now(UTC))
    secure = {
        "security": "basic256sha256",
        "certificate": plant.ours[0],
        "key": plant.ours[1],
    }
    wrong = config(plant.port, **secure, server_certificate=other)
    async with reading(wrong) as (got, source):
        await until(lambda: source.reconnects >= 3, "three attempts")
        assert got.samples == []
        [line] = got.said("source.lost")
    for certificate in (other, plant.certificate):
        assert sha256(certificate.read_bytes()).hexdigest() in line
    assert "\n" not in line
    right = config(plant.port, **secure, server_certificate=plant.certificate)
    async with reading(right) as (got, _):
        await got.until_value("flow", 1)


async def test_policy_that_is_not_offered(plant: Plant, tmp_path: Path) -> None:
    """A policy that the server lacks is named, with those that it has."""
    (tmp_path / "trusted").mkdir()
    ours = {"certificate": plant.ours[0], "key": plant.ours[1], "trust": tmp_path}
    async with reading(config(plant.port, security="basic128rsa15", **ours)) as (got, _):
        await got.until_said("source.lost")
        [line] = got.said("source.lost")
    assert "Basic128Rsa15" in line
    assert "Basic256Sha256" in line


OTHER_VALUES: dict[str, tuple[CellQuality, float | None]] = {
    "float": (CellQuality.GOOD, 1.5),
    "int16": (CellQuality.GOOD, -7.0),
    "boolean": (CellQuality.GOOD, 1.0),
    "text": (CellQuality.BAD, None),
    "broken": (CellQuality.BAD, 888.8),
    "held": (CellQuality.UNCERTAIN, 2.5),
    "old": (CellQuality.GOOD, 3.5),
}
OTHER_ROLES = (*OTHER_VALUES, "count")


@pytest.fixture(scope="module")
def other_make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server on node-opcua."""
    with other_make_program(tmp_path_factory.mktemp("node")) as program:
        yield program


async def test_another_make(other_make: Program, tmp_path: Path) -> None:
    """node-opcua, encrypted: types, statuses, old source times; killed and back, a gap in each."""
    await other_make.ready()
    assert other_make.port is not None
    certificate, key = issue(tmp_path, "ours", "urn:edge-mlops:gateway", datetime.now(UTC))
    wanted = config(
        other_make.port,
        url=f"opc.tcp://127.0.0.1:{other_make.port}/other",
        security="basic256sha256",
        certificate=certificate,
        key=key,
        server_certificate=other_make.said.parent / "pki/own/certs/certificate.pem",
    )
    async with reading(wanted, tags(OTHER_ROLES, "nsu=urn:another:make;s={}")) as (got, _):
        count = await got.until_value("count", 1)
        await got.until_value("count", count.value + 10)
        for role, (quality, value) in OTHER_VALUES.items():
            [sample] = got.of(role)
            assert sample.quality is quality
            assert value is None or sample.value == pytest.approx(value)
            # What has not changed for ten minutes is known from now on.
            assert abs(sample.source_ns - count.source_ns) < 5 * SECOND_NS
        other_make.kill()
        await until(lambda: got.gaps() == dict.fromkeys(OTHER_ROLES, 1), "a gap in every tag")
        before = len(got.samples)
        other_make.start()
        await other_make.ready()
        ready_s = time.monotonic()
        await until(lambda: seen(got.samples[before:]) == set(OTHER_ROLES), "data again")
        figures.info(
            "node-opcua killed: data %.2f s after it was back", time.monotonic() - ready_s
        )
    assert got.said("source.connected") == ["source.connected"] * 2


def another(role: str, unit: str = "1", element: str = "") -> TagConfig:
    """A tag of the other make's server."""
    address = f"nsu=urn:another:make;s={role}{element}"
    return TagConfig(role=role, unit=unit, source="plc", address=address)


async def test_another_make_forgets(other_make: Program) -> None:
    """node-opcua: units, an element; what it forgot in an outage comes from its history."""
    await other_make.ready()
    assert other_make.port is not None
    link, wanted = Link(other_make.port), [another("count"), another("warm", "degC")]
    wanted.append(another("row", element="#[1]"))
    async with link.open():
        source = config(link.port, url=f"opc.tcp://127.0.0.1:{link.port}/other", hold_s=0.5)
        async with reading(source, wanted) as (got, reader):
            for role, value in (("warm", 10.0), ("row", 1.5)):
                assert (await got.until_value(role, -1.0)).value == pytest.approx(value)
            before = (await got.until_value("count", 1)).value
            await got.until_value("count", before + 10)
            link.closed = True
            link.reset()
            await asyncio.sleep(DEAF_S)
            link.closed = False
            await got.until_said("source.history_read")
            last = got.of("count")[-1].value
            await got.until_value("count", last + 10)
    assert reader.recovered > 10
    values = sorted(each.value for each in got.of("count") if each.quality is CellQuality.GOOD)
    assert np.diff(values).tolist() == [1.0] * (len(values) - 1), "each once, and none left out"


async def now_at(got: Recorder) -> float:
    """The number of the present row."""
    return (await got.until_value("flow", 1.0)).value


def seen(samples: Sequence[TagSample]) -> set[str]:
    """Which tags have a value."""
    return {sample.role for sample in samples if sample.quality is not CellQuality.GAP}


def outage(got: Recorder) -> tuple[int, int]:
    """The longest time without a value of the first tag: its last and its next, in plant time."""
    times = [each.source_ns for each in got.of("flow") if each.quality is not CellQuality.GAP]
    return max(pairwise(times), key=lambda pair: pair[1] - pair[0])


def gap_s(got: Recorder) -> float:
    """How long that was."""
    begun_ns, ended_ns = outage(got)
    return (ended_ns - begun_ns) / SECOND_NS


def windows(got: Recorder, folder: Path) -> list[CutWindow]:
    """The windows that the samples become, as they come."""
    now_s = 0.0
    columns = {role: column for column, role in enumerate(TAGS)}
    found: list[CutWindow] = []
    with Ledger(folder / "ledger") as ledger:
        stream = WindowStream(tags(), ledger, lateness_s=0.1, monotonic=lambda: now_s)
        stream.follow(WINDOWING)
        begun_ns = got.samples[0].source_ns
        for sample in got.samples:
            now_s = max(now_s, (sample.source_ns - begun_ns) / SECOND_NS)
            stream.take(batch_of([sample], columns))
            found += stream.cut()
    return found
