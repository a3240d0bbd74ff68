"""Fills what an OPC UA server's history can fill, whichever line it is that lasts long enough."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from edge_runtime.sources.opcua_client import NONSENSE
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_continuity import Hole
from edge_runtime.sources.opcua_missing import Missing, MissingValues
from edge_runtime.sources.opcua_tags import TagColumns
from edge_runtime.sources.sample import SampleBatch

log = structlog.get_logger(__name__)


class Recovery:
    """What one server's tags have lost, until it is read or given up.

    What is not read when a line ends is read on the next one.

    Args:
        config: of the source.
        columns: its tags.
        hand_on: takes what is found.

    Attributes:
        values: that were read.
    """

    def __init__(
        self, config: OpcUaConfig, columns: TagColumns, hand_on: Callable[[SampleBatch], None]
    ) -> None:
        self._config = config
        self._columns = columns
        self._hand_on = hand_on
        self._handles = {place: handle for handle, place in enumerate(columns.places.tolist())}
        self._missing = MissingValues()
        self._added = asyncio.Event()
        self.values = 0

    def add(self, holes: Iterable[Hole]) -> None:
        """There values are missing."""
        before = len(self._missing)
        self._missing.add(holes)
        if len(self._missing) > before:
            self._added.set()

    async def run(self, session: Any, subscription: Any) -> None:  # Any: both load asyncua
        """Read on one line what is missing, and for ever what comes to be."""
        if self._missing:
            self._added.set()
        while True:
            await self._added.wait()
            self._added.clear()
            places = self._columns.places[sorted(subscription.history)]
            self._missing.keep(places.tolist())
            if self._missing:
                await self._read(session, subscription.nodes)

    async def _read(self, session: Any, nodes: Sequence[Any]) -> None:  # Any: as above
        before = self.values
        refused: dict[int, str] = {}
        unanswered: Counter[str] = Counter()
        for group in self._missing.alike():
            await self._read_group(session, nodes, group, refused, unanswered)
        source = self._config.name
        for status, tags in Counter(refused.values()).items():
            log.warning("source.history_refused", source=source, status=status, tags=tags)
        for reason, gaps in unanswered.items():
            log.warning("source.history_unanswered", source=source, reason=reason, gaps=gaps)
        log.info("source.history_read", source=source, values=self.values - before)

    async def _read_group(
        self,
        session: Any,  # as above
        nodes: Sequence[Any],  # as above
        group: Sequence[Missing],
        refused: dict[int, str],
        unanswered: "Counter[str]",
    ) -> None:
        """Read what is missing at about one time; what had no answer stays missing."""
        from asyncua.ua.uaerrors import UaError  # noqa: PLC0415 - loaded by now

        from edge_runtime.sources.opcua_history import Gap, is_answer, recovered  # noqa: PLC0415 - as above

        handles = [self._handles[each.tag] for each in group]
        of = [nodes[handle] for handle in handles]
        wait_s = self._config.publishing_s
        gaps = list(map(Gap, group, handles, of))
        try:
            async for batch in recovered(session, gaps, self._columns, wait_s, refused):
                self.values += len(batch)
                self._hand_on(batch)
        except (OSError, UaError, *NONSENSE) as error:
            reason = str(error) or repr(error)
            if not is_answer(error):
                unanswered[reason] += len(group)
                return
            refused.update(dict.fromkeys(handles, reason))
        self._missing.drop(group)
