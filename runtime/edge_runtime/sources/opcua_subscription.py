"""Subscriptions on an OPC UA server: made with their items, taken up again, asked what was missed.

Loads asyncua, so it is imported only where a source is already connecting.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edge_runtime.errors import PayloadError
from edge_runtime.sources.opcua_batch import Batch
from edge_runtime.sources.opcua_client import KEEP_ALIVES_A_SILENCE, NONSENSE
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_publish import following, status_name
from edge_runtime.sources.opcua_tags import (
    UNIT_HANDLES,
    TagColumns,
    address_of,
    bad_address,
    node_text,
)
from edge_runtime.sources.opcua_units import said_of, says_unit
from edge_runtime.sources.opcua_variant import read_variant
from edge_runtime.sources.opcua_wire import Notification, read_republished

log = structlog.get_logger(__name__)

CALL_MAX: Final = 100  # nodes in one call at first: a slow controller answers them in a second
REFUSED_S: Final = 30.0  # until a tag that the server refused is asked for again
NOTIFICATIONS_MAX: Final = 10_000  # in one publish response
REPUBLISHED_MAX: Final = 1000  # messages that a server may have kept for us
UNIT_SAMPLING_MS: Final = 1000.0
HISTORY_READ: Final = 0x04  # OPC 10000-3, 8.57: bit of an access level
_NO_ELEMENTS: Final = frozenset(
    {
        StatusCodes.BadIndexRangeInvalid,
        StatusCodes.BadIndexRangeNoData,
        StatusCodes.BadNotSupported,
    }
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a server keeps for us.

    Attributes:
        number: its id.
        keep_alive_s: how often the server says something even if nothing changes.
        nodes: the node of each handle.
        history: handles of which the server keeps history.
        refused: handles of which it gives nothing, with the reason.
    """

    number: int
    keep_alive_s: float
    nodes: tuple[Any, ...]  # Any: node ids
    history: frozenset[int]
    refused: dict[int, str]


async def subscribe(
    client: Any, config: OpcUaConfig, columns: TagColumns
) -> Subscription:  # Any: asyncua's client has no types that help here
    """A new subscription to all tags, with their units.

    A server that does not tell units, or of what it keeps history, costs no value.

    Raises:
        ConfigurationError: the server lacks a namespace.
        UaError: the server refuses the subscription.
    """
    session = client.uaclient.session
    namespaces = [str(each) for each in await client.get_namespace_array()]
    nodes = tuple(_node(columns, handle, namespaces) for handle in range(len(columns.tags)))
    units: dict[int, Any] = {}  # Any: as above
    history: set[int] = set()
    if config.units:
        await _as_told(config, "units", _units(session, nodes, columns, units))
    if config.history:
        await _as_told(config, "history", _with_history(session, nodes, history))
    made = await _created(session, config)
    refused = await monitor(
        session, made.SubscriptionId, config, columns, nodes, range(len(nodes))
    )
    if units:
        job = _monitor_units(session, made.SubscriptionId, units)
        await _as_told(config, "changes of units", job)
    keep_alive_s = made.RevisedMaxKeepAliveCount * made.RevisedPublishingInterval / 1000
    return Subscription(made.SubscriptionId, keep_alive_s, nodes, frozenset(history), refused)


async def _as_told(config: OpcUaConfig, what: str, job: Coroutine[None, None, None]) -> None:
    """Do what a server may have no answer to; a link that is gone is another matter."""
    try:
        await job
    except (UaError, *NONSENSE) as error:
        reason = str(error) or repr(error)
        log.warning("source.untold", source=config.name, what=what, reason=reason)


def _node(columns: TagColumns, handle: int, namespaces: Sequence[str]) -> ua.NodeId:
    tag = columns.tags[handle]
    try:
        return ua.NodeId.from_string(node_text(tag, namespaces))
    except (ValueError, UaError):
        raise bad_address(tag, namespaces) from None


