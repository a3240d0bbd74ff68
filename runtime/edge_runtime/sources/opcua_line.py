"""One stretch of data from an OPC UA server: opened, taken up again, or made anew.

Loads asyncua, so it is imported only where a source is already connecting.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import asyncua
import structlog
from asyncua.ua.uaerrors import UaError

from edge_runtime.errors import SourceLostError
from edge_runtime.sources.opcua_client import (
    CONNECT_S,
    NONSENSE,
    open_session,
    reopen_session,
    throw_away,
)
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_publish import Publisher, following
from edge_runtime.sources.opcua_subscription import Subscription, missed, subscribe, transfer
from edge_runtime.sources.opcua_tags import TagColumns
from edge_runtime.sources.opcua_wire import Notification

log = structlog.get_logger(__name__)

TAG_S: Final = 0.05  # slow controllers take a hundredth of a second for each thing they are asked
FIRST: Final = 1  # the number of a subscription's first message


def open_s(tags: int) -> float:
    """How long a line of so many tags may take to be open, if every single answer is in time."""
    return CONNECT_S + TAG_S * tags


class Origin(StrEnum):
    """How a line came about, the one that loses least first."""

    SESSION = "session"  # the same session, on another connection
    TRANSFER = "transfer"  # another session, to which the server has passed the subscription
    NEW = "new"


@dataclass(slots=True)
class Line:
    """A session with its subscription.

    Attributes:
        origin: how it came about.
        settled: it has shown that it does.
        held: messages that the server had kept for us.
    """

    client: Any  # asyncua's
    subscription: Subscription
    publisher: Publisher
    origin: Origin = Origin.NEW
    settled: bool = True
    held: list[Notification] = field(default_factory=list)
    established_s: float = 0.0

    @property
    def resumed(self) -> bool:
        """Whether it goes on where it was, as far as we know."""
        return self.origin is not Origin.NEW

    @property
    def session(self) -> Any:  # Any: as above
        """What answers questions."""
        return self.client.uaclient.session


class Lines:
    """Opens the line to one server, and remembers what it may be taken up from."""

    def __init__(
        self,
        config: OpcUaConfig,
        columns: TagColumns,
        take: Callable[[Notification, bool], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._columns = columns
        self._take = take
        self._monotonic = monotonic
        self._last: Line | None = None

    async def open(self) -> Line:
        """The line as it was if the server still has it, else a new one.

        Raises:
            SourceLostError: there is none now, and why.
            ConfigurationError: there will be none before the configuration is another.
        """
        limit_s = open_s(len(self._columns.tags))
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                self._last = await self._resumed() or await self._new()
        except TimeoutError as error:
            words = str(error) or f"expected an answer within {self._config.answer_s:g} s"
            if limit.expired():
                words = f"expected to be subscribed within {limit_s:g} s"
            raise SourceLostError(f"{self._config.url}: {words}") from error
        except (OSError, UaError, *NONSENSE) as error:
            raise SourceLostError(f"{self._config.url}: {str(error) or repr(error)}") from error
        return self._last

    def keep(self, line: Line) -> None:
        """The connection is gone, the subscription perhaps not: `open` takes it up first."""
        line.publisher.stop()
        line.client.disconnect_socket()
        line.held = []
        # What was taken up and then said nothing is not taken up a second time.
        silent = line.resumed and line.publisher.heard_s is None
        self._last = None if silent else line

    async def drop(self, line: Line) -> None:
        """Nothing of it is wanted any more."""
        line.publisher.stop()
        self._last = None
        await throw_away(line.client)

    async def _resumed(self) -> Line | None:
        last = self._last
        if last is None:
            return None
        if await self._reopened(last.client):
            return await self._taken_up(last.client, last, Origin.SESSION)
        # The session is gone; its subscription may live on and pass to another.
        client = await open_session(self._config, asyncua)
        try:
            refusal = await transfer(client.uaclient.session, last.subscription.number)
        except BaseException:
            await throw_away(client)
            raise
        if not refusal:
            return await self._taken_up(client, last, Origin.TRANSFER)
        self._last = None
        log.info("source.transfer_refused", source=self._config.name, status=refusal)
        return await self._subscribed(client)

    async def _reopened(self, client: Any) -> bool:  # Any: as above
        try:
            await reopen_session(client)
        except (UaError, *NONSENSE) as error:
            log.debug("source.session_gone", source=self._config.name, reason=str(error))
            return False
        return True

    async def _taken_up(self, client: Any, last: Line, origin: Origin) -> Line:  # Any: as above
        expected, number = last.publisher.expected, last.subscription.number
        try:
            held = await missed(client.uaclient.session, number, expected)
        except BaseException:
            client.disconnect_socket()
            raise
        line = self._line(client, last.subscription, expected)
        for message in held:
            line.publisher.expected = following(message.sequence)
            line.publisher.acknowledge(message.sequence)
        line.origin, line.settled, line.held = origin, False, held
        line.publisher.start()
        return line

    async def _new(self) -> Line:
        return await self._subscribed(await open_session(self._config, asyncua))

    async def _subscribed(self, client: Any) -> Line:  # Any: as above
        try:
            subscription = await subscribe(client, self._config, self._columns)
        except BaseException:
            await throw_away(client)
            raise
        for handle, reason in subscription.refused.items():
            role = self._columns.tags[handle].role
            log.error("tag.refused", source=self._config.name, role=role, status=reason)
        line = self._line(client, subscription, FIRST)
        line.publisher.start()
        return line

    def _line(
        self, client: Any, subscription: Subscription, expected: int
    ) -> Line:  # Any: as above
        publisher = Publisher(
            client.uaclient.protocol, subscription.number, expected, self._take, self._monotonic
        )
        return Line(client, subscription, publisher, established_s=self._monotonic())
