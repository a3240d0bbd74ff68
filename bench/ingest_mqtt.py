"""What a message of MQTT costs here and in aiomqtt's own loop, and what a Sparkplug metric costs.

Both readers empty the same kind of queue: mosquitto holds messages of QoS 1 for a session that is
away, and the clock runs from the connection to the last message. So the publisher is not timed,
and both wait for the same broker. They take turns, and the best turn of each counts.

    python -m bench.ingest_mqtt [--quick]
"""

import argparse
import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import msgspec
import structlog

from bench.report import report, table
from edge_fixtures.sparkplug_encoder import Metric, encode
from edge_runtime.config import TagConfig
from edge_runtime.sources.mqtt import MqttSource
from edge_runtime.sources.mqtt_config import MqttConfig
from edge_runtime.sources.mqtt_payload import Wanted
from edge_runtime.sources.sample import SampleBatch
from edge_runtime.sources.sparkplug_node import EdgeNode
from edge_runtime.sources.sparkplug_payload import decode, decode_any
from tests.simulators.broker import HOST, Broker, broker

TOPIC = "plant/utility"
LINE = '{"tag":"flow","ts":1795305600000,"v":31.5,"q":192}\n'
OURS, THEIRS = "edge-bench-bus", "bench-theirs"
LIMIT_S = 120.0
METRICS = 200
SOME = 32  # messages timed at once


class Reading(msgspec.Struct, frozen=True):
    """What a careful user of aiomqtt would decode into."""

    tag: str
    ts: int
    v: float
    q: int = 192


@dataclass(frozen=True, slots=True)
class Turn:
    """One queue emptied: messages a second of the wall's clock, and CPU a message."""

    rate: float
    cpu_us: float


Drain = Callable[[Broker, str, int], Awaitable[None]]


async def theirs(made: Broker, protocol: str, count: int) -> None:
    """The documented way."""
    decoder = msgspec.json.Decoder(Reading)
    taken = 0
    async with theirs_client(made, protocol) as client:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            decoder.decode(message.payload)
            taken += 1
            if taken == count:
                return


def theirs_client(made: Broker, protocol: str) -> aiomqtt.Client:
    """A session that the broker keeps."""
    if protocol == "3.1.1":
        return aiomqtt.Client(HOST, made.port, identifier=THEIRS, clean_session=False)
    from paho.mqtt.packettypes import PacketTypes  # noqa: PLC0415 - beside its one use
    from paho.mqtt.properties import Properties  # noqa: PLC0415 - likewise

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
    properties.SessionExpiryInterval = 3600
    return aiomqtt.Client(
        HOST,
        made.port,
        identifier=THEIRS,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=properties,
    )


async def ours(made: Broker, protocol: str, count: int) -> None:
    """The gateway's source, from the socket to columns."""
    taken = 0
    done = asyncio.Event()

    def ingest(batch: SampleBatch) -> None:
        nonlocal taken
        taken += int((batch.quality == 0).sum())
        if taken >= count:
            done.set()

    config = MqttConfig(
        name="bus",
        host=HOST,
        port=made.port,
        protocol="5" if protocol == "5" else "3.1.1",
        client_id=OURS,
    )
    tags = [TagConfig(role="flow", unit="bar", source="bus", address=f"{TOPIC}#flow")]
    source = MqttSource(
        config, tags, ingest, serial="b", monotonic=time.monotonic, unix_ns=time.time_ns
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run())
        if count:
            await done.wait()
        else:
            await asyncio.sleep(0.3)  # long enough to subscribe; nothing is timed
        task.cancel()


async def subscribe(made: Broker, protocol: str) -> None:
    """Let the broker know both sessions, so that it keeps what comes."""
    async with theirs_client(made, protocol) as client:
        await client.subscribe(TOPIC, qos=1)
    await ours(made, protocol, 0)


