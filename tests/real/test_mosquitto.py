"""A real MQTT broker, plain and with TLS: killed, turning us away, delivering births and wills."""

import asyncio
import logging
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_fixtures.plant import (
    COOLING_TAGS,
    SPARKPLUG_DEVICE,
    SPARKPLUG_GROUP,
    SPARKPLUG_NODE,
)
from edge_runtime.config import TagConfig
from edge_runtime.sinks.mqtt import MqttSink, still_to_say
from edge_runtime.sinks.settings import MqttSinkConfig
from edge_runtime.sources.mqtt import MqttSource
from edge_runtime.sources.mqtt_config import MqttConfig, SparkplugConfig
from edge_runtime.sources.sparkplug import SparkplugSource
from edge_runtime.unsaid import Unsaid
from edge_runtime.verdict import Verdict
from tests.simulators.broker import Broker, broker, make_authority
from tests.simulators.field import STATUSES
from tests.simulators.link import MqttLink
from tests.simulators.programs import Program
from tests.simulators.recorder import Recorder
from tests.simulators.waiting import until

TOOLS = ("mosquitto", "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"no {', '.join(MISSING)}: apt-get install mosquitto mosquitto-clients",
    ),
]

figures = logging.getLogger(__name__)
TOPIC = "plant/utility"
ROLES = ("flow", "pressure")
VERDICTS = "edge/demo/gw-1/verdict"
AT_MS = 1_795_305_600_000
RETRY_S = 0.1


@asynccontextmanager
async def running(job: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Beside the test, as long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job)
        try:
            yield
        finally:
            task.cancel()


@pytest.fixture(params=["plain", "tls"])
async def mosquitto(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker that runs."""
    assert not MISSING, f"CI needs {MISSING}"
    made = broker(request.param, tmp_path)
    with made.program:
        await made.program.ready()
        yield made


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker that runs, without TLS."""
    assert not MISSING, f"CI needs {MISSING}"
    made = broker("plain", tmp_path)
    with made.program:
        await made.program.ready()
        yield made


def json_source(got: Recorder, **where: Any) -> MqttSource:  # Any: fields of a configuration
    """A source of two tags."""
    tags = [
        TagConfig(role=role, unit="bar", source="bus", address=f"{TOPIC}#{role}") for role in ROLES
    ]
    config = MqttConfig(name="bus", retry_s=RETRY_S, **where)
    return MqttSource(
        config,
        tags,
        got.take,
        serial="gw-1",
        monotonic=time.monotonic,
        unix_ns=time.time_ns,
    )


async def test_messages(mosquitto: Broker) -> None:
    """Single values and batches arrive; what is neither is counted and said once, and no more."""
    got = Recorder(ROLES)
    source = json_source(got, **mosquitto.credentials)
    with got.listening():
        async with running(source.run()):
            await got.until_said("source.connected")
            mosquitto.publish(TOPIC, f'{{"tag": "flow", "ts": {AT_MS}, "v": 1, "q": 192}}')
            mosquitto.publish(TOPIC, "no JSON at all \x1b[2J")
            mosquitto.publish(TOPIC, '{"tag": "flow", "ts": "yesterday", "v": 1}')
            mosquitto.publish(TOPIC, f'[{{"tag": "flow", "ts": {AT_MS}, "v": "31,5"}}]')
            rows = [
                {"tag": role, "ts": AT_MS + number, "v": number + 2, "q": 64}
                for number in range(500)
                for role in ROLES
            ]
            mosquitto.publish(TOPIC, msgspec.json.encode(rows).decode())
            mosquitto.publish(
                TOPIC, f'{{"ts": {AT_MS + 501}, "values": {{"flow": 900, "other": 1}}}}'
            )
            last = await got.until_value("flow", 900)
    assert last.source_ns == (AT_MS + 501) * 1_000_000
    first, text, *others = got.of("flow")
    assert [each.value for each in (first, *others)] == [1.0, *range(2, 502), 900.0]
    assert text.quality is CellQuality.BAD
    assert {each.quality for each in got.of("pressure")} == {CellQuality.UNCERTAIN}
    assert source.refused == 3
    [line] = got.said("source.refused")
    assert line.isprintable()


async def test_killed_broker(mosquitto: Broker) -> None:
    """A killed broker leaves a gap in every tag; once it is back, messages arrive again."""
    got = Recorder(ROLES)
    with got.listening():
        async with running(json_source(got, **mosquitto.credentials).run()):
            for times in (1, 2):
                await got.until_said("source.connected", times)
                mosquitto.publish(TOPIC, f'{{"tag": "flow", "ts": {AT_MS + times}, "v": {times}}}')
                await got.until_value("flow", times)
                mosquitto.program.kill()
                killed_s = time.monotonic()
                wanted = dict.fromkeys(ROLES, times)
                await until(lambda wanted=wanted: got.gaps() == wanted, "a gap")  # type: ignore[misc]  # a default
                noticed_s = time.monotonic() - killed_s
                mosquitto.program.start()
                await mosquitto.program.ready()
                ready_s = time.monotonic()
                await got.until_said("source.connected", times + 1)
                figures.info(
                    "broker killed: noticed after %.3f s, subscribed %.3f s after it was back",
                    noticed_s,
                    time.monotonic() - ready_s,
                )
    gap = next(each for each in got.of("flow") if each.quality is CellQuality.GAP)
    assert gap.source_ns == (AT_MS + 1) * 1_000_000 + 1
    assert len(got.said("source.lost")) >= 2


async def test_system_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker whose CA the system trusts is spoken to with TLS, and no CA file is needed."""
    made = broker("tls", tmp_path)
    credentials = made.credentials | {"tls": True}
    # OpenSSL takes the system's store from there, as a person would give it another one.
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.pop("ca")))
    got = Recorder(ROLES)
    source = json_source(got, **credentials)
    with made.program, got.listening():
        await made.program.ready()
        async with running(source.run()):
            await got.until_said("source.connected")
            made.publish(TOPIC, f'{{"tag": "flow", "ts": {AT_MS}, "v": 1, "q": 192}}')
            await got.until_value("flow", 1)


WRONG = {
    "a CA that the system does not trust": ("tls", "certificate verify failed"),
    "an unknown CA": ("ca", "certificate verify failed"),
    "a wrong password": ("password", "Not authorized"),
}


# The library leaves the socket of a failed handshake to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("name", WRONG)
async def test_refused_by_the_broker(name: str, tmp_path: Path) -> None:
    """A broker that is not ours, or does not know us: one line that says so, however often."""
    field, reason = WRONG[name]
    made = broker("tls", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    make_authority(other)
    (other / "password").write_text("guessed")
    credentials = made.credentials | {field: other / ("ca.pem" if field == "ca" else "password")}
    if field == "tls":
        credentials = made.credentials | {"tls": True, "ca": None}
    got = Recorder(ROLES)
    source = json_source(got, **credentials)
    with made.program, got.listening():
        await made.program.ready()
        async with running(source.run()):
            await until(lambda: refusals(made.program) >= 3, "three attempts")
    [line] = got.said("source.lost")
    assert reason in line


SPOILT = {
    "no CA file": ("ca", None, "expected PEM certificates"),
    "a CA file without a certificate": ("ca", "nonsense", "expected PEM certificates"),
    "no password file": ("password", None, "expected a password file"),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_spoilt_files(name: str, tmp_path: Path) -> None:
    """A file of ours that cannot be used is a mistake in the configuration, and is named."""
    field, content, words = SPOILT[name]
    file = tmp_path / "spoilt.pem"
    if content is not None:
        file.write_text(content)
    where: dict[str, Any] = {"host": "127.0.0.1", "user": "gw-1", field: file}  # Any: as above
    with pytest.raises(ConfigurationError, match=rf"spoilt\.pem: {words}"):
        await json_source(Recorder(ROLES), **where).run()


def refusals(program: Program) -> int:
    """How often the broker has turned somebody away, as it says."""
    words = ("not authorised", "Protocol error")
    return sum(any(word in line for word in words) for line in program.lines())


def verdict(number: int) -> Verdict:
    """A verdict on window *number*."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return Verdict(
        serial="gw-1", epoch=1, window=number, started=at, ended=at, decided=True, label="leak"
    )


