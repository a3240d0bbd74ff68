"""Shows what holds on nodes of an OPC UA server, and reads each back.

Only what holds now is worth writing: a value that the server was too slow to take is replaced by
the next, and counted. A node that does not say what we wrote is a fault that is reported: somebody
else writes it too, or the server does not keep it.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.attempt import attempt
from edge_runtime.broker import still_wanted
from edge_runtime.errors import SourceLostError
from edge_runtime.faults import Faults
from edge_runtime.sinks.settings import OpcUaSinkConfig
from edge_runtime.sinks.standing import Shown
from edge_runtime.sources.opcua_client import NONSENSE, library, renew_channel
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.verdict import Verdict

if TYPE_CHECKING:
    from edge_runtime.sinks.panel import Panel

log = structlog.get_logger(__name__)

FAULT: Final = "sink opcua"


class OpcUaSink:
    """The nodes of one server.

    Attributes:
        written: how often what holds was written and read back.
        mismatched: how often a node did not say what was written.
    """

    name = "opcua"

    def __init__(
        self,
        config: OpcUaSinkConfig,
        server: OpcUaConfig,
        faults: Faults,
        now: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._server = server
        self._faults = faults
        self._now = now
        self._shown: Shown | None = None
        self._beat: int | None = None
        self._due = False
        self._filled = asyncio.Event()
        self._told = ""
        self.dropped = 0
        self.written = 0
        self.mismatched = 0
        # At INFO this library writes out every value, at ERROR a traceback for every lost link.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)

    def put(self, verdict: Verdict) -> None:
        """Nodes show what holds; `show` says it."""

    def show(self, shown: Shown) -> None:
        """Write what holds soon."""
        self.dropped += int(self._due)
        self._shown, self._due = shown, True
        self._filled.set()

    def beat(self, count: int) -> None:
        """Move the heartbeat soon; one that nobody took is worth nothing."""
        self._beat = count
        self._filled.set()

    async def run(self) -> None:
        """Write for ever; a server that goes away is dialled again.

        Raises:
            ConfigurationError: a node cannot show what it shall.
        """
        ua_error = await asyncio.to_thread(_library_error)  # it takes two seconds to load
        while True:
            try:
                await attempt(self._connection())
            except* ConfigurationError as errors:
                raise _first(errors) from None
            except* (OSError, ua_error, SourceLostError, *NONSENSE) as errors:
                self._tell(_first(errors))
            await asyncio.sleep(self._server.retry_s)

    async def _connection(self) -> None:
        from edge_runtime.sinks.panel import open_panel  # noqa: PLC0415 - loads asyncua

        panel = await open_panel(self._config, self._server)
        try:
            log.info("sink.connected", sink=self.name, nodes=len(self._config.nodes))
            self._told = ""
            self._due = self._shown is not None  # whatever the server shows is old
            async with asyncio.TaskGroup() as group:
                group.create_task(renew_channel(panel.client))
                try:
                    await self._write_on(panel)
                except asyncio.CancelledError:
                    # The library has a kind of its own, which a group takes for an error.
                    raise asyncio.CancelledError from None
        finally:
            await panel.close()

    async def _write_on(self, panel: "Panel") -> None:
        while True:
            still_wanted()
            if self._due and self._shown is not None:
                self._due = False
                await panel.show(self._shown)
                await self._check(panel)
            if self._beat is not None:
                count, self._beat = self._beat, None
                await panel.beat(count, self._now())
            if not await self._woken():
                await self._check(panel)

    async def _woken(self) -> bool:
        """Wait for something to write; False when it is time to look at what was written."""
        try:
            async with asyncio.timeout(self._config.check_s):
                await self._filled.wait()
        except TimeoutError:
            return False
        self._filled.clear()
        return True

    async def _check(self, panel: "Panel") -> None:
        wrong = await panel.differences()
        if wrong:
            self.mismatched += 1
            self._faults.fault(FAULT, "; ".join(wrong))
        else:
            self.written += 1
            self._faults.mend(FAULT)

    def _tell(self, lost: BaseException) -> None:
        """Say why, unless that is what was said last."""
        words = ascii(str(lost) or type(lost).__name__)[1:-1][:300]
        if self._told != words:
            self._told = words
            log.warning("sink.lost", sink=self.name, reason=words)
            self._faults.fault(FAULT, f"{self._server.url}: {words}")


def _library_error() -> type[Exception]:
    """The library's own error, and with it the library."""
    library()
    from asyncua.ua.uaerrors import UaError  # noqa: PLC0415 - loaded by now

    found: type[Exception] = UaError
    return found


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
