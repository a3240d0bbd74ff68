"""A real MQTT broker and what it keeps for us: sessions, certificates, hostile messages."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.config import TagConfig
from edge_runtime.sources.mqtt import MqttSource
from edge_runtime.sources.mqtt_config import MqttConfig
from tests.simulators.broker import Broker, broker, make_authority, make_client
from tests.simulators.recorder import Recorder
from tests.simulators.waiting import until

MISSING = [tool for tool in ("mosquitto", "mosquitto_pub") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"no {', '.join(MISSING)}: apt-get install mosquitto mosquitto-clients",
    ),
]

TOPIC = "plant/utility"
AT_MS = 1_795_305_600_000
VERSIONS = ("3.1.1", "5")


@asynccontextmanager
async def running(job: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Beside the test, as long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job)
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def started(kind: str, folder: Path) -> AsyncIterator[Broker]:
    """A broker that runs."""
    assert not MISSING, f"CI needs {MISSING}"
    made = broker(kind, folder)
    with made.program:
        await made.program.ready()
        yield made


def source(got: Recorder, **how: Any) -> MqttSource:  # Any: fields of a configuration
    """A source of one tag, as a gateway makes it after each start."""
    tag = TagConfig(role="flow", unit="bar", source="bus", address=f"{TOPIC}#flow")
    return MqttSource(
        MqttConfig(name="bus", retry_s=0.1, **how),
        [tag],
        got.take,
        serial="gw-1",
        monotonic=time.monotonic,
        unix_ns=time.time_ns,
    )


def line(number: int) -> str:
    """Message *number*, which shows it."""
    return f'{{"tag": "flow", "ts": {AT_MS + number}, "v": {number}}}'


@pytest.mark.parametrize("version", VERSIONS)
async def test_kept_while_away(version: str, tmp_path: Path) -> None:
    """What is sent while a gateway is away arrives when it is back, in order and each once."""
    async with started("plain", tmp_path) as mosquitto:
        how = mosquitto.credentials | {"protocol": version}
        got = Recorder(["flow"])
        with got.listening():
            async with running(source(got, **how).run()):
                await got.until_said("source.connected")
                mosquitto.publish(TOPIC, line(0))
                await got.until_value("flow", 0)
            mosquitto.publish_lines(TOPIC, [line(number) for number in range(1, 60)])
            async with running(source(got, **how).run()):
                await got.until_value("flow", 59)
    assert [each.value for each in got.of("flow") if each.value == each.value] == list(range(60))


@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_kept(version: str, tmp_path: Path) -> None:
    """With a session of 0 s the broker keeps nothing."""
    async with started("plain", tmp_path) as mosquitto:
        how = mosquitto.credentials | {"protocol": version, "session_s": 0.0}
        got = Recorder(["flow"])
        with got.listening():
            async with running(source(got, **how).run()):
                await got.until_said("source.connected")
            mosquitto.publish(TOPIC, line(1))
            async with running(source(got, **how).run()):
                await got.until_said("source.connected", 2)
                mosquitto.publish(TOPIC, line(2))
                await got.until_value("flow", 2)
    assert [each.value for each in got.of("flow")] == [2.0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_client_certificate(version: str, tmp_path: Path) -> None:
    """A broker that asks for certificates takes ours, and what comes over TLS comes whole."""
    async with started("mutual", tmp_path) as mosquitto:
        got = Recorder(["flow"])
        with got.listening():
            async with running(source(got, **mosquitto.credentials, protocol=version).run()):
                await got.until_said("source.connected")
                mosquitto.publish_lines(TOPIC, [line(number) for number in range(300)])
                await got.until_value("flow", 299)
    assert [each.value for each in got.of("flow")][:300] == list(range(300))


# The library leaves the socket of a failed handshake to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
async def test_certificate_of_another(tmp_path: Path) -> None:
    """A certificate of another CA is turned away, and the line says so once."""
    other = tmp_path / "other"
    other.mkdir()
    certificate, key = make_client(make_authority(other), other)
    async with started("mutual", tmp_path) as mosquitto:
        got = Recorder(["flow"])
        how = mosquitto.credentials | {"certificate": certificate, "key": key}
        with got.listening():
            async with running(source(got, **how).run()):
                said = mosquitto.program.lines
                await until(
                    lambda: sum("certificate" in each for each in said()) >= 2, "two attempts"
                )
    assert len(got.said("source.lost")) <= 2  # a connection can break in more than one way
    assert not got.said("source.connected")


@pytest.mark.parametrize("version", VERSIONS)
async def test_hostile_messages(version: str, tmp_path: Path) -> None:
    """What is huge, deep, no text or no JSON stops nothing, and one line a topic tells of it."""
    huge = tmp_path / "huge"
    huge.write_bytes(b"[" * (3 * 1024 * 1024))
    async with started("plain", tmp_path) as mosquitto:
        got = Recorder(["flow"])
        reader = source(got, **mosquitto.credentials, protocol=version)
        with got.listening():
            async with running(reader.run()):
                await got.until_said("source.connected")
                mosquitto.publish_file(TOPIC, huge)
                for number, raw in enumerate(("[" * 50_000, "\x1b[2J", "{}", '{"v": NaN}'), 1):
                    mosquitto.publish(TOPIC, raw)
                    mosquitto.publish(TOPIC, line(number))
                await got.until_value("flow", 4)
    assert [each.value for each in got.of("flow")] == [1.0, 2.0, 3.0, 4.0]
    # A broker of version 5 was told what we do not want, and keeps it to itself.
    assert reader.refused == (5 if version == "3.1.1" else 4)
    assert len(got.said("source.refused")) == 1
    assert not got.said("source.lost")
