"""Publish responses as asyncua itself encodes them, read as columns; and damaged ones, refused."""

import math
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PayloadError
from edge_runtime.sources.opcua_items import NO_TIME, Changes
from edge_runtime.sources.opcua_variant import read_variant
from edge_runtime.sources.opcua_wire import Fault, Published, read_message, read_published

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT = datetime(2026, 11, 22, 3, 0, 0, 123457, tzinfo=UTC)
NUMBERS: dict[ua.VariantType, st.SearchStrategy[Any]] = {
    ua.VariantType.Boolean: st.booleans(),
    ua.VariantType.SByte: st.integers(-128, 127),
    ua.VariantType.Byte: st.integers(0, 255),
    ua.VariantType.Int16: st.integers(-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: st.integers(0, 2**16 - 1),
    ua.VariantType.Int32: st.integers(-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: st.integers(0, 2**32 - 1),
    ua.VariantType.Int64: st.integers(-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: st.integers(0, 2**64 - 1),
    ua.VariantType.Float: st.floats(width=32),
    ua.VariantType.Double: st.floats(),
}
numbers = st.sampled_from(list(NUMBERS)).flatmap(
    lambda kind: NUMBERS[kind].map(lambda value: ua.Variant(value, kind))
)
others = st.one_of(
    st.text(max_size=20).map(lambda text: ua.Variant(text, ua.VariantType.String)),
    st.lists(st.floats(), max_size=4).map(lambda many: ua.Variant(many, ua.VariantType.Double)),
    st.just(ua.Variant(None)),
    st.just(ua.Variant(ua.LocalizedText("bar", "en"))),
)
moments = st.none() | st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware right behind
    lambda at: at.replace(tzinfo=UTC)
)


def code(status: int) -> ua.StatusCode:
    """A status by its number."""
    return ua.StatusCode(ua.UInt32(status))


@st.composite
def items(draw: st.DrawFn) -> list[ua.MonitoredItemNotification]:
    """Runs of items, each run of one layout."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        value = draw(numbers | others)
        source, server = draw(moments), draw(moments)
        status = draw(st.none() | st.integers(0, 2**32 - 1).map(code))
        for _ in range(draw(st.integers(1, 9))):
            data = ua.DataValue(value, status, source, server)  # type: ignore[arg-type]  # asks for its own datetime
            handle = draw(st.integers(0, 2**32 - 1))
            found.append(ua.MonitoredItemNotification(handle, data))
    return found


def response(*notifications: object, more: bool = False, sequence: int = 7) -> ua.PublishResponse:
    """What a server answers."""
    made = ua.PublishResponse()
    made.ResponseHeader.RequestHandle = 3
    made.Parameters.SubscriptionId = 42
    made.Parameters.AvailableSequenceNumbers = [5, 6]
    made.Parameters.MoreNotifications = more
    made.Parameters.NotificationMessage = ua.NotificationMessage(sequence, AT, list(notifications))
    return made


def read(body: bytes) -> Published:
    """As a source does."""
    found = read_published(body, 0, read_variant)
    assert isinstance(found, Published)
    return found


def ns(at: datetime | None) -> int:
    """Nanoseconds since 1970."""
    return NO_TIME if at is None else (at - EPOCH) // timedelta(microseconds=1) * 1000


def same(found: Changes, row: int, item: ua.MonitoredItemNotification) -> None:
    """Row *row* says what asyncua reads."""
    value = item.Value.Value.Value
    assert found.handles[row] == item.ClientHandle
    assert found.source_ns[row] == ns(item.Value.SourceTimestamp)
    assert found.server_ns[row] == ns(item.Value.ServerTimestamp)
    status = item.Value.StatusCode
    assert found.status[row] == (0 if status is None else status.value)
    if isinstance(value, bool | int | float):
        assert found.values[row] == float(value) or math.isnan(value)
    elif isinstance(value, list) and len(value) == 1:
        assert found.values[row] == value[0] or math.isnan(value[0])
    else:
        assert math.isnan(found.values[row])
        assert str(found.others[row]) == str(value)


@given(items())
def test_like_asyncua(wanted: list[ua.MonitoredItemNotification]) -> None:
    """Whatever the layouts, every column says what asyncua's own decoder says."""
    body = struct_to_binary(response(ua.DataChangeNotification(wanted)))
    theirs = struct_from_binary(ua.PublishResponse, Buffer(body)).Parameters
    found = read(body)
    changes = found.message.changes
    assert len(changes) == len(wanted)
    for row, item in enumerate(theirs.NotificationMessage.NotificationData[0].MonitoredItems):
        same(changes, row, item)
    assert (found.subscription, found.available, found.more) == (42, (5, 6), False)
    assert (found.message.sequence, found.message.notified) == (7, True)
    assert found.message.published_ns == ns(AT)


@settings(max_examples=300)
@given(items(), st.data())
def test_damaged(wanted: list[ua.MonitoredItemNotification], data: st.DataObject) -> None:
    """Bytes that were lost or changed are read or refused, and nothing else happens."""
    body = bytearray(struct_to_binary(response(ua.DataChangeNotification(wanted))))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(body)))
    with suppress(PayloadError):
        read_published(bytes(body[:end]), 0, read_variant)


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """Any bytes are a response, a fault or a refusal."""
    with suppress(PayloadError):
        read_published(body, 0, read_variant)


def test_several_notifications() -> None:
    """Items of several notifications come in order; what is no data change is passed over."""
    changes = [
        ua.DataChangeNotification(
            [ua.MonitoredItemNotification(handle, ua.DataValue(ua.Variant(1.0)))]
        )
        for handle in (1, 2)
    ]
    found = read(struct_to_binary(response(changes[0], ua.EventNotificationList(), changes[1])))
    assert found.message.changes.handles.tolist() == [1, 2]


