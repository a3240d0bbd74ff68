"""One whole update of a gateway, in one thread, so that every step of it can be counted and cut.

Everything that touches the disk is the gateway's own: record, store, download, verification,
collection, flight recorder. What runs models is simulated here; the test that comes after a cut
uses the real engine.

    python -m tests.endurance.update_run        reads one request a line from stdin

For every request it forks a child, says its pid, lets it wait for `Request.go`, and says how it
ended. The fork saves the imports, which would take longer than the update.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import structlog

from edge_core.contracts.artefact import Descriptor, Digest
from edge_core.contracts.gateway import (
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    TrialPolicy,
)
from edge_core.contracts.plant import SafetyClass
from edge_core.oci import BlobStore, Layout, Meter, Source
from edge_core.oci.documents import Fetched
from edge_core.trust.policy import Trust
from edge_runtime.errors import SiteUnreachableError
from edge_runtime.lineup import Lineup, Loads
from edge_runtime.startup import tidied
from edge_runtime.update.agent import Agent
from edge_runtime.update.ascent import Means, Pace
from edge_runtime.update.fetch import Shelf
from edge_runtime.update.keeper import RecordKeeper, begin
from edge_runtime.update.record import AIRBORNE, BEFORE, Entry, Record
from edge_runtime.update.recorder import FlightRecorder
from edge_runtime.update.references import Cause
from edge_runtime.update.store import RecordStore
from tests.simulators.line import SimulatedLine, granted
from tests.simulators.releases import TARGET

QUICK = TrialPolicy(inferences_min=3, duration_min_s=0.0, duration_max_s=60.0, tries=3)
LIFE_S = 60.0  # far above what any run here takes
TIDY_S = 0.03  # some passes more, in which what is unreferenced is collected
_PR_SET_PTRACER = 0x59616D61  # prctl(2): let anybody trace us, where Yama forbids it
_ANYBODY = -1

P = ParamSpec("P")
T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        data: the gateway's folder, which a run before this one has left.
        layout: where releases come from.
        policy: the site's trust policy.
        wanted: what the site wants.
        go: the run waits until this file is there.
        errs: the release that fails on every window.
        forgetful: flush nothing, to show that the test would notice.
        cause: how the run before it ended.
    """

    data: str
    layout: str
    policy: str
    wanted: Desired | None
    go: str
    errs: str = ""
    forgetful: bool = False
    cause: Cause = Cause.PROCESS


@dataclass(slots=True, kw_only=True)
class Line(SimulatedLine):
    """Loads and smokes nothing before every byte of it was read."""

    shelf: Shelf

    def read(self, wanted: Entry) -> None:
        """All of it."""
        self.shelf.verify(wanted)


@dataclass(frozen=True, slots=True)
class NearSite:
    """A site that says yes, and whose registry is a folder."""

    layout: Layout

    async def permit(self, request: PermitRequest) -> PermitReply:
        """Yes."""
        return granted(request)

    async def pull(self, request: PullRequest) -> PullReply:
        """All of it."""
        return PullReply(granted=True, bytes=request.bytes_missing)

    def source(self, _: str, __: Meter | None = None) -> Source:
        """The folder."""
        return self.layout


@dataclass(frozen=True, slots=True)
class AbsentSite:
    """No site, no registry."""

    async def permit(self, _: PermitRequest) -> PermitReply:
        """Nobody answers."""
        raise SiteUnreachableError("no site")

    async def pull(self, _: PullRequest) -> PullReply:
        """Nobody answers."""
        raise SiteUnreachableError("no site")

    def source(self, _: str, __: Meter | None = None) -> Source:
        """Nobody answers there either."""
        return self

    async def manifest(self, _: str) -> Fetched:
        """Nobody answers."""
        raise SiteUnreachableError("no registry")

    async def blob(self, _: Descriptor, __: Path) -> None:
        """Nobody answers."""
        raise SiteUnreachableError("no registry")

    async def referrers(self, _: Digest, __: str | None = None) -> list[Descriptor]:
        """Nobody answers."""
        raise SiteUnreachableError("no registry")

    async def tags(self) -> list[str]:
        """Nobody answers."""
        raise SiteUnreachableError("no registry")


