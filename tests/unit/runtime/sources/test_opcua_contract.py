"""The library's private parts that we lean on, as they are in the version that is pinned."""

import asyncio
import inspect
from importlib.metadata import version

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.client.ua_session import UaSession
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary, variant_to_binary

from edge_runtime.errors import PayloadError
from edge_runtime.sources.opcua_publish import IN_FLIGHT, SEQUENCES, Loss, Publisher, following
from edge_runtime.sources.opcua_variant import read_variant
from edge_runtime.sources.opcua_wire import Notification
from edge_runtime.sources.sample import GapCause

pytestmark = pytest.mark.anyio


def parameters(function: object) -> list[str]:
    """What it takes."""
    assert callable(function)
    return list(inspect.signature(function).parameters)


def test_pinned() -> None:
    """Another version is looked at before it is used: run all of OPC UA, then change this."""
    assert version("asyncua") == "2.1.0"


def test_requests() -> None:
    """A request is sent at once and gives a future; the session's own gives the raw answer."""
    send = UASocketProtocol._send_request  # noqa: SLF001 - what is tested
    assert parameters(send)[:3] == ["self", "request", "timeout"]
    assert not inspect.iscoroutinefunction(send)
    session = UaSession._send_request  # noqa: SLF001 - what is tested
    assert parameters(session)[:2] == ["self", "request"]
    assert inspect.iscoroutinefunction(session)


def test_sessions() -> None:
    """A session is opened in steps, and a known one is taken up again on another channel."""
    for name in (
        "connect_socket",
        "send_hello",
        "open_secure_channel",
        "create_session",
        "_activate_with_credentials",
    ):
        assert inspect.iscoroutinefunction(getattr(Client, name)), name
    assert parameters(UaSession.rebind_authentication_token) == ["self"]


def test_no_task_of_the_library() -> None:
    """What begins the library's own tasks is known, and we call neither."""
    begins = inspect.getsource(Client.connect) + inspect.getsource(UaSession.create_subscription)
    assert begins.count("create_task") == 2
    assert "ensure_publish_loop" in begins
    for name in ("create_session", "_activate_with_credentials", "open_secure_channel"):
        assert "create_task" not in inspect.getsource(getattr(Client, name)), name


def test_buffers() -> None:
    """A buffer's bytes are what has not been read, and a reader may begin anywhere."""
    buffer = Buffer(b"abcdef")
    buffer.read(2)
    assert bytes(buffer) == b"cdef"
    raw = b"xx" + variant_to_binary(ua.Variant("text", ua.VariantType.String))
    assert read_variant(raw, 2) == ("text", len(raw))
    with pytest.raises(PayloadError):
        read_variant(b"\x0c\xf0\xff\xff\xff", 0)


