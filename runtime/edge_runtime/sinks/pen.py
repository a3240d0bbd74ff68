"""The only thing that writes to a plant's server, and only to the nodes that it was given.

One pen a connection. It knows the nodes of the allow-list by their resolved ids; there is no
other call of the write service in this program, and a test looks for one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from edge_core.contracts.errors import ConfigurationError, RefusedError
from edge_runtime.sinks.settings import Shows
from edge_runtime.sinks.standing import Shown, Standing

GOOD: Final = 0x0000_0000
LAST_USABLE: Final = 0x4090_0000  # OPC 10000-8, A: the last value, which is old
SUBSTITUTE: Final = 0x4091_0000  # likewise: a value that somebody has put in its place
STATUSES: Final = {
    Standing.DECIDED: GOOD,
    Standing.HELD: LAST_USABLE,
    Standing.SAFE: SUBSTITUTE,
}
_WRITABLE: Final = 0x02  # OPC 10000-3, 8.57: CurrentWrite
_KINDS: Final = ua.VariantType
_BITS: Final = {
    _KINDS.SByte: 7,
    _KINDS.Byte: 8,
    _KINDS.Int16: 15,
    _KINDS.UInt16: 16,
    _KINDS.Int32: 31,
    _KINDS.UInt32: 32,
    _KINDS.Int64: 63,
    _KINDS.UInt64: 64,
}
_FLOATS: Final = frozenset({_KINDS.Float, _KINDS.Double})
_FITTING: Final = {
    Shows.LABEL: frozenset({_KINDS.String, *_BITS}),
    Shows.ALARM: frozenset({_KINDS.Boolean, *_BITS}),
    Shows.DECIDED: frozenset({_KINDS.Boolean, *_BITS}),
    Shows.CONFIDENCE: _FLOATS,
    Shows.VALUE: _FLOATS,
    Shows.HEARTBEAT: frozenset({_KINDS.Boolean, *_BITS}),
}
_REFUSES_STATUS: Final = frozenset(
    {StatusCodes.BadWriteNotSupported, StatusCodes.BadUserAccessDenied}
)


Value = str | bool | int | float


class NotAllowedError(RefusedError):
    """The node is not on the allow-list, so it is not written."""


@dataclass(slots=True)
class Place:
    """One node that shows something.

    Attributes:
        address: as it is configured.
        node: as this server has it.
        kind: of its value.
        timed: whether it takes status and source time; not every server keeps them for us.
    """

    shows: Shows
    address: str
    node: ua.NodeId
    kind: ua.VariantType
    timed: bool = True


class Pen:
    """Writes to the places of one connection; *allowed* are the ids of the allow-list."""

    def __init__(self, client: Any, allowed: frozenset[ua.NodeId]) -> None:  # Any: asyncua's
        self._client = client
        self._allowed = allowed

    async def place(self, shows: Shows, address: str, node: ua.NodeId) -> Place:
        """The place that is to show something, once it is known to be able to.

        Raises:
            NotAllowedError: it is not on the allow-list.
            ConfigurationError: it is not there, not ours to write, or of another type.
        """
        self._demand(node)
        found = self._client.get_node(node)
        try:
            kind = await found.read_data_type_as_variant_type()
            level = (await found.read_attribute(AttributeIds.UserAccessLevel)).Value.Value
        except UaStatusCodeError as error:
            raise ConfigurationError(
                f"{address}: expected a variable that we may write, found {error}"
            ) from None
        if not int(level or 0) & _WRITABLE:
            raise ConfigurationError(
                f"{address}: expected the right to write it, found none; ask for it at the server"
            )
        if kind not in _FITTING[shows]:
            fitting = ", ".join(sorted(each.name for each in _FITTING[shows]))
            raise ConfigurationError(
                f"{address}: to show {shows} expected {fitting}, found {kind.name}"
            )
        return Place(shows, address, node, kind)

    async def write(
        self, place: Place, value: Any, standing: Standing, at: datetime
    ) -> None:  # Any: of its kind
        """Write *value* with its status and source time.

        Raises:
            NotAllowedError: the node is not on the allow-list.
            UaError: the server refused.
        """
        self._demand(place.node)
        variant = ua.Variant(value, place.kind)
        node = self._client.get_node(place.node)
        if place.timed:
            status = ua.StatusCode(ua.UInt32(STATUSES[standing]))
            told = ua.DataValue(
                variant,
                StatusCode=status,
                SourceTimestamp=at,  # type: ignore[arg-type]  # asks for its own subclass, encodes any
            )
            try:
                await node.write_attribute(AttributeIds.Value, told)
            except UaStatusCodeError as error:
                if error.code not in _REFUSES_STATUS:
                    raise
                place.timed = False
            else:
                return
        # OPC 10000-4, 5.11.4: a server that cannot set them says so, and takes the value alone.
        await node.write_attribute(AttributeIds.Value, ua.DataValue(variant))

    async def read(self, place: Place) -> Any:  # Any: whatever is there
        """The value that the server has now."""
        node = self._client.get_node(place.node)
        found = await node.read_data_value(raise_on_bad_status=False)
        return None if found.Value is None else found.Value.Value

    def _demand(self, node: ua.NodeId) -> None:
        if node not in self._allowed:
            raise NotAllowedError(f"{node.to_string()}: not on the allow-list, so not written")


def value_of(place: Place, shown: Shown) -> Value | None:
    """What *place* is to say of what holds; None where there is nothing to say."""
    match place.shows:
        case Shows.LABEL:
            found: Value | None = shown.label
            if place.kind is not _KINDS.String:
                found = _number(place.kind, shown.place)
        case Shows.ALARM:
            found = _truth(place.kind, shown.alarm)
        case Shows.DECIDED:
            found = _truth(place.kind, shown.standing is Standing.DECIDED)
        case Shows.CONFIDENCE:
            found = shown.confidence or 0.0
        case Shows.VALUE:
            found = shown.value
        case _:
            found = None
    return found


def beat_of(place: Place, count: int) -> Value:
    """The heartbeat after *count* beats: a bit that turns over, or a counter that wraps."""
    if place.kind is _KINDS.Boolean:
        return count % 2 == 1
    return count % (1 << _BITS[place.kind])


def same(written: object, read: object) -> bool:
    """Whether what is read is what was written, as exactly as its type can be."""
    if isinstance(written, float) and isinstance(read, float):
        return abs(written - read) <= 1e-6 * max(1.0, abs(written))
    return written == read and type(written) is type(read)


def _number(kind: ua.VariantType, place: int | None) -> int:
    if place is not None:
        return place
    signed = kind in {_KINDS.SByte, _KINDS.Int16, _KINDS.Int32, _KINDS.Int64}
    return -1 if signed else (1 << _BITS[kind]) - 1


def _truth(kind: ua.VariantType, truth: bool) -> bool | int:  # noqa: FBT001 - it is the value
    return truth if kind is _KINDS.Boolean else int(truth)