def test_keep_alive() -> None:
    """A keep-alive carries nothing and uses up no number."""
    message = read(struct_to_binary(response())).message
    assert (message.notified, message.ended, len(message.changes)) == (False, None, 0)


def test_ended() -> None:
    """The end of a subscription is told with its status."""
    status = code(StatusCodes.BadTimeout)
    found = read(struct_to_binary(response(ua.StatusChangeNotification(status))))
    assert found.message.ended == StatusCodes.BadTimeout


def test_fault() -> None:
    """A service fault is no response, and says why."""
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = code(StatusCodes.BadNoSubscription)
    found = read_published(struct_to_binary(fault), 0, read_variant)
    assert found == Fault(StatusCodes.BadNoSubscription)


def test_something_else() -> None:
    """An answer to another question is refused by its number."""
    with pytest.raises(PayloadError, match="expected type 829"):
        read(struct_to_binary(ua.ReadResponse()))


def test_header_with_everything() -> None:
    """Diagnostics, strings and an additional header are passed over."""
    made = response(
        ua.DataChangeNotification(
            [ua.MonitoredItemNotification(1, ua.DataValue(ua.Variant(2.5)))],
        )
    )
    made.ResponseHeader.StringTable = ["one", "two"]
    made.ResponseHeader.AdditionalHeader = ua.EUInformation("urn:x", 1)
    body = struct_to_binary(made)
    # A symbol, a text, a status, and within it another with words of its own.
    diagnostics = struct.pack("<BiiIBi3s", 0x65, 1, 2, 3, 0x10, 3, b"why")
    body = body[:20] + diagnostics + body[21:]
    assert read(body).message.changes.values.tolist() == [2.5]


def test_republished() -> None:
    """What is republished is a message alone."""
    made = response(ua.DataChangeNotification([])).Parameters.NotificationMessage
    assert read_message(struct_to_binary(made), 0, read_variant).sequence == 7


def test_picoseconds() -> None:
    """The parts below 100 ns stand behind the time they belong to (OPC 10000-6, 5.2.2.17)."""
    ticks = (ns(AT) // 100) + 116_444_736_000_000_000
    item = struct.pack("<IBBdqHqH", 9, 0x3D, 11, 1.5, ticks, 4200, ticks, 10_000)
    inner = struct.pack("<i", 5) + 5 * item + struct.pack("<i", -1)
    data = struct.pack("<BBHBi", 1, 0, 811, 1, len(inner)) + inner
    message = struct.pack("<Iqi", 1, ticks, 1) + data
    changes = read_message(message, 0, read_variant).changes
    assert changes.source_ns.tolist() == [ns(AT) + 42] * 5
    assert changes.server_ns.tolist() == [ns(AT) + 99] * 5


TICKS_1970 = 116_444_736_000_000_000
SPAN = (2**63 - 1) // 100
TICKS: dict[str, tuple[int, int | None]] = {
    "none": (0, None),
    "before there are any": (-1, None),
    "the last of all": (2**63 - 1, None),
    "the year 1601": (5, None),
    "a year far off": (2**62, None),
    "before 1677": (TICKS_1970 - SPAN, None),
    "in 1677": (TICKS_1970 - SPAN + 1, -(SPAN - 1) * 100),
    "1970": (TICKS_1970, 0),
    "in 2262": (TICKS_1970 + SPAN - 1, (SPAN - 1) * 100),
    "after 2262": (TICKS_1970 + SPAN, None),
}


@pytest.mark.parametrize("items", [1, 6])
@pytest.mark.parametrize("name", TICKS)
def test_times_out_of_reach(name: str, items: int) -> None:
    """Each row is a time; what 64 bits of nanoseconds cannot hold is none, alone and in a run."""
    ticks, found_ns = TICKS[name]
    item = struct.pack("<IBBdq", 1, 5, 11, 1.0, ticks)
    inner = struct.pack("<i", items) + items * item
    data = struct.pack("<BBHBi", 1, 0, 811, 1, len(inner)) + inner
    message = read_message(struct.pack("<Iqi", 1, ticks, 1) + data, 0, read_variant)
    expected = NO_TIME if found_ns is None else found_ns
    assert message.changes.source_ns.tolist() == [expected] * items
    assert message.published_ns == expected


def test_any_byte_is_true() -> None:
    """A boolean is true whatever its byte, as long as that is not zero."""
    inner = struct.pack("<i", 5) + b"".join(
        struct.pack("<IBBB", 1, 1, 1, value) for value in (0, 1, 2, 255, 0)
    )
    data = struct.pack("<BBHBi", 1, 0, 811, 1, len(inner)) + inner
    changes = read_message(struct.pack("<Iqi", 1, 0, 1) + data, 0, read_variant).changes
    assert np.array_equal(changes.values, [0, 1, 1, 1, 0])


@pytest.mark.parametrize("count", [-1, 0, 2**31 - 1])
def test_counts(count: int) -> None:
    """A count that the bytes cannot hold is refused; a negative one is none."""
    inner = struct.pack("<i", count)
    data = struct.pack("<BBHBi", 1, 0, 811, 1, len(inner)) + inner
    body = struct.pack("<Iqi", 1, 0, 1) + data
    if count > 0:
        with pytest.raises(PayloadError, match="length"):
            read_message(body, 0, read_variant)
    else:
        assert len(read_message(body, 0, read_variant).changes) == 0