class Protocol:
    """The library's connection, as far as a publisher uses it."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[int], asyncio.Future[Buffer]]] = []

    def _send_request(self, request: ua.PublishRequest, _: float) -> asyncio.Future[Buffer]:
        future: asyncio.Future[Buffer] = asyncio.get_running_loop().create_future()
        acknowledged = request.Parameters.SubscriptionAcknowledgements
        self.sent.append(([each.SequenceNumber for each in acknowledged], future))
        return future

    async def answer(self, response: object) -> None:
        """Answer the oldest request."""
        future = next(future for _, future in self.sent if not future.done())
        future.set_result(Buffer(struct_to_binary(response)))
        await asyncio.sleep(0)


class Reader:
    """A publisher and what it took."""

    def __init__(self, expected: int = 1) -> None:
        self.protocol = Protocol()
        self.taken: list[int] = []
        self.publisher = Publisher(self.protocol, 7, expected, self._take, lambda: 1.0)
        self.publisher.start()

    def _take(self, message: Notification, more: bool) -> None:  # noqa: ARG002, FBT001 - as it is called
        self.taken.append(message.sequence)

    @property
    def loss(self) -> Loss:
        """Why it ended."""
        return self.publisher.ended.result()


def said(sequence: int, *, notified: bool = True, subscription: int = 7) -> ua.PublishResponse:
    """A publish response."""
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = ua.IntegerId(subscription)
    data = [ua.DataChangeNotification()] if notified else []
    message = ua.NotificationMessage(ua.Counter(sequence), NotificationData=data)
    response.Parameters.NotificationMessage = message
    response.Parameters.MoreNotifications = False
    return response


def fault(status: int) -> ua.ServiceFault:
    """A refusal."""
    made = ua.ServiceFault()
    made.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(status))
    return made


async def test_several_in_flight() -> None:
    """As many requests as there should be are waiting, and each message is acknowledged once."""
    reader = Reader()
    for sequence in (1, 2, 3):
        await reader.protocol.answer(said(sequence))
    assert reader.taken == [1, 2, 3]
    waiting = [future for _, future in reader.protocol.sent if not future.done()]
    assert len(waiting) == IN_FLIGHT
    assert [each for acknowledged, _ in reader.protocol.sent for each in acknowledged] == [1, 2, 3]


async def test_keep_alives() -> None:
    """A keep-alive uses no number, whether it bears the next one or the last."""
    reader = Reader()
    await reader.protocol.answer(said(1))
    await reader.protocol.answer(said(2, notified=False))
    await reader.protocol.answer(said(2))
    assert reader.taken == [1, 2, 2]
    assert not reader.publisher.ended.done()


async def test_twice() -> None:
    """A message that came before is acknowledged again and not taken again."""
    reader = Reader(expected=3)
    await reader.protocol.answer(said(2))
    await reader.protocol.answer(said(3))
    assert reader.taken == [3]
    assert reader.protocol.sent[-1][0] == [3]


@pytest.mark.parametrize("notified", [True, False])
async def test_hole(*, notified: bool) -> None:
    """A number that is missing ends it, and a keep-alive tells that too; the server lacks it."""
    reader = Reader()
    await reader.protocol.answer(said(3, notified=notified))
    assert (reader.loss.cause, reader.loss.resumable) == (GapCause.SEQUENCE, False)
    assert reader.taken == []


async def test_other_subscription() -> None:
    """What belongs to another subscription is not taken, and is no sign of life."""
    reader = Reader()
    await reader.protocol.answer(said(5, subscription=8))
    assert reader.publisher.heard_s is None
    await reader.protocol.answer(said(1))
    assert reader.taken == [1]


FAULTS = {
    "the server is tired of one request": (0x800A0000, None),  # BadTimeout
    "too many requests: one less": (0x80780000, None),  # BadTooManyPublishRequests
    "the session is gone, the subscription perhaps not": (0x80250000, True),  # BadSessionIdInvalid
    "no subscription": (0x80790000, False),  # BadNoSubscription
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(name: str) -> None:
    """Each row says whether a refusal ends it, and whether it may be taken up again."""
    status, resumable = FAULTS[name]
    reader = Reader()
    await reader.protocol.answer(fault(status))
    if resumable is None:
        assert not reader.publisher.ended.done()
    else:
        assert reader.loss.resumable is resumable


async def test_damaged() -> None:
    """A response that cannot be read ends it: what it said is lost."""
    reader = Reader()
    await reader.protocol.answer(ua.ReadResponse())
    assert reader.loss.cause is GapCause.SEQUENCE


async def test_a_message_that_cannot_be_taken() -> None:
    """Whatever is raised while it is taken ends the line: the request would be missed for ever."""
    protocol = Protocol()

    def fails(_: Notification, more: bool) -> None:  # noqa: FBT001 - as it is called
        raise OverflowError(f"too large, {more}")

    publisher = Publisher(protocol, 7, 1, fails, lambda: 1.0)
    publisher.start()
    await protocol.answer(said(1))
    loss = publisher.ended.result()
    assert (loss.cause, loss.resumable) == (GapCause.SEQUENCE, False)
    assert "OverflowError('too large, False')" in loss.reason
    assert len(protocol.sent) == IN_FLIGHT


async def test_gone() -> None:
    """When the connection goes, all requests fail and it ends once."""
    reader = Reader()
    for _, future in reader.protocol.sent:
        future.set_exception(ConnectionError("gone"))
    await asyncio.sleep(0)
    assert reader.loss.cause is GapCause.CONNECTION


def test_numbers_go_round() -> None:
    """After the last number comes 1, since 0 is none (OPC 10000-4, 7.26)."""
    assert [following(number) for number in (1, SEQUENCES - 1, SEQUENCES)] == [2, SEQUENCES, 1]