async def test_sink(mosquitto: Broker, tmp_path: Path) -> None:
    """The last verdict is retained; what the broker missed follows, from the next process too."""
    where, got = MqttSinkConfig(retry_s=RETRY_S, **mosquitto.credentials), Recorder(ROLES)
    first = MqttSink(where, VERDICTS, Unsaid(tmp_path / "unsaid"))
    with got.listening():
        async with running(first.run()):
            for number in range(1, 4):
                first.put(verdict(number))
            await until(lambda: first.published == 3, "three verdicts")
            assert retained(mosquitto) == verdict(3)
            mosquitto.program.kill()
            await got.until_said("sink.lost")
            for number in range(4, 7):
                first.put(verdict(number))
        with Unsaid(tmp_path / "unsaid") as left:  # as after a kill: the first never closed it
            assert still_to_say(left) == [verdict(number) for number in range(4, 7)]
            second = MqttSink(where, VERDICTS, left)
            async with running(second.run()):
                mosquitto.program.start()
                await mosquitto.program.ready()
                ready_s = time.monotonic()
                await until(lambda: second.published == 3, "the other three")
                back_s = time.monotonic() - ready_s
                assert retained(mosquitto) == verdict(6)
    figures.info("sink: published %.3f s after the broker was back", back_s)
    with Unsaid(tmp_path / "unsaid") as confirmed:
        assert not confirmed.left
    assert (first.dropped, second.dropped) == (0, 0)


def retained(mosquitto: Broker) -> Verdict | None:
    """The verdict that a new subscriber is given."""
    found = mosquitto.retained(VERDICTS)
    return None if found is None else msgspec.json.decode(found, type=Verdict)