async def compare(made: Broker, protocol: str, count: int, turns: int) -> dict[str, list[Turn]]:
    """Both, in turn, on queues of *count* messages."""
    await subscribe(made, protocol)
    found: dict[str, list[Turn]] = {"aiomqtt": [], "gateway": []}
    lines = made.program.said.with_name("lines")
    lines.write_text(LINE * count, encoding="ascii")
    ways: Sequence[tuple[str, Drain]] = (("aiomqtt", theirs), ("gateway", ours))
    for turn in range(turns):
        with lines.open("rb") as queue:
            command = ["mosquitto_pub", "-h", HOST, "-p", str(made.port), "-q", "1", "-t", TOPIC]
            subprocess.run([*command, "-l"], stdin=queue, check=True, timeout=LIMIT_S)  # noqa: ASYNC221 - nothing else runs
        for name, drain in ways if turn % 2 else ways[::-1]:
            began_s, used_s = time.perf_counter(), time.process_time()
            async with asyncio.timeout(LIMIT_S):
                await drain(made, protocol, count)
            took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - used_s
            found[name].append(Turn(count / took_s, cpu_s / count * 1e6))
    return found


async def messages(count: int, turns: int) -> dict[str, dict[str, list[Turn]]]:
    """Both versions of MQTT, each on a broker of its own."""
    found = {}
    for protocol in ("3.1.1", "5"):
        with tempfile.TemporaryDirectory() as folder:
            made = broker("plain", Path(folder))
            with made.program:
                await made.program.ready()
                found[protocol] = await compare(made, protocol, count, turns)
    return found


def sparkplug(rounds: int) -> dict[str, float]:
    """Microseconds a metric, from a message of 200 by alias with their times to a batch."""
    births, messages = node_messages()
    node = EdgeNode({("meter", f"m{at}"): Wanted(at) for at in range(METRICS)})
    node.take("NBIRTH", "", decode(births[0]))
    node.take("DBIRTH", "meter", decode(births[1]))
    ways: dict[str, list[float]] = {"whole": [], "upb": []}
    for start in [*range(0, len(messages), SOME)] * rounds:
        some = messages[start : start + SOME]
        # Of this thread alone: on a busy machine the wall's clock shows the others.
        began_s = time.thread_time()
        for raw in some:
            heard = node.take("DDATA", "meter", decode(raw))
            assert len(heard.batches[0]) == METRICS
        between_s = time.thread_time()
        for raw in some[:4]:
            decode_any(raw)
        ways["whole"].append((between_s - began_s) / SOME / METRICS)
        ways["upb"].append((time.thread_time() - between_s) / 4 / METRICS)
    return {name: round(statistics.median(each) * 1e6, 3) for name, each in ways.items()}


def node_messages() -> tuple[list[bytes], list[bytes]]:
    """Births, and 256 messages, after which the numbers begin again."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    named = [Metric(name=f"m{n}", alias=n + 1, value=0.0) for n in range(METRICS)]
    births = [encode([], at=at, seq=0), encode(named, at=at, seq=1)]
    return births, [
        encode(
            [Metric(alias=n + 1, value=number + n / 7, at=at) for n in range(METRICS)],
            at=at,
            seq=(number + 2) % 256,
        )
        for number in range(256)
    ]


def measure(*, quick: bool) -> dict[str, float]:
    """The figures: `mqtt_vs_aiomqtt`, `sparkplug_us_per_metric` and what they are made of."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    count, turns = (2000, 3) if quick else (30_000, 5)
    figures: dict[str, float] = {}
    for protocol, found in asyncio.run(messages(count, turns)).items():
        name = protocol.replace(".", "")
        for who, made in found.items():
            figures[f"mqtt{name}_{who}_per_s"] = round(max(turn.rate for turn in made))
            figures[f"mqtt{name}_{who}_cpu_us"] = round(min(turn.cpu_us for turn in made), 1)
        pairs = zip(found["gateway"], found["aiomqtt"], strict=True)
        ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)
        figures[f"mqtt{name}_vs_aiomqtt"] = round(ratio, 2)
    taken = sparkplug(4 if quick else 20)
    figures["sparkplug_us_per_metric"] = taken["whole"]
    figures["sparkplug_upb_one_by_one_us"] = taken["upb"]
    # Both speak 3.1.1 unless told otherwise, so that is the comparison.
    figures["mqtt_vs_aiomqtt"] = figures["mqtt311_vs_aiomqtt"]
    return figures


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    figures = measure(quick=parser.parse_args().quick)
    table("figures", ["what", "is"], [[key, value] for key, value in figures.items()])
    ratio = {key: value for key, value in figures.items() if key.endswith("vs_aiomqtt")}
    report("ingest_mqtt", figures, {"name": "aiomqtt's `async for`, msgspec"}, ratio)


if __name__ == "__main__":
    main()