async def _created(
    session: Any, config: OpcUaConfig
) -> ua.CreateSubscriptionResult:  # Any: as above
    request = ua.CreateSubscriptionRequest()
    wanted = request.Parameters
    beats = config.silence_s / config.publishing_s / KEEP_ALIVES_A_SILENCE
    wanted.RequestedPublishingInterval = config.publishing_s * 1000
    wanted.RequestedMaxKeepAliveCount = ua.UInt32(max(1, int(beats)))
    lifetime = max(config.hold_s / config.publishing_s, 3 * wanted.RequestedMaxKeepAliveCount)
    wanted.RequestedLifetimeCount = ua.UInt32(int(lifetime))
    wanted.MaxNotificationsPerPublish = ua.UInt32(NOTIFICATIONS_MAX)
    wanted.PublishingEnabled = True
    # The library's own call would start the library's own publish loop.
    data = await session._send_request(request)  # noqa: SLF001 - pinned by a contract test
    response = struct_from_binary(ua.CreateSubscriptionResponse, data)
    response.ResponseHeader.ServiceResult.check()
    made: ua.CreateSubscriptionResult = response.Parameters
    return made


async def monitor(
    session: Any,  # Any: as above
    subscription: int,
    config: OpcUaConfig,
    columns: TagColumns,
    nodes: Sequence[Any],
    handles: Sequence[int],
) -> dict[int, str]:
    """Add the items of these handles; those that the server refuses, with the reason."""
    found = await _add(
        session,
        subscription,
        [
            _item(handle, nodes[handle], config, address_of(columns.tags[handle]).index)
            for handle in handles
        ],
    )
    codes = dict(zip(handles, found, strict=True))
    whole = [
        handle
        for handle, code in codes.items()
        if code in _NO_ELEMENTS and address_of(columns.tags[handle]).index is not None
    ]
    # A server that does not know elements sends the array, and we take the element.
    again = await _add(
        session, subscription, [_item(handle, nodes[handle], config, None) for handle in whole]
    )
    codes.update(zip(whole, again, strict=True))
    return {handle: status_name(code) for handle, code in codes.items() if code >> 31}


async def ask_again(
    session: Any,  # as above
    subscription: Subscription,
    config: OpcUaConfig,
    columns: TagColumns,
) -> None:
    """Ask for the refused tags until there are none: a controller may be loaded meanwhile."""
    refused = list(subscription.refused)
    while refused:
        await asyncio.sleep(REFUSED_S)
        number, nodes = subscription.number, subscription.nodes
        # What is no answer is none the next time either, or the line's end tells.
        with suppress(OSError, UaError, *NONSENSE):
            left = await monitor(session, number, config, columns, nodes, refused)
            for handle in set(refused) - set(left):
                log.info("tag.accepted", source=config.name, role=columns.tags[handle].role)
            refused = list(left)


async def _add(
    session: Any, subscription: int, items: Sequence[Any]
) -> list[int]:  # Any: as above
    async def created(some: Sequence[Any]) -> Any:  # Any: as above
        wanted = ua.CreateMonitoredItemsParameters()
        wanted.SubscriptionId = ua.IntegerId(subscription)
        wanted.ItemsToCreate = list(some)
        wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
        return await session.create_monitored_items(wanted)

    codes: list[int] = []
    async for some, results in Batch(ua, CALL_MAX).each(created, items):
        codes += [each.StatusCode.value for _, each in zip(some, results, strict=True)]
    return codes


def _item(handle: int, node: Any, config: OpcUaConfig, index: int | None) -> Any:  # Any: as above
    request = _request(handle, node, config.sampling_s * 1000, config.queue)
    if index is not None:
        request.ItemToMonitor.IndexRange = str(index)
    return request


def _request(handle: int, node: Any, sampling_ms: float, queue: int) -> Any:  # Any: as above
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId = node
    request.ItemToMonitor.AttributeId = AttributeIds.Value
    request.MonitoringMode = ua.MonitoringMode.Reporting
    wanted = request.RequestedParameters
    wanted.ClientHandle = ua.IntegerId(handle)
    wanted.SamplingInterval = sampling_ms
    wanted.QueueSize = ua.Counter(queue)
    wanted.DiscardOldest = True
    return request


