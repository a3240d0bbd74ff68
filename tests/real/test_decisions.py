"""The operator's decision on a topic of a real MQTT broker overrides the verdict in force."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from edge_runtime.decisions import DecisionTopic
from edge_runtime.line_config import TopicConfig
from tests.simulators.broker import Broker, broker
from tests.simulators.waiting import until

TOOLS = ("mosquitto", "mosquitto_pub", "mosquitto_sub")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"no {', '.join(MISSING)}: apt-get install mosquitto mosquitto-clients",
    ),
]

TOPIC = "hmi/pump-1/decision"


async def test_decisions_are_heard(tmp_path: Path) -> None:
    """Each decision is heard, whatever nonsense comes between, also when the broker was away."""
    heard: list[str] = []
    here = broker("plain", tmp_path)
    settings = TopicConfig(**here.credentials, topic=TOPIC, retry_s=0.1)
    topic = DecisionTopic(settings, heard.append)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(topic.run())
        with here.program:
            await here.program.ready()
            await said_until(here, heard, "leak")
            await asyncio.to_thread(here.publish, TOPIC, "Big Leak!")
            await until(lambda: topic.refused == 1, "nonsense is counted")
        with here.program:
            await here.program.ready()
            await said_until(here, heard, '{"label": "normal", "by": "ana"}')
        job.cancel()
    assert set(heard) == {"leak", "normal"}


async def said_until(here: Broker, heard: list[str], message: str) -> None:
    """Say *message* until it is heard: nobody tells when the topic is subscribed."""
    count = len(heard)
    for _ in range(200):
        await asyncio.to_thread(here.publish, TOPIC, message)
        await asyncio.sleep(0.05)
        if len(heard) > count:
            return
    raise AssertionError(f"{message}: never heard")
