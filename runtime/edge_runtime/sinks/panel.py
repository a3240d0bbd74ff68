"""The nodes of one connection: found, written, read back."""

from datetime import datetime
from typing import Any

import asyncua
import structlog
from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.sinks.pen import (
    NO_NUMBER,
    Pen,
    Place,
    Said,
    Value,
    beat_of,
    lost_status,
    same,
    value_of,
)
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
        self._said: dict[Shows, Said] = {}
        self._untimed: set[str] = set()

    async def show(self, shown: Shown) -> None:
        """Write what holds.

        Raises:
            ConfigurationError: a number would be left looking good when it is old.
            UaError: the server refused a value.
            OSError: it is gone.
        """
        for place in self._places:
            if place.shows is not Shows.HEARTBEAT:
                await self._write(place, value_of(place, shown), shown.standing, shown.at)

    async def beat(self, count: int, now: datetime) -> None:
        """Move the heartbeat; raises as `show`."""
        for place in self._places:
            if place.shows is Shows.HEARTBEAT:
                await self._write(place, beat_of(place, count), Standing.DECIDED, now)

    async def differences(self) -> list[str]:
        """Read back what was written: one line for each node that says something else.

        A status that the server took and did not keep is as good as refused. Raises as `show`.
        """
        found: list[str] = []
        for place in self._places:
            if place.shows not in self._said:
                continue
            wanted, read = self._said[place.shows], await self._pen.read(place)
            if place.timed and lost_status(wanted, read):
                number = None if wanted.status == NO_NUMBER else wanted.value
                self._keep(place, await self._pen.write_bare(place, number))
                wanted, read = self._said[place.shows], await self._pen.read(place)
            if not same(wanted, read) or (place.timed and wanted.good != read.good):
                found.append(
                    f"{place.address}: wrote {_words(wanted)}, reads {_words(read)}: somebody "
                    "else writes it, or the server does not keep it"
                )
        return found

    async def close(self) -> None:
        """Leave the server."""
        await throw_away(self.client)

    async def _write(
        self, place: Place, value: Value | None, standing: Standing, at: datetime
    ) -> None:
        self._keep(place, await self._pen.write(place, value, standing, at))

    def _keep(self, place: Place, said: Said) -> None:
        self._said[place.shows] = said
        if not place.timed and place.address not in self._untimed:
            self._untimed.add(place.address)
            log.warning("sink.status_refused", node=place.address)


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
        # The number comes first: where it must not be written, nothing is.
        wanted = sorted(config.nodes.items(), key=lambda each: each[0] is not Shows.VALUE)
        places = [await pen.place(shows, address, allowed[address]) for shows, address in wanted]
    except BaseException:
        await throw_away(client)
        raise
    for place in places:
        place.bare = place.shows is not Shows.VALUE or Shows.DECIDED in config.nodes
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


def _words(said: Said) -> str:
    value = ascii(said.value)[:80]
    return value if said.good else f"{value} (status 0x{said.status:08X})"