async def _units(
    session: Any, nodes: Sequence[Any], columns: TagColumns, found: dict[int, Any]
) -> None:  # Any: as above
    """Read what tags are measured in; *found* gets the property nodes that say so, by handle."""
    paths = list(enumerate(map(_unit_path, nodes)))

    async def translated(some: Sequence[tuple[int, Any]]) -> Any:  # Any: as above
        return await session.translate_browsepaths_to_nodeids([path for _, path in some])

    async def read(handles: Sequence[int]) -> Any:  # Any: as above
        return await session.read_attributes([found[each] for each in handles], AttributeIds.Value)

    async for some, results in Batch(ua, CALL_MAX).each(translated, paths):
        for (handle, _), result in zip(some, results, strict=True):
            if result.StatusCode.is_good() and result.Targets:
                found[handle] = result.Targets[0].TargetId
    unsaid: list[str] = []
    async for handles, values in Batch(ua, CALL_MAX).each(read, list(found)):
        for handle, value in zip(handles, values, strict=True):
            said = None if value.Value is None else value.Value.Value
            tell_unit(columns, handle, said)
            if isinstance(said, ua.EUInformation) and not says_unit(*said_of(said)):
                unsaid.append(columns.tags[handle].role)
    if unsaid:
        source = columns.tags[0].source
        log.info("source.units_unsaid", source=source, tags=len(unsaid), first=unsaid[0])


def _unit_path(node: Any) -> ua.BrowsePath:  # Any: as above
    element = ua.RelativePathElement()
    element.ReferenceTypeId = ua.NodeId(ua.Int32(ObjectIds.HasProperty))
    element.IsInverse = False  # type: ignore[assignment]  # its own type takes no value
    element.TargetName = ua.QualifiedName("EngineeringUnits", 0)
    return ua.BrowsePath(node, ua.RelativePath([element]))


def tell_unit(
    columns: TagColumns, handle: int, said: Any
) -> bool:  # Any: of any type, from a server
    """Take note of what a server says of a tag's unit; whether values must change with it."""
    if not isinstance(said, ua.EUInformation):
        return False
    before = columns.conversion(handle)
    why = columns.measured_in(handle, *said_of(said))
    changed = columns.conversion(handle) != before
    if changed and why is not None:
        log.error("tag.unit_refused", role=columns.tags[handle].role, reason=why)
    return changed


async def _monitor_units(
    session: Any, subscription: int, units: dict[int, Any]
) -> None:  # Any: as above
    items = [
        _request(UNIT_HANDLES + handle, node, UNIT_SAMPLING_MS, 1)
        for handle, node in units.items()
    ]
    await _add(session, subscription, items)


async def _with_history(
    session: Any, nodes: Sequence[Any], found: set[int]
) -> None:  # Any: as above
    """Put the handles of which the server keeps history into *found*."""

    async def read(some: Sequence[tuple[int, Any]]) -> Any:  # Any: as above
        return await session.read_attributes(
            [node for _, node in some], AttributeIds.UserAccessLevel
        )

    async for some, levels in Batch(ua, CALL_MAX).each(read, list(enumerate(nodes))):
        for (handle, _), level in zip(some, levels, strict=True):
            bits = None if level.Value is None else level.Value.Value
            if isinstance(bits, int) and bits & HISTORY_READ:
                found.add(handle)


async def transfer(session: Any, subscription: int) -> str:  # Any: as above
    """Ask for a subscription of another session of ours; why it was refused, "" if it was not."""
    wanted = ua.TransferSubscriptionsParameters()
    wanted.SubscriptionIds = [ua.IntegerId(subscription)]
    wanted.SendInitialValues = False
    try:
        [result] = await session.transfer_subscriptions(wanted)
    except UaStatusCodeError as error:
        return status_name(error.code)
    except ValueError:
        return "no result for it"
    return "" if result.StatusCode.is_good() else status_name(result.StatusCode.value)


async def missed(
    session: Any, subscription: int, expected: int
) -> list[Notification]:  # Any: as above
    """What the server had sent and we never had, in order; ask once, since it may then forget."""
    found: list[Notification] = []
    while len(found) < REPUBLISHED_MAX:
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = ua.IntegerId(subscription)
        request.Parameters.RetransmitSequenceNumber = ua.Counter(expected)
        try:
            data = await session._send_request(request)  # noqa: SLF001 - pinned by a contract test
            message = read_republished(bytes(data), 0, read_variant)
        except (UaStatusCodeError, PayloadError):
            break
        # A server may answer with an empty message where it has none.
        if message is None or message.sequence != expected or not message.notified:
            break
        found.append(message)
        expected = following(expected)
    return found
