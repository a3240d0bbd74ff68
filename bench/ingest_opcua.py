"""What a value from OPC UA costs: here, by asyncua's own handler, and by node-opcua's client.

All read the same replayed stream, each in a process of its own whose processor time is what
counts; the server never waits. Then the same with security, and a plant in real time: a thousand
tags, each a hundred times a second, where every sample is counted.

    python -m bench.ingest_opcua [--quick]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bench.opcua_replay import URI
from bench.report import report, table
from edge_fixtures.certificates import issue
from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.sample import SampleBatch
from tests.real.other_make import packages
from tests.simulators.ports import free_port
from tests.simulators.programs import listens

TAGS = 1000
WARM_S = 1.0
READY_S = 60.0
SECONDS, QUICK_SECONDS = 5.0, 2.0
PACED_SECONDS, QUICK_PACED_SECONDS = 20.0, 5.0
HERE = Path(__file__).parent


class Count:
    """Where a source ends in a benchmark: how many, and whether any is missing."""

    def __init__(self) -> None:
        self.values = 0
        self.batches: list[SampleBatch] = []
        self.keeping = False

    def take(self, batch: SampleBatch) -> None:
        """Count a batch."""
        self.values += len(batch)
        if self.keeping:
            self.batches.append(batch)

    @property
    def lost(self) -> int:
        """Samples that lie between two that came, of the same tag."""
        tags = np.concatenate([batch.tags for batch in self.batches])
        values = np.concatenate([batch.values for batch in self.batches])
        order = np.lexsort((values, tags))
        steps = np.diff(values[order])[np.diff(tags[order]) == 0]
        return int(np.sum(steps - 1)) + int(np.count_nonzero(np.isnan(values)))


async def ours(url: str, seconds: float, security: dict[str, Any]) -> dict[str, float]:
    """A source as the gateway makes it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    config = OpcUaConfig(name="plc", url=url, publishing_s=0.05, history=False, **security)
    tags = [
        TagConfig(role=f"t{number}", unit="1", source="plc", address=f"nsu={URI};s=t{number}")
        for number in range(TAGS)
    ]
    count = Count()
    source = OpcUaSource(config, tags, count.take, monotonic=time.monotonic, unix_ns=time.time_ns)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(source.run())
        found = await _measured(count, seconds)
        reading.cancel()
    return {**found, "lost": float(count.lost), "reconnects": float(source.reconnects)}


async def _measured(count: Count, seconds: float) -> dict[str, float]:
    while not count.values:  # noqa: ASYNC110 - another process brings it about
        await asyncio.sleep(0.05)
    await asyncio.sleep(WARM_S)
    count.keeping = True
    values, cpu_s, began_s = count.values, time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    return {
        "values": count.values - values,
        "cpu_s": time.process_time() - cpu_s,
        "seconds": time.monotonic() - began_s,
    }


async def theirs(url: str, seconds: float) -> dict[str, float]:
    """Asyncua as its documents have it: an object whose method is called for each value."""
    from asyncua.client.client import Client  # noqa: PLC0415 - the peer's process alone loads it so

    class Handler(Count):
        def datachange_notification(self, *_: object) -> None:
            self.values += 1

    async with Client(url) as client:
        handler = Handler()
        subscription = await client.create_subscription(50, handler)
        index = await client.get_namespace_index(URI)
        nodes = [client.get_node(f"ns={index};s=t{number}") for number in range(TAGS)]
        await subscription.subscribe_data_change(nodes)
        return await _measured(handler, seconds)


@contextmanager
def replaying(kind: str, files: Sequence[Path] = ()) -> Iterator[str]:
    """A replay server's address, as long as the context lasts."""
    port = free_port()
    command = [sys.executable, "-m", "bench.opcua_replay", str(port), str(TAGS), kind]
    with subprocess.Popen([*command, *map(str, files)]) as server:
        try:
            until_s = time.monotonic() + READY_S
            while not listens(port) and time.monotonic() < until_s:
                time.sleep(0.1)
            yield f"opc.tcp://127.0.0.1:{port}/replay"
        finally:
            server.kill()


def client(*arguments: str) -> dict[str, float]:
    """What a client in a process of its own says of itself."""
    command = [sys.executable, "-m", "bench.ingest_opcua", "--client", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def node_client(url: str, seconds: float) -> dict[str, float]:
    """The same of node-opcua's client."""
    folder = packages()
    (folder / "opcua_peer.js").write_bytes((HERE / "opcua_peer.js").read_bytes())
    command = ["node", str(folder / "opcua_peer.js"), url, str(TAGS), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def us(found: dict[str, float]) -> float:
    """Processor time a value, in microseconds."""
    return found["cpu_s"] / found["values"] * 1e6


def measure(*, quick: bool) -> dict[str, float]:
    """The figures of OPC UA and what they are made of."""
    seconds = str(QUICK_SECONDS if quick else SECONDS)
    with tempfile.TemporaryDirectory() as name:
        folder, now = Path(name), datetime.now(UTC)
        pair = issue(folder, "server", "urn:freeopcua:python:server", now)
        issue(folder, "ours", "urn:edge-mlops:gateway", now)
        with replaying("flood", pair) as url:
            plain = client("ours", url, seconds)
            handler = client("asyncua", url, seconds)
            peer = node_client(url, float(seconds))
            secured = client("ours", url, seconds, str(folder), str(pair[0]))
        with replaying("paced") as url:
            live_s = QUICK_PACED_SECONDS if quick else PACED_SECONDS
            live = client("ours", url, str(live_s))
    return {
        "cpu_vs_asyncua": us(plain) / us(handler),
        "cpu_vs_node_opcua": us(plain) / us(peer),
        "secured_vs_plain": us(secured) / us(plain),
        "tags100hz_lost": live["lost"],
        "tags100hz_core": live["cpu_s"] / live["seconds"],
        "opcua_us": us(plain),
        "opcua_secured_us": us(secured),
        "asyncua_handler_us": us(handler),
        "node_opcua_us": us(peer),
        "opcua_values_per_s": plain["values"] / plain["seconds"],
        "tags100hz_values_per_s": live["values"] / live["seconds"],
    }


def _as_client(arguments: Sequence[str]) -> dict[str, float]:
    who, url, seconds, *files = arguments
    if who == "asyncua":
        return asyncio.run(theirs(url, float(seconds)))
    security: dict[str, Any] = {}
    if files:
        folder, server = Path(files[0]), Path(files[1])
        security = {
            "security": "basic256sha256",
            "certificate": folder / "ours.der",
            "key": folder / "ours.key.pem",
            "server_certificate": server,
        }
    return asyncio.run(ours(url, float(seconds), security))


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="shorter")
    parser.add_argument("--client", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        print(json.dumps(_as_client(chosen.client)))
        return
    figures = measure(quick=chosen.quick)
    table("OPC UA", ["what", "is"], [[name, f"{value:.4g}"] for name, value in figures.items()])
    ratio = {name: value for name, value in figures.items() if "_vs_" in name}
    report("ingest_opcua", figures, {"name": "asyncua's handler, node-opcua's client"}, ratio)


if __name__ == "__main__":
    main()
