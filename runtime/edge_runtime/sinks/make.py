"""The sinks that a configuration asks for."""

from collections.abc import Callable
from datetime import datetime

from edge_runtime.config import Config
from edge_runtime.faults import Faults
from edge_runtime.sinks.files import FileSink
from edge_runtime.sinks.mqtt import MqttSink, topic
from edge_runtime.sinks.opcua import OpcUaSink
from edge_runtime.sinks.port import Outlet
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.unsaid import Unsaid


def outlets(
    config: Config, unsaid: Unsaid, faults: Faults, now: Callable[[], datetime]
) -> list[Outlet]:
    """Every sink of *config*, none of them running."""
    sinks = config.sinks
    found: list[Outlet] = []
    if sinks.mqtt is not None:
        found.append(MqttSink(sinks.mqtt, topic(sinks.mqtt, config.site, config.serial), unsaid))
    if sinks.opcua is not None:
        found.append(OpcUaSink(sinks.opcua, server_of(config, sinks.opcua.source), faults, now))
    if sinks.files is not None:
        found.append(FileSink(sinks.files, sinks.files.directory or config.data / "verdicts"))
    return found


def server_of(config: Config, name: str) -> OpcUaConfig:
    """The OPC UA source by that name; the configuration was checked for it."""
    return next(
        each for each in config.sources if isinstance(each, OpcUaConfig) and each.name == name
    )
