"""Keeps publish requests waiting at a server and takes what comes back: one call a response.

One request in flight would cap the rate at one response a round trip, so several are. Responses
are taken in the order in which they arrive, each at once, without a task: the answer to a request
is decoded where its future is done.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from edge_runtime.errors import PayloadError
from edge_runtime.sources.opcua_variant import read_variant
from edge_runtime.sources.opcua_wire import Fault, Notification, Published, read_published
from edge_runtime.sources.sample import GapCause

IN_FLIGHT: Final = 3
SEQUENCES: Final = 2**32 - 1  # after the last comes 1 (OPC 10000-4, 7.26)
# The server gave up on one request, or wants fewer of them; the others are still with it.
_REQUEST_ONLY: Final = frozenset({StatusCodes.BadTimeout, StatusCodes.BadRequestTimeout})


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a subscription gives nothing any more; *resumable* if the server may still have it."""

    reason: str
    cause: GapCause
    resumable: bool = True


def following(sequence: int) -> int:
    """The number of the message after number *sequence*."""
    return sequence % SEQUENCES + 1


def status_name(status: int) -> str:
    """What the specification calls a status."""
    return ua.StatusCode(ua.UInt32(status)).name


class Publisher:
    """One subscription's stream of messages, each number once and none left out.

    Args:
        protocol: asyncua's connection.
        subscription: its id.
        expected: the number of the next message.
        take: is called with each message, and whether more of it follows.

    Attributes:
        expected: the number of the next message.
        heard_s: monotonic clock of the last response; None before the first.
        ended: done with the reason once nothing more can come.
    """

    def __init__(
        self,
        protocol: Any,  # asyncua ships no types
        subscription: int,
        expected: int,
        take: Callable[[Notification, bool], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._protocol = protocol
        self._subscription = subscription
        self._take = take
        self._monotonic = monotonic
        self._acknowledged: list[int] = []
        self.expected = expected
        self.heard_s: float | None = None
        self.ended: asyncio.Future[Loss] = asyncio.get_running_loop().create_future()

    def start(self, in_flight: int = IN_FLIGHT) -> None:
        """Send the first requests."""
        for _ in range(in_flight):
            self._ask()

    def acknowledge(self, sequence: int) -> None:
        """Tell the server, with the next request, that it need not keep a message."""
        self._acknowledged.append(sequence)

    def stop(self) -> None:
        """Take nothing more."""
        self._end(Loss("it was stopped", GapCause.CONNECTION))

    def _end(self, loss: Loss) -> None:
        if not self.ended.done():
            self.ended.set_result(loss)

    def _ask(self) -> None:
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(self._subscription, sequence)
            for sequence in self._acknowledged
        ]
        try:
            # No time limit: a server keeps such a request until it has something to say.
            future = self._protocol._send_request(request, 0)  # noqa: SLF001 - pinned by a contract test
        except (OSError, UaError) as error:
            self._end(Loss(str(error) or repr(error), GapCause.CONNECTION))
            return
        self._acknowledged = []
        future.add_done_callback(self._answered)

    def _answered(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            self._end(Loss("the connection was closed", GapCause.CONNECTION))
            return
        if self.ended.done():
            return
        try:
            found = read_published(bytes(future.result()), 0, read_variant)
            if isinstance(found, Fault):
                self._refused(found.status)
                return
            self._received(found)
        except PayloadError as error:
            self._end(Loss(str(error), GapCause.SEQUENCE))
        except Exception as error:  # noqa: BLE001 - a request that ends unseen is never replaced
            reason = f"a message could not be taken: {error!r}"
            self._end(Loss(reason, GapCause.SEQUENCE, resumable=False))
        if not self.ended.done():
            self._ask()

    def _refused(self, status: int) -> None:
        if status in _REQUEST_ONLY:
            self._ask()
        elif status != StatusCodes.BadTooManyPublishRequests:
            known = status not in {
                StatusCodes.BadNoSubscription,
                StatusCodes.BadSubscriptionIdInvalid,
            }
            name = status_name(status)
            self._end(Loss(f"the server says {name}", GapCause.CONNECTION, known))

    def _received(self, found: Published) -> None:
        message = found.message
        if found.subscription != self._subscription:
            return  # a sign of life of another is none of this one
        self.heard_s = self._monotonic()
        if message.ended is not None:
            name = status_name(message.ended)
            reason = f"the server has ended the subscription: {name}"
            self._end(Loss(reason, GapCause.DEATH, resumable=False))
            return
        if message.notified and self._is_old(message.sequence):
            self.acknowledge(message.sequence)
            return
        # A keep-alive bears the number of the message that will come next, or of the last one.
        if message.sequence != self.expected and not self._is_old(message.sequence):
            reason = f"expected message {self.expected}, found {message.sequence}"
            self._end(Loss(reason, GapCause.SEQUENCE, resumable=False))
            return
        if message.notified:
            self.expected = following(message.sequence)
            self.acknowledge(message.sequence)
        self._take(message, found.more)

    def _is_old(self, sequence: int) -> bool:
        return 0 < (self.expected - sequence) % SEQUENCES < SEQUENCES // 2