def shelf_at(data: Path, policy: Path) -> Shelf:
    """The shelf of the gateway at *data*."""
    return Shelf(
        store=BlobStore(data / "store"),
        trust=Trust.load(policy),
        stage="production",
        safety_class=SafetyClass.NONE,
        targets=(TARGET,),
        reserve_bytes=0,
    )


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs; it ends with its context."""

    agent: Agent
    lineup: Lineup
    line: Line

    @property
    def record(self) -> Record:
        """As it stands."""
        return self.agent.record

    @property
    def rests(self) -> bool:
        """Nothing changes any more by itself, and what the record says runs."""
        effective = None if self.record.fail_safe else self.record.slots.effective
        return self.record.state not in AIRBORNE and self.lineup.running == effective

    def ended(self, wanted: Desired) -> bool:
        """Whether what is wanted was heard and has come to its end."""
        heard = self.record.desired == wanted
        return heard and self.rests and self.record.state not in BEFORE


def gateway_at(request: Request, loads: Loads | None = None) -> Gateway:
    """The gateway of *request*, in its own folder; *loads* takes the place of simulated models."""
    data = Path(request.data)
    tidied(data / "record")
    shelf = shelf_at(data, Path(request.policy))
    line = Line(shelf=shelf, errs=request.errs)
    recorder = FlightRecorder(data / "record" / "flight.log", lambda: datetime.now(UTC))
    keeper = RecordKeeper(RecordStore(data / "record"), time.monotonic, recorder)
    lineup = Lineup(loads or line, line)
    site = AbsentSite() if request.wanted is None else NearSite(Layout(Path(request.layout)))
    pace = Pace(look_s=0.001, retry_s=0.02, retry_s_max=0.1, keep_s=0.0)
    means = Means(shelf, line, lineup, site, time.monotonic, pace)
    return Gateway(Agent(keeper, means), lineup, line)


async def live(
    request: Request, until: Callable[[Gateway], bool], loads: Loads | None = None
) -> Gateway:
    """Run the gateway until *until* holds, and some passes more; it has stopped by then."""
    gateway = gateway_at(request, loads)
    await begin(gateway.agent.keeper, request.cause, "boot")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(gateway.agent.run())
        if request.wanted is not None:
            gateway.agent.submit(request.wanted)
        async with asyncio.timeout(LIFE_S):
            while not until(gateway):
                gateway.line.work()
                await asyncio.sleep(0.0005)
        await asyncio.sleep(TIDY_S)
        running.cancel()
    await gateway.agent.end()
    await gateway.lineup.retire_others(frozenset())
    return gateway


class _Inline(ThreadPoolExecutor):
    """Does in the caller's thread what was meant for another: one thread, one order of steps."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Done when it returns."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
            future.set_exception(error)
        return future


async def _whole(request: Request) -> None:
    asyncio.get_running_loop().set_default_executor(_Inline(1))
    wanted = request.wanted
    await live(request, lambda each: each.rests if wanted is None else each.ended(wanted))


def _forgotten(_: object) -> None:
    """What was to be flushed stays where it is."""


def _child(request: Request) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY)
    if request.forgetful:
        setattr(os, "fsync", _forgotten)  # noqa: B010 - what a careless build would do
        setattr(os, "fdatasync", _forgotten)  # noqa: B010 - likewise
    while not Path(request.go).exists():
        time.sleep(0.001)
    asyncio.run(_whole(request))


def main() -> int:
    """Serve requests until stdin ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        request = msgspec.json.decode(line, type=Request)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _child(request)
                code = 0
            finally:
                os._exit(code)
        _say(pid)
        _say(os.waitpid(pid, 0)[1])
    return 0


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def encoded(request: Request) -> Any:  # Any: bytes for a pipe
    """The request as a line."""
    return msgspec.json.encode(request) + b"\n"


if __name__ == "__main__":
    sys.exit(main())
