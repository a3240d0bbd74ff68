"""A session with an OPC UA server of variables and limits: what a source asks of it.

Answers as asyncua's client and its session do, without a network.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

TOO_MANY = 0x80100000  # BadTooManyOperations
UNSUPPORTED = 0x800B0000  # BadServiceUnsupported
UNKNOWN = 0x80340000  # BadNodeIdUnknown
NO_HISTORY = 0x80710000  # BadHistoryOperationInvalid
NO_POINTS = 0x804B0000  # BadNoContinuationPoints
GOOD = ua.StatusCode()
BEGUN = datetime(2026, 11, 22, tzinfo=UTC)
NAMESPACE = "urn:small"
READ_HISTORY = 0x05


def refused(status: int) -> NoReturn:
    """As asyncua raises a service fault."""
    raise UaStatusCodeError(status)  # type: ignore[no-untyped-call]  # asyncua: half typed


@dataclass(slots=True)
class SmallServer:
    """A server whose every node has a unit and a history.

    Attributes:
        operations_max: of one request; a longer one is refused.
        unit: of every variable; None is a server without such properties.
        unsupported: services that it does not have.
        requests: how many things each service was asked, request by request.
        monitored: handles of the items that it made.
        nobody: identifiers of nodes that it does not have.
        history: values by their time in seconds since `BEGUN`, of every variable.
        page: values of one variable in one answer.
        points_max: continuation points that it keeps.
        points: those that it keeps now, and how many values of which node were told.
        no_history: identifiers of nodes of which it gives none.
        before_history: is awaited before every answer, and may raise.
    """

    operations_max: int = 1000
    unit: ua.EUInformation | None = None
    unsupported: frozenset[str] = frozenset()
    requests: dict[str, list[int]] = field(default_factory=dict)
    monitored: list[int] = field(default_factory=list)
    nobody: frozenset[int] = frozenset()
    history: dict[int, float] = field(default_factory=dict)
    page: int = 1000
    points_max: int = 1000
    points: dict[bytes, tuple[ua.NodeId, int]] = field(default_factory=dict)
    no_history: frozenset[int] = frozenset()
    before_history: Callable[[], Awaitable[None]] | None = None
    _given: int = 0

    @property
    def uaclient(self) -> "SmallServer":
        """It is its own client."""
        return self

    @property
    def session(self) -> "SmallServer":
        """And its own session."""
        return self

    async def get_namespace_array(self) -> list[str]:
        """As the client does."""
        return ["http://opcfoundation.org/UA/", NAMESPACE]

    async def _send_request(self, request: Any) -> Buffer:  # Any: asyncua's own
        assert isinstance(request, ua.CreateSubscriptionRequest)
        made = ua.CreateSubscriptionResponse()
        made.Parameters.SubscriptionId = ua.IntegerId(7)
        made.Parameters.RevisedPublishingInterval = 100.0
        made.Parameters.RevisedMaxKeepAliveCount = ua.Counter(10)
        return Buffer(struct_to_binary(made))

    async def translate_browsepaths_to_nodeids(
        self, paths: Sequence[ua.BrowsePath]
    ) -> list[ua.BrowsePathResult]:
        """As the session does."""
        self._count("translate", len(paths))
        return [self._property(each.StartingNode) for each in paths]

    async def read_attributes(
        self, nodes: Sequence[ua.NodeId], attribute: AttributeIds
    ) -> list[ua.DataValue]:
        """As the session does."""
        self._count("read", len(nodes))
        if attribute == AttributeIds.UserAccessLevel:
            level = ua.Variant(READ_HISTORY, ua.VariantType.Byte)
            return [ua.DataValue(level) for _ in nodes]
        return [ua.DataValue(ua.Variant(self.unit)) for _ in nodes]

    async def create_monitored_items(
        self, wanted: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """As the session does."""
        self._count("monitor", len(wanted.ItemsToCreate))
        found = []
        for each in wanted.ItemsToCreate:
            unknown = each.ItemToMonitor.NodeId.Identifier in self.nobody
            self.monitored += [] if unknown else [each.RequestedParameters.ClientHandle]
            status = ua.StatusCode(ua.UInt32(UNKNOWN)) if unknown else GOOD
            found.append(ua.MonitoredItemCreateResult(StatusCode=status))
        return found

    async def history_read(self, wanted: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """As the session does."""
        if wanted.ReleaseContinuationPoints:
            for each in wanted.NodesToRead:
                del self.points[each.ContinuationPoint]
            return [ua.HistoryReadResult(StatusCode=GOOD) for _ in wanted.NodesToRead]
        if self.before_history is not None:
            await self.before_history()
        self._count("history", len(wanted.NodesToRead))
        return [self._told(each, wanted.HistoryReadDetails) for each in wanted.NodesToRead]

    def _told(
        self, wanted: ua.HistoryReadValueId, details: Any
    ) -> ua.HistoryReadResult:  # Any: as above
        found = ua.HistoryReadResult()
        found.StatusCode = GOOD
        if wanted.NodeId.Identifier in self.no_history:
            found.StatusCode = ua.StatusCode(ua.UInt32(NO_HISTORY))
            return found
        first = 0
        if wanted.ContinuationPoint is not None:
            _, first = self.points.pop(wanted.ContinuationPoint)
        times = [BEGUN + timedelta(seconds=second) for second in sorted(self.history)]
        within = [at for at in times if details.StartTime <= at <= details.EndTime]
        upto = min(first + self.page, first + int(details.NumValuesPerNode))
        if len(within) > upto:
            if len(self.points) >= self.points_max:
                found.StatusCode = ua.StatusCode(ua.UInt32(NO_POINTS))
                return found
            self._given += 1
            found.ContinuationPoint = b"%d" % self._given
            self.points[found.ContinuationPoint] = (wanted.NodeId, upto)
        found.HistoryData = ua.HistoryData([self._value(at) for at in within[first:upto]])
        return found

    def _value(self, at: datetime) -> ua.DataValue:
        value = self.history[round((at - BEGUN).total_seconds())]
        return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=at)  # type: ignore[arg-type]  # asks for its own subclass

    def _count(self, service: str, operations: int) -> None:
        if service in self.unsupported:
            refused(UNSUPPORTED)
        self.requests.setdefault(service, []).append(operations)
        if operations > self.operations_max:
            refused(TOO_MANY)

    def _property(self, node: Any) -> ua.BrowsePathResult:  # Any: as above
        found = ua.BrowsePathResult()
        found.StatusCode = GOOD
        if self.unit is not None:
            found.Targets = [ua.BrowsePathTarget(TargetId=node)]
        return found
