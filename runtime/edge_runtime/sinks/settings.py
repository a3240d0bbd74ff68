"""Where verdicts go: the tables `[sinks.*]` of the gateway's configuration."""

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Label
from edge_runtime.bounds import MIB, Seconds, Text
from edge_runtime.broker import BrokerConfig

NodeText = Annotated[str, Meta(min_length=3, max_length=300, pattern=r"^(nsu=[^;]+|ns=\d+);")]


class Shows(StrEnum):
    """What one node of a PLC or a control system shows of the verdict that holds.

    The type of the node decides how: a class is its name or its number in the model's order
    (-1 for none), a heartbeat is a counter or a bit that turns over. Where there is no number, as
    while the safe output holds, `value` is "not a number" with the status Bad_OutOfService.
    """

    LABEL = "label"
    ALARM = "alarm"
    DECIDED = "decided"
    CONFIDENCE = "confidence"
    VALUE = "value"
    HEARTBEAT = "heartbeat"


class MqttSinkConfig(BrokerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Verdicts go to `edge/<site>/<serial>/verdict` and the heartbeat beside it, unless named."""

    topic: Text | None = None
    heartbeat_topic: Text | None = None


class OpcUaSinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes of one server; nothing else there, or on any other server, is ever written.

    Attributes:
        source: the `[[sources]]` entry whose server it is; we sign in there as we do to read.
        allow: every node that may be written. Whoever owns the server has agreed to these.
        nodes: which of them shows what; on a server that takes no status of ours, `value` needs
            `decided` beside it, or nothing would say that a number is held or gone.
        check_s: how often what we wrote is read again, since others may write there too.
    """

    source: Label
    allow: Annotated[list[NodeText], Meta(min_length=1, max_length=64)]
    nodes: Annotated[dict[Shows, NodeText], Meta(min_length=1)]
    check_s: Seconds = 5.0

    def __post_init__(self) -> None:
        """Refuse a node that is not allowed, and the server's own.

        Raises:
            ValueError: names the key and the node.
        """
        for address in (*self.allow, *self.nodes.values()):
            if address.startswith(("ns=0;", "nsu=http://opcfoundation.org/UA/;")):
                raise ValueError(f"sinks.opcua.allow: {address} is the server's own, not ours")
        for shows, address in self.nodes.items():
            if address not in self.allow:
                raise ValueError(
                    f"sinks.opcua.nodes.{shows}: expected a node of `allow`, found {address}"
                )
        if len(set(self.nodes.values())) < len(self.nodes):
            raise ValueError("sinks.opcua.nodes: expected each node once")


class FileSinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ring of files with one verdict a line; each appears whole or not at all.

    Attributes:
        directory: `verdicts` in the data folder unless named.
        bytes_max: of all files together; the oldest goes first.
        every_s: how much a power cut may take, and how often the disk is written.
    """

    directory: Path | None = None
    bytes_max: Annotated[int, Meta(ge=MIB)] = 16 * MIB
    every_s: Seconds = 10.0


class SinksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each kind at most once.

    Attributes:
        heartbeat_s: how often the heartbeat moves while windows are scored.
    """

    mqtt: MqttSinkConfig | None = None
    opcua: OpcUaSinkConfig | None = None
    files: FileSinkConfig | None = None
    heartbeat_s: Seconds = 1.0


def mistake(
    config: OpcUaSinkConfig, servers: Collection[str], read: Collection[tuple[str, str]]
) -> str | None:
    """What is wrong with *config* beside the rest of the configuration, in words.

    Args:
        config: of the sink.
        servers: names of all OPC UA sources.
        read: source and address of every tag.
    """
    if config.source not in servers:
        known = ", ".join(servers) or "none is configured"
        return (
            f"`$.sinks.opcua.source`: expected an OPC UA source ({known}), found {config.source}"
        )
    for source, address in read:
        if source == config.source and address.partition("#")[0] in config.allow:
            return (
                f"`$.sinks.opcua.allow`: {address} is read as a tag; we never write what we read"
            )
    return None
