"""A process that is the plant's side of a wire: an OPC UA server, or a Sparkplug B edge node.

Usage: python -m tests.simulators.field {opcua|sparkplug} PORT [CERTIFICATE KEY CLIENT]

Fifty rows a second. Row n shows n in its first tag and half of it in the second, the next status
of `STATUSES` on the second, and the present time.
"""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from edge_fixtures.plant import COOLING_TAGS
from edge_fixtures.rows import Row

HOST = "127.0.0.1"
SERIAL = "gw-1"
TAGS = ("flow", "pressure")
PERIOD_S = 0.02
UNCERTAIN_LAST_USABLE = 0x40900000
BAD_SENSOR_FAILURE = 0x808C0000
STATUSES = (0, UNCERTAIN_LAST_USABLE, BAD_SENSOR_FAILURE)


def row(number: int, width: int, at: datetime) -> Row:
    """Row *number* of a machine with *width* tags."""
    values = (float(number), number / 2, *[1.0] * (width - 2))
    statuses = (0, STATUSES[number % len(STATUSES)], *[0] * (width - 2))
    return Row(SERIAL, number, at, values, statuses)


Publish = Callable[[Sequence[Row]], Awaitable[None]]


@asynccontextmanager
async def opcua(port: int, files: Sequence[Path]) -> AsyncIterator[tuple[Publish, int]]:
    """What publishes rows, and how wide they are."""
    from edge_fixtures.opcua_server import (  # noqa: PLC0415 - seconds that the other kind saves
        OpcUaSettings,
        plant_server,
    )

    settings = OpcUaSettings(port=port)
    if files:
        certificate, key, client = files
        settings = OpcUaSettings(port=port, certificate=certificate, key=key, trusted=(client,))
    async with plant_server(settings, {SERIAL: TAGS}) as server:
        yield server.publish, len(TAGS)


@asynccontextmanager
async def sparkplug(port: int, _: Sequence[Path]) -> AsyncIterator[tuple[Publish, int]]:
    """As above."""
    from edge_fixtures.mqtt import edge_node  # noqa: PLC0415 - as above

    async with edge_node(HOST, port, now=lambda: datetime.now(UTC)) as node:
        yield node.publish, len(COOLING_TAGS)


async def run(kind: str, port: int, files: Sequence[Path]) -> None:
    """Publish until killed."""
    async with {"opcua": opcua, "sparkplug": sparkplug}[kind](port, files) as (publish, width):
        for number in itertools.count(1):
            await publish([row(number, width, datetime.now(UTC))])
            await asyncio.sleep(PERIOD_S)


def main() -> None:
    """Run as the arguments say."""
    kind, port, *files = sys.argv[1:]
    asyncio.run(run(kind, int(port), [Path(file) for file in files]))


if __name__ == "__main__":
    main()
