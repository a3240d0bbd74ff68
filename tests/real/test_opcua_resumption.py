"""OPC UA lines that are taken up again, and which way: the session, its subscription, or neither.

The counter of each server goes up by one, so its numbers tell what is missing and what came twice.
Before each cut the link swallows what the server says, so that it has something to send again.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from edge_core.features.samples import CellQuality
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.sample import TagSample
from tests.real.opcua_plants import Served, makes_served, reading
from tests.simulators.link import Link
from tests.simulators.recorder import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.real]

SWALLOWED_S = 0.5
AWAY_S = 1.0
PATIENCE_S = 4.0  # a busy machine must not look like an outage of its own


@dataclass(frozen=True, slots=True)
class Outage:
    """What a server does while the link is cut, and what must come of it.

    Attributes:
        make: of the server.
        origins: of the lines that come after the cut.
        secure: sign and encrypt.
        forgets: the signal that makes it forget.
        refused: the status with which it declines to pass on the subscription.
    """

    make: str
    origins: tuple[str, ...]
    secure: bool = False
    forgets: signal.Signals | None = None
    refused: str = ""


OUTAGES = {
    "asyncua keeps the session": Outage("asyncua", ("session",)),
    "node-opcua keeps the session": Outage("node-opcua", ("session",)),
    "node-opcua keeps the subscription alone": Outage(
        "node-opcua", ("transfer",), secure=True, forgets=signal.SIGUSR2
    ),
    # OPC 10000-4, 5.13.7: between anonymous sessions only on channels that are at least signed.
    "node-opcua does not pass it on": Outage(
        "node-opcua", ("new",), forgets=signal.SIGUSR2, refused="BadUserAccessDenied"
    ),
    "asyncua keeps neither": Outage(
        "asyncua", ("new",), forgets=signal.SIGUSR1, refused="BadSubscriptionIdInvalid"
    ),
    # Its server agrees, sends again what it had sent, and from then on nothing.
    "asyncua passes it on in vain": Outage("asyncua", ("transfer", "new"), forgets=signal.SIGUSR2),
}


@pytest.fixture(scope="module")
def makes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """One process a make for all tests here, since it takes seconds to start."""
    with makes_served(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
async def test_taken_up(makes: Callable[[str], Served], outage: Outage) -> None:
    """The line comes back that way; taken up, it keeps its id, and every value comes once."""
    served, lines = makes(outage.make), 1 + len(outage.origins)
    await served.program.ready()
    link = Link(served.port)
    async with link.open():
        config = way(served, link, secure=outage.secure)
        async with reading(config, [served.tag("count")]) as (got, _):
            first = await got.until_value("count", 1)
            await got.until_value("count", first.value + 10)
            await suffer(link, served, outage)
            await got.until_said("source.connected", lines)
            await got.until_value("count", told(got)[-1].value + 100)
    begun, *later = said(got, "source.connected")
    assert [begun["origin"], *(each["origin"] for each in later)] == ["new", *outage.origins]
    refusals = [each["status"] for each in said(got, "source.transfer_refused")]
    assert refusals == ([outage.refused] if outage.refused else [])
    for line in later:
        taken_up = line["origin"] != "new"
        assert (line["subscription"] == begun["subscription"]) is taken_up
        assert (line["republished"] > 0) is taken_up
    assert got.gaps() == {"count": len(later)}
    last_gap = [each for each in got.of("count") if each.quality is CellQuality.GAP][-1]
    lost = "new" in outage.origins
    within = [a.source_ns < last_gap.source_ns < b.source_ns for a, b in holes(got)]
    assert within == [True] * lost


def way(served: Served, link: Link, *, secure: bool) -> OpcUaConfig:
    """A source by way of the link, without the history that would hide a loss."""
    more: dict[str, object] = {"history": False, "silence_s": PATIENCE_S}
    if not secure:
        return served.config(link.port, **more)
    return served.secure("aes256sha256rsapss", link.port, **more)


async def suffer(link: Link, served: Served, outage: Outage) -> None:
    """Swallow some, cut, let the server forget, and mend."""
    link.deaf = True
    await asyncio.sleep(SWALLOWED_S)
    link.closed = True
    link.reset()
    await asyncio.sleep(AWAY_S)
    if outage.forgets is not None:
        served.program.tell(outage.forgets)
        await asyncio.sleep(AWAY_S)
    link.deaf = link.closed = False


def said(got: Recorder, event: str) -> list[MutableMapping[str, Any]]:
    """What was logged of this name."""
    return [each for each in got.events if each["event"] == event]


def told(got: Recorder) -> list[TagSample]:
    """The numbers in order of source time, without the mark that says that a gap was none."""
    samples = sorted(got.of("count"), key=lambda each: each.source_ns)
    gaps_ns = {each.source_ns for each in samples if each.quality is CellQuality.GAP}
    return [
        each
        for each in samples
        if each.quality is CellQuality.GOOD and each.source_ns - 1 not in gaps_ns
    ]


def holes(got: Recorder) -> list[tuple[TagSample, TagSample]]:
    """Neighbours between which numbers are missing, or that came twice."""
    return [(a, b) for a, b in pairwise(told(got)) if b.value - a.value != 1]
