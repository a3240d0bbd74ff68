"""Tells every sink what holds: each verdict, the safe output when there is none, a heartbeat.

Taking a verdict costs as many calls as there are sinks; each has a short queue of its own, and
one that is slow or dead drops what is old and counts it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.plant import Serial
from edge_runtime.sinks.port import Outlet
from edge_runtime.sinks.standing import Holding
from edge_runtime.verdict import Verdict

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.25  # how late the safe output may be
SETTING_RETRY_S: Final = 10.0  # a server that lacks a node today may have it tomorrow
DROPS_S: Final = 60.0  # between two lines about what was dropped


class Fanout:
    """All sinks of one gateway.

    Attributes:
        beats: how often the heartbeat has moved.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet],
        who: tuple[Serial, int],
        contract: Callable[[], ModelSignature | None],
        clocks: tuple[Callable[[], float], Callable[[], datetime]],
        heartbeat_s: float,
    ) -> None:
        self._outlets = outlets
        self._serial, self._epoch = who
        self._contract = contract
        self._monotonic, self._now = clocks
        self._heartbeat_s = heartbeat_s
        self._holding = Holding(self._monotonic())
        self._silent = False
        self._dropped_said = 0
        self.beats = 0

    @property
    def dropped(self) -> int:
        """What all sinks together let go."""
        return sum(each.dropped for each in self._outlets)

    def put(self, verdict: Verdict) -> None:
        """See `port.Sink`."""
        self._silent = False
        self._holding.follow(self._contract())
        shown = self._holding.hear(verdict, self._monotonic())
        for each in self._outlets:
            each.put(verdict)
            if shown is not None:
                each.show(shown)

    async def run(self, fault: Callable[[str, str], None]) -> None:
        """Hand on for ever; *fault* takes a sink's name and what is wrong with its settings."""
        if not self._outlets:
            return
        async with asyncio.TaskGroup() as group:
            for each in self._outlets:
                group.create_task(_kept(each, fault))
            group.create_task(self._look())
            group.create_task(self._beat())
            group.create_task(self._tell_drops())

    def look(self) -> None:
        """Let the safe output hold if it is time."""
        now_s = self._monotonic()
        self._holding.follow(self._contract())
        shown = self._holding.look(now_s, self._now())
        if shown is not None:
            log.warning("verdict.safe_output", label=shown.label)
            for each in self._outlets:
                each.show(shown)
        silence_s, silent_s = self._holding.silence_s, self._holding.silent_s(now_s)
        if silence_s is not None and silent_s > silence_s and not self._silent:
            self._silent = True
            verdict = self._silence(silence_s)
            for each in self._outlets:
                each.put(verdict)

    def beat(self) -> None:
        """Move the heartbeat if windows are scored."""
        if not self._holding.scoring(self._monotonic()):
            return
        self.beats += 1
        for each in self._outlets:
            each.beat(self.beats)

    def _silence(self, silence_s: float) -> Verdict:
        """What holds where nobody says anything; window 0 is no window."""
        now, contract = self._now(), self._contract()
        return Verdict(
            serial=self._serial,
            epoch=self._epoch,
            window=0,
            started=now,
            ended=now,
            decided=False,
            label=None if contract is None else contract.safe_output,
            reason=f"no verdict for {silence_s:g} s",
        )

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            self.beat()

    async def _tell_drops(self) -> None:
        while True:
            await asyncio.sleep(DROPS_S)
            if self.dropped > self._dropped_said:
                self._dropped_said = self.dropped
                log.warning("sink.dropped", **{each.name: each.dropped for each in self._outlets})


async def _kept(outlet: Outlet, fault: Callable[[str, str], None]) -> None:
    """Keep one sink; a setting that does not fit the other side is an alarm, not an end."""
    while True:
        try:
            await outlet.run()
        except ConfigurationError as error:
            fault(f"sink {outlet.name}", str(error))
            await asyncio.sleep(SETTING_RETRY_S)
