"""Samples from an OPC UA server, by subscription, with a liveness of our own.

A connection may look well while no data arrives. So what counts is the arrival of publish
responses, keep-alives among them: after `silence_s` without one, or when the socket goes, the
connection is left. Then the server is asked for the same session and subscription again, and for
what it has kept meanwhile; only if it has neither everything begins anew, what was missed is read
from its history where there is one, and what nobody has any more is a gap in every tag.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from edge_runtime.config import TagConfig
from edge_runtime.errors import SourceLostError
from edge_runtime.sources.opcua_client import NONSENSE, library, renew_channel
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_continuity import Continuity, doubted
from edge_runtime.sources.opcua_items import NO_TIME
from edge_runtime.sources.opcua_recovery import Recovery
from edge_runtime.sources.opcua_tags import UNIT_HANDLES, TagColumns
from edge_runtime.sources.opcua_wire import Notification
from edge_runtime.sources.sample import GapCause, Ingest, SampleBatch, gaps

if TYPE_CHECKING:
    from edge_runtime.sources.opcua_line import Line, Lines

log = structlog.get_logger(__name__)

LOOKS_A_SILENCE: Final = 8


class OpcUaSource:
    """One server and the tags that come from it.

    Attributes:
        reconnects: connections that ended.
    """

    def __init__(
        self,
        config: OpcUaConfig,
        tags: Sequence[TagConfig],
        ingest: Ingest,
        *,
        monotonic: Callable[[], float],
        unix_ns: Callable[[], int],
    ) -> None:
        places = [place for place, tag in enumerate(tags) if tag.source == config.name]
        self._config = config
        self._columns = TagColumns([tags[place] for place in places], places)
        self._continuity = Continuity(self._columns.places, len(tags))
        self._ingest = ingest
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        self._line: Line | None = None
        self._recovery = Recovery(config, self._columns, self._hand_on)
        self.reconnects = 0
        # At INFO this library writes out every value, at ERROR a traceback for every lost link.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)

    @property
    def overflows(self) -> int:
        """Values before which the server says that it dropped some."""
        return self._continuity.overflows

    @property
    def recovered(self) -> int:
        """Values that were read from history."""
        return self._recovery.values

    async def run(self) -> None:
        """Read for ever.

        Raises:
            ConfigurationError: the server lacks a namespace or a certificate cannot be used.
        """
        # It takes two seconds to load, and models do not wait for it.
        lines = await asyncio.to_thread(self._lines)
        told = ""
        try:
            while True:
                try:
                    line = await lines.open()
                    told = ""
                    await self._live(lines, line)
                except SourceLostError as error:
                    # A server that is away for a week is one line, not one a second.
                    if told != str(error):
                        told = str(error)
                        log.warning("source.lost", source=self._config.name, reason=told)
                self.reconnects += 1
                await asyncio.sleep(self._config.retry_s)
        finally:
            if self._line is not None:
                await lines.drop(self._line)

    def _lines(self) -> "Lines":
        library()
        from edge_runtime.sources.opcua_line import Lines  # noqa: PLC0415 - loads asyncua

        return Lines(self._config, self._columns, self._message, self._monotonic)

    async def _live(self, lines: "Lines", line: "Line") -> None:
        """One line from its beginning to its end.

        Raises:
            SourceLostError: it ended, and why.
        """
        self._line = line
        if not line.resumed:
            self._continuity.begin()
        log.info(
            "source.connected",
            source=self._config.name,
            tags=len(self._columns.tags),
            origin=line.origin.value,
            subscription=line.subscription.number,
            republished=len(line.held),
        )
        reason, cause, resumable = await self._until_lost(line)
        self._line = None
        if line.held:
            self._settle(line)
        # Before the goodbye, which may take a second: windows are cut meanwhile.
        self._hand_on(self._continuity.lost(cause))
        if resumable:
            lines.keep(line)
        else:
            await lines.drop(line)
        raise SourceLostError(f"{self._config.url}: {reason}")

    async def _until_lost(self, line: "Line") -> tuple[str, GapCause, bool]:
        """Why the line gives nothing any more, and whether it may be taken up again."""
        async with asyncio.TaskGroup() as group:
            beside = (
                self._quietly(renew_channel(line.client)),
                self._ask_again(line),
                self._recovery.run(line.session, line.subscription),
            )
            jobs = [group.create_task(job) for job in beside]
            try:
                return await self._watch(line)
            finally:
                for job in jobs:
                    job.cancel()

    async def _watch(self, line: "Line") -> tuple[str, GapCause, bool]:
        keep_alive_s = line.subscription.keep_alive_s
        silence_s = max(self._config.silence_s, 2 * keep_alive_s)
        # What is taken up owes us a sign at once, since it has been silent for long.
        first_s = min(keep_alive_s, silence_s) if line.resumed else silence_s
        while True:
            ended = line.publisher.ended
            await asyncio.wait([ended], timeout=first_s / LOOKS_A_SILENCE)
            if ended.done():
                loss = ended.result()
                return loss.reason, loss.cause, loss.resumable
            heard_s = line.publisher.heard_s
            limit_s = first_s if heard_s is None else silence_s
            since_s = line.established_s if heard_s is None else heard_s
            quiet_s = self._monotonic() - since_s
            if quiet_s > limit_s:
                reason = (
                    f"expected a publish response every {limit_s:g} s, found none for "
                    f"{quiet_s:.1f} s"
                )
                return reason, GapCause.SILENCE, True

    async def _quietly(self, job: Coroutine[None, None, None]) -> None:
        """Do what is not worth a connection; silence tells if it fails with the rest."""
        from asyncua.ua.uaerrors import UaError  # noqa: PLC0415 - loaded by now

        with suppress(OSError, UaError, *NONSENSE):
            await job

    async def _ask_again(self, line: "Line") -> None:
        from edge_runtime.sources.opcua_subscription import ask_again  # noqa: PLC0415 - loaded by now

        await ask_again(line.session, line.subscription, self._config, self._columns)

    def _message(self, message: Notification, more: bool) -> None:  # noqa: FBT001 - as it was sent
        """One message has come, perhaps without a value."""
        line = self._line
        resumed = line is not None and not line.settled
        if line is not None:
            self._settle(line)
        self._take(message, more=more, historical=False, resumed=resumed)

    def _settle(self, line: "Line") -> None:
        """The server goes on where it was: nothing was lost, and here is what it had kept."""
        if line.settled:
            return
        line.settled = True
        self._hand_on(self._continuity.mended())
        held, line.held = line.held, []
        for message in held:
            self._take(message, more=True, historical=True, resumed=False)

    def _take(self, message: Notification, *, more: bool, historical: bool, resumed: bool) -> None:
        published_ns = message.published_ns
        if published_ns == NO_TIME:
            published_ns = self._unix_ns()
        if message.changes.others:
            self._take_units(message, published_ns)
        batch = self._columns.batch(message.changes, published_ns, self._monotonic())
        if historical:
            batch = batch.late()
        if resumed:
            batch = doubted(batch, self._config.queue)
        self._hand_on(self._continuity.take(batch, published_ns, more=more))
        self._recovery.add(self._continuity.holes())

    def _take_units(self, message: Notification, published_ns: int) -> None:
        from edge_runtime.sources.opcua_subscription import tell_unit  # noqa: PLC0415 - loaded by now

        handles = message.changes.handles
        for row, said in message.changes.others.items():
            handle = int(handles[row]) - UNIT_HANDLES
            if 0 <= handle < len(self._columns.tags) and tell_unit(self._columns, handle, said):
                # From one unit to another there is no sense in holding the last value.
                place = self._columns.places[handle : handle + 1]
                [from_ns] = self._continuity.dated(place, published_ns).tolist()
                self._hand_on(gaps(place.tolist(), from_ns, GapCause.UNIT))

    def _hand_on(self, batch: SampleBatch) -> None:
        if len(batch):
            self._ingest(batch)
