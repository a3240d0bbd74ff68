"""Splits what a broker sends into messages, acknowledgements that are due, and the rest; no I/O.

Framing is that of MQTT 3.1.1 (2.2, 3.3) and 5.0 (2.1, 3.3): a type in the upper half of the first
byte, a length in groups of seven bits, then topic, packet identifier and, in 5.0, properties. Only
messages of QoS 0 and 1 are read here, since they are nearly all that comes; every other packet is
handed on as it is.
"""

from dataclasses import dataclass, field
from typing import Final

from edge_runtime.errors import PayloadError

PAYLOAD_BYTES_MAX: Final = 1024 * 1024
_PACKET_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 128 * 1024  # topic and properties: 64 KiB each
_HEAD_BYTES_MAX: Final = 5
_MESSAGE: Final = 3
_ACKNOWLEDGED: Final = b"\x40\x02"  # PUBACK of two bytes; in 5.0 too, where all is well


class FramingError(PayloadError):
    """What came is not MQTT: whoever sent it is no broker, and the connection is worth nothing."""


@dataclass(slots=True)
class Received:
    """What one read gave.

    Attributes:
        messages: topic and payload of each, in order.
        acknowledgements: the packets that are due for them, to be sent once they are taken.
        others: every other packet, whole and as it came.
        oversized: topic and bytes of messages that were passed over.
    """

    messages: list[tuple[bytes, bytes]] = field(default_factory=list)
    acknowledgements: bytearray = field(default_factory=bytearray)
    others: bytearray = field(default_factory=bytearray)
    oversized: list[tuple[bytes, int]] = field(default_factory=list)


class PacketStream:
    """The broker's side of one connection, from its first byte on."""

    def __init__(self, *, properties: bool) -> None:
        """Start before the first byte.

        Args:
            properties: whether messages have properties, as they do in MQTT 5.
        """
        self._properties = properties
        self._rest = b""
        self._passing_over = 0

    def take(self, piece: bytes, found: Received) -> None:
        """Put everything that is complete with *piece* into *found*.

        Raises:
            FramingError: it is not MQTT.
        """
        if self._passing_over:
            skipped = min(self._passing_over, len(piece))
            self._passing_over -= skipped
            piece = piece[skipped:]
        data = self._rest + piece if self._rest else piece
        at, end = 0, len(data)
        while at + 2 <= end:
            length, body = data[at + 1], at + 2
            if length & 0x80:
                length, body = _length(data, at + 1)
            if not body or body + length > end:
                break
            if data[at] >> 4 == _MESSAGE and not data[at] & 0x04:
                self._message(data, (at, body, body + length), found)
            else:
                found.others += data[at : body + length]
            at = body + length
        self._rest = data[at:]
        if len(self._rest) > _HEAD_BYTES_MAX:
            self._bound(found)

    def _message(self, data: bytes, places: tuple[int, int, int], found: Received) -> None:
        head, body, end = places
        at = body + 2 + (data[body] << 8 | data[body + 1]) if body + 2 <= end else end + 1
        topic = data[body + 2 : at]
        identified = data[head] & 0x02
        if identified:
            at += 2
        payload = at
        if self._properties and at < end:
            length, payload = _length(data, at)
            payload += length
        if payload > end or (self._properties and at >= end):
            raise FramingError(f"message: expected {end - body} bytes of MQTT, found other ones")
        if identified:
            found.acknowledgements += _ACKNOWLEDGED + data[at - 2 : at]
        if end - payload > PAYLOAD_BYTES_MAX:
            found.oversized.append((topic, end - payload))
        else:
            found.messages.append((topic, data[payload:end]))

    def _bound(self, found: Received) -> None:
        """Pass over a message that is too long before all of it lies in memory."""
        data = self._rest
        length, body = _length(data, 1)
        if length <= _PACKET_BYTES_MAX:
            return
        if data[0] >> 4 != _MESSAGE:
            raise FramingError(f"packet: expected at most {_PACKET_BYTES_MAX} bytes, not {length}")
        at = body + 2 + (data[body] << 8 | data[body + 1]) if body + 2 <= len(data) else len(data)
        if at + 2 > len(data):
            return  # its topic is still under way
        # Unacknowledged it would come again, and block what waits behind it.
        if data[0] & 0x02:
            found.acknowledgements += _ACKNOWLEDGED + data[at : at + 2]
        found.oversized.append((data[body + 2 : at], length))
        self._passing_over = body + length - len(data)
        self._rest = b""


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length in groups of seven bits, and where it ends: 0 if that has not come yet.

    Raises:
        FramingError: it has more than four groups.
    """
    length = shift = 0
    for place in range(at, min(at + 4, len(data))):
        length |= (data[place] & 0x7F) << shift
        if not data[place] & 0x80:
            return length, place + 1
        shift += 7
    if at + 4 <= len(data):
        raise FramingError("packet: expected a length of at most four bytes, found more")
    return 0, 0
