"""The nodes of one connection: found, written, read back."""

from datetime import datetime
from typing import Any

import asyncua
import structlog
from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.sinks.pen import Pen, Place, Value, beat_of, same, value_of
from edge_runtime.sinks.settings import OpcUaSinkConfig, Shows
from edge_runtime.sinks.standing import Shown, Standing
from edge_runtime.sources.opcua_client import open_session, throw_away
from edge_runtime.sources.opcua_config import OpcUaConfig

log = structlog.get_logger(__name__)


class Panel:
    """What one server shows; made by `open_panel`."""

    def __init__(self, client: Any, pen: Pen, places: list[Place]) -> None:  # Any: asyncua's
        self.client = client
        self._pen = pen
        self._places = places
        self._said: dict[Shows, Value] = {}

    async def show(self, shown: Shown) -> None:
        """Write what holds.

        Raises:
            UaError: the server refused a value.
            OSError: it is gone.
        """
        for place in self._places:
            value = value_of(place, shown)
            if value is not None:
                await self._write(place, value, shown.standing, shown.at)

    async def beat(self, count: int, now: datetime) -> None:
        """Move the heartbeat; raises as `show`."""
        for place in self._places:
            if place.shows is Shows.HEARTBEAT:
                await self._write(place, beat_of(place, count), Standing.DECIDED, now)

    async def differences(self) -> list[str]:
        """Read back what was written: one line for each node that says something else."""
        found: list[str] = []
        for place in self._places:
            if place.shows not in self._said:
                continue
            wanted, read = self._said[place.shows], await self._pen.read(place)
            if not same(wanted, read):
                found.append(
                    f"{place.address}: wrote {wanted!a}, reads {ascii(read)[:80]}: somebody "
                    "else writes it, or the server does not keep it"
                )
        return found

    async def close(self) -> None:
        """Leave the server."""
        await throw_away(self.client)

    async def _write(self, place: Place, value: Value, standing: Standing, at: datetime) -> None:
        timed = place.timed
        await self._pen.write(place, value, standing, at)
        if timed and not place.timed:
            log.warning("sink.status_refused", node=place.address)
        self._said[place.shows] = value


async def open_panel(config: OpcUaSinkConfig, server: OpcUaConfig) -> Panel:
    """Sign in and find the nodes.

    Raises:
        ConfigurationError: a node cannot show what it shall, or our files do not sign us in.
        SourceLostError: the server is not the one that is trusted.
        OSError: it cannot be reached.
        UaError: it refuses us.
    """
    client = await open_session(server, asyncua)
    try:
        namespaces = await client.get_namespace_array()
        allowed = {address: node_of(address, namespaces) for address in config.allow}
        pen = Pen(client, frozenset(allowed.values()))
        places = [
            await pen.place(shows, address, allowed[address])
            for shows, address in config.nodes.items()
        ]
    except BaseException:
        await throw_away(client)
        raise
    return Panel(client, pen, places)


def node_of(address: str, namespaces: list[str]) -> ua.NodeId:
    """The id of a node on a server with these namespaces.

    Raises:
        ConfigurationError: the server lacks its namespace, or it is no node id.
    """
    text = address
    if address.startswith("nsu="):
        uri, _, rest = address.removeprefix("nsu=").partition(";")
        if uri not in namespaces:
            known = ", ".join(namespaces)
            raise ConfigurationError(f"{address}: expected a namespace of the server ({known})")
        text = f"ns={namespaces.index(uri)};{rest}"
    try:
        return ua.NodeId.from_string(text)
    except (UaError, ValueError) as error:
        raise ConfigurationError(f"{address}: expected a node id: {error}") from None
