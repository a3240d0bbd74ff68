"""OPC UA publish responses, read: bytes in, columns out, or a refusal; no I/O.

Only what a gateway subscribes to is read: data changes and the end of a subscription; events are
passed over. Every length is checked before it is used.
"""

import struct
from dataclasses import dataclass
from typing import Final

from edge_runtime.errors import PayloadError
from edge_runtime.sources.opcua_items import Changes, Items, Reader, bounded, nanoseconds_of

PUBLISH_RESPONSE: Final = 829  # OPC 10000-6, A: ids of the binary encodings
REPUBLISH_RESPONSE: Final = 835
SERVICE_FAULT: Final = 397
DATA_CHANGE: Final = 811
STATUS_CHANGE: Final = 820


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification message (OPC 10000-4, 7.26).

    Attributes:
        published_ns: the server's clock when it sent this; `NO_TIME` if it does not say.
        notified: it carried something, so its sequence number is used up.
        ended: the status with which the subscription ended, if it did.
    """

    sequence: int
    published_ns: int
    changes: Changes
    notified: bool
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """One publish response; `more` says that the server has not sent all it had."""

    subscription: int
    available: tuple[int, ...]
    more: bool
    message: Notification


@dataclass(frozen=True, slots=True)
class Fault:
    """The answer was no publish response but a service fault, with its status code."""

    status: int


def read_published(body: bytes, at: int, reader: Reader) -> Published | Fault:
    """Read the response at a position of *body*.

    Raises:
        PayloadError: damaged, or not what a server may send.
    """
    try:
        kind, at = _node_id(body, at)
        result, at = _response_header(body, at)
        if kind == SERVICE_FAULT or (kind == PUBLISH_RESPONSE and result >> 31):
            return Fault(result)
        if kind != PUBLISH_RESPONSE:
            raise PayloadError(f"response: expected type {PUBLISH_RESPONSE}, found {kind}")
        return _publish_result(body, at, reader)
    except (struct.error, IndexError) as error:
        raise PayloadError(f"response: expected more than {len(body)} bytes ({error})") from None


def read_message(body: bytes, at: int, reader: Reader) -> Notification:
    """Read the notification message at a position of *body*.

    Raises:
        PayloadError: damaged.
    """
    try:
        return _message(body, at, reader)
    except (struct.error, IndexError) as error:
        raise PayloadError(f"message: expected more than {len(body)} bytes ({error})") from None


def read_republished(body: bytes, at: int, reader: Reader) -> Notification | None:
    """The message in a republish response; None if the server has none to give.

    Raises:
        PayloadError: damaged.
    """
    try:
        kind, at = _node_id(body, at)
        result, at = _response_header(body, at)
        return None if kind != REPUBLISH_RESPONSE or result >> 31 else _message(body, at, reader)
    except (struct.error, IndexError) as error:
        raise PayloadError(f"response: expected more than {len(body)} bytes ({error})") from None


def _publish_result(body: bytes, at: int, reader: Reader) -> Published:
    subscription, count = _U32_I32.unpack_from(body, at)
    at += _U32_I32.size
    held = bounded(count, 4, body, at)
    available = struct.unpack_from(f"<{held}I", body, at)
    at += 4 * held
    return Published(
        subscription=subscription,
        available=available,
        more=bool(body[at]),
        message=_message(body, at + 1, reader),
    )


def _message(body: bytes, at: int, reader: Reader) -> Notification:
    sequence, published, count = _MESSAGE.unpack_from(body, at)
    at += _MESSAGE.size
    items = Items(reader)
    ended: int | None = None
    for _ in range(bounded(count, 3, body, at)):
        kind, start, end = _extension(body, at)
        at = end
        if kind == DATA_CHANGE:
            items.read(body, start, end)
        elif kind == STATUS_CHANGE:
            (ended,) = _U32.unpack_from(body, start)
    return Notification(
        sequence=sequence,
        published_ns=nanoseconds_of(published),
        changes=items.changes,
        notified=count > 0,
        ended=ended,
    )


def _extension(body: bytes, at: int) -> tuple[int | None, int, int]:
    """The type of an extension object, and where its body begins and ends."""
    kind, at = _node_id(body, at)
    encoding = body[at]
    at += 1
    if encoding == 0:
        return kind, at, at
    (length,) = _I32.unpack_from(body, at)
    at += 4
    return kind, at, at + bounded(length, 1, body, at)


def _response_header(body: bytes, at: int) -> tuple[int, int]:
    """The service's result, and the position behind the header (OPC 10000-4, 7.33)."""
    _, _, result = _HEADER.unpack_from(body, at)
    at = _diagnostic(body, at + _HEADER.size)
    (strings,) = _I32.unpack_from(body, at)
    at += 4
    for _ in range(bounded(strings, 4, body, at)):
        at = _string(body, at)
    _, _, at = _extension(body, at)
    return result, at


def _diagnostic(body: bytes, at: int) -> int:
    """The position behind a DiagnosticInfo, which may hold another (OPC 10000-6, 5.2.2.12)."""
    nested = 0x40
    mask = nested
    while mask & nested:
        mask = body[at]
        at += 1
        at += 4 * sum(bool(mask & bit) for bit in (1, 2, 4, 8))
        if mask & 0x10:
            at = _string(body, at)
        at += 4 if mask & 0x20 else 0
    return at


def _string(body: bytes, at: int) -> int:
    (length,) = _I32.unpack_from(body, at)
    return at + 4 + bounded(length, 1, body, at + 4)


def _node_id(body: bytes, at: int) -> tuple[int | None, int]:
    """A node id's number if it has one and is of the base namespace, and what comes after it."""
    form = body[at] & 0x3F
    if form == 0:
        return body[at + 1], at + 2
    if form == 1:
        space, number = struct.unpack_from("<BH", body, at + 1)
        return (number if space == 0 else None), at + 4
    if form == 2:
        space, number = struct.unpack_from("<HI", body, at + 1)
        return (number if space == 0 else None), at + 7
    if form in {3, 5}:
        return None, _string(body, at + 3)
    if form == 4:
        return None, at + 19
    raise PayloadError(f"node id: expected a form from 0 to 5, found {form}")


_I32: Final = struct.Struct("<i")
_U32: Final = struct.Struct("<I")
_U32_I32: Final = struct.Struct("<Ii")
_MESSAGE: Final = struct.Struct("<Iqi")
_HEADER: Final = struct.Struct("<qII")