@dataclass(frozen=True, slots=True)
class Cooling:
    """An edge node in a process of its own, on a link that can lose messages."""

    got: Recorder
    source: SparkplugSource
    node: Program
    link: MqttLink
    heard: Program

    def topics(self) -> list[str]:
        """The kinds of all messages that mosquitto has delivered, in order."""
        return [line.split("/")[2] for line in self.heard.lines()]


@pytest.fixture
async def cooling(plain: Broker, tmp_path: Path) -> AsyncIterator[Cooling]:
    """The node publishes, we read, and mosquitto's own client listens."""
    got = Recorder(COOLING_TAGS)
    place = f"{SPARKPLUG_GROUP}/{SPARKPLUG_NODE}/{SPARKPLUG_DEVICE}"
    source = SparkplugSource(
        SparkplugConfig(name="bus", retry_s=RETRY_S, rebirth_interval_s=1.0, **plain.credentials),
        [
            TagConfig(role=role, unit="bar", source="bus", address=f"{place}#{role}")
            for role in COOLING_TAGS
        ],
        got.take,
        monotonic=time.monotonic,
        unix_ns=time.time_ns,
    )
    link = MqttLink(plain.port)
    listen = ["mosquitto_sub", *plain.flags, "-t", "spBv1.0/#", "-F", "%t"]
    async with link.open():
        command = [sys.executable, "-m", "tests.simulators.field", "sparkplug", str(link.port)]
        node = Program(command, tmp_path / "node.log")
        with Program(listen, tmp_path / "topics") as heard, got.listening():
            async with running(source.run()):
                await got.until_said("source.connected")
                with node:
                    yield Cooling(got, source, node, link, heard)


async def test_sparkplug_data(cooling: Cooling) -> None:
    """Births give names and aliases; every row that follows by alias alone arrives whole."""
    await cooling.got.until_value("flow", 60)
    rows = {each.source_ns: each.value for each in cooling.got.of("flow")}
    second = {each.source_ns: each for each in cooling.got.of("supply_pressure")}
    whole = sorted(set(rows) & set(second))
    assert [rows[at_ns] for at_ns in whole] == list(range(1, len(whole) + 1))
    for at_ns in whole:
        number, found = int(rows[at_ns]), second[at_ns]
        assert (found.quality is CellQuality.GOOD) == (STATUSES[number % len(STATUSES)] == 0)
        assert found.value == number / 2
    kinds = cooling.topics()
    assert kinds.count("DDATA") >= 50
    assert {"NBIRTH", "DBIRTH"} <= set(kinds)
    assert cooling.got.gaps() == {}


async def test_sparkplug_lost_message(cooling: Cooling) -> None:
    """A message lost on its way is a gap; the node is asked, announces itself anew, data go on."""
    got = cooling.got
    await got.until_value("flow", 10)
    asked, born = cooling.source.rebirths, cooling.topics().count("NBIRTH")
    commands = cooling.topics().count("NCMD")
    cooling.link.losing = 1
    await until(lambda: set(got.gaps()) == set(COOLING_TAGS), "a gap in every tag")
    noticed_s = time.monotonic()
    before = len(got.samples)
    await until(lambda: good(got.samples[before:]), "data again")
    back_s = time.monotonic() - noticed_s
    newest = max(each.value for each in got.of("flow") if each.quality is CellQuality.GOOD)
    await got.until_value("flow", newest + 20)
    asked = cooling.source.rebirths - asked
    assert asked >= 1
    await until(lambda: cooling.topics().count("NCMD") == commands + asked, "it was delivered")
    await until(lambda: cooling.topics().count("NBIRTH") == born + asked, "it was answered")
    numbers = [each.value for each in got.of("flow") if each.quality is CellQuality.GOOD]
    figures.info(
        "message lost: born again after %.3f s, %d rows without a value", back_s, missing(numbers)
    )
    assert missing(numbers) >= 1


async def test_sparkplug_death(cooling: Cooling) -> None:
    """When the node is gone, its will ends all values; a new node's births begin new ones."""
    got = cooling.got
    await got.until_value("flow", 10)
    last = got.of("flow")[-1]
    cooling.node.kill()
    killed_s = time.monotonic()
    await until(lambda: set(got.gaps()) == set(COOLING_TAGS), "a gap in every tag")
    figures.info("node killed: dead after %.3f s", time.monotonic() - killed_s)
    await until(lambda: cooling.topics()[-1:] == ["NDEATH"], "the will")
    gap = got.of("flow")[-1]
    assert gap.quality is CellQuality.GAP
    assert gap.source_ns > last.source_ns
    before = len(got.samples)
    cooling.node.start()
    await until(lambda: good(got.samples[before:]), "data again")


def good(samples: Sequence[Any]) -> bool:  # Any: samples
    """Whether every tag has a good value."""
    return {each.role for each in samples if each.quality is CellQuality.GOOD} == set(COOLING_TAGS)


def missing(numbers: Sequence[float]) -> int:
    """How many rows are not there."""
    return int(max(numbers) - min(numbers)) + 1 - len(set(numbers))
