"""The only thing that writes to a plant's server, and only to the nodes that it was given.

One pen a connection. It knows the nodes of the allow-list by their resolved ids; there is no
other call of the write service in this program, and a test looks for one.

A number that no longer holds is never left there: it is overwritten with "not a number", with a
bad status where the server takes one.
"""

import math
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
NO_NUMBER: Final = 0x808D_0000  # likewise, Bad_OutOfService: nobody gives this value now
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
_SEVERITY: Final = 30  # OPC 10000-4, 7.39.1: the two highest bits; 0 is good, 2 is bad
_BAD: Final = 2
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
        bare: whether it may be written without them.
    """

    shows: Shows
    address: str
    node: ua.NodeId
    kind: ua.VariantType
    timed: bool = True
    bare: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """What a node says, or was told to say; `status` as OPC 10000-4 numbers them."""

    value: Any  # Any: what is read may be of any type
    status: int = GOOD

    @property
    def good(self) -> bool:
        """Whether a reader takes it for granted."""
        return self.status >> _SEVERITY == 0


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
        self, place: Place, value: Value | None, standing: Standing, at: datetime
    ) -> Said:
        """Write *value* with its status and source time, and return what was written.

        Where there is no number the node says so, with a bad status.

        Raises:
            NotAllowedError: the node is not on the allow-list.
            ConfigurationError: it takes no status and nothing else would say that it is old.
            UaError: the server refused.
        """
        self._demand(place.node)
        node = self._client.get_node(place.node)
        if place.timed:
            status = NO_NUMBER if value is None else STATUSES[standing]
            said = Said(_written(value), status)
            told = ua.DataValue(
                ua.Variant(said.value, place.kind),
                StatusCode=ua.StatusCode(ua.UInt32(said.status)),
                SourceTimestamp=at,  # type: ignore[arg-type]  # asks for its own subclass, encodes any
            )
            try:
                await node.write_attribute(AttributeIds.Value, told)
            except UaStatusCodeError as error:
                if error.code not in _REFUSES_STATUS:
                    raise
            else:
                return said
        # OPC 10000-4, 5.11.4: a server that cannot set them says so, and takes the value alone.
        return await self.write_bare(place, value)

    async def write_bare(self, place: Place, value: Value | None) -> Said:
        """Write *value* alone; raises as `write`."""
        self._demand(place.node)
        place.timed = False
        if not place.bare:
            raise ConfigurationError(
                f"{place.address}: expected a server that takes a status with `{place.shows}`, or "
                "a node for `decided` beside it, found neither: the PLC could not tell an old "
                "number from a new one; add `decided` to [sinks.opcua.nodes]"
            )
        said = Said(_written(value))
        told = ua.DataValue(ua.Variant(said.value, place.kind))
        await self._client.get_node(place.node).write_attribute(AttributeIds.Value, told)
        return said

    async def read(self, place: Place) -> Said:
        """What the server has now."""
        node = self._client.get_node(place.node)
        found = await node.read_data_value(raise_on_bad_status=False)
        value = None if found.Value is None else found.Value.Value
        return Said(value, GOOD if found.StatusCode is None else found.StatusCode.value)

    def _demand(self, node: ua.NodeId) -> None:
        if node not in self._allowed:
            raise NotAllowedError(f"{node.to_string()}: not on the allow-list, so not written")


def value_of(place: Place, shown: Shown) -> Value | None:
    """What *place* is to say of what holds; None where there is no number."""
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


def lost_status(written: Said, read: Said) -> bool:
    """Whether the server kept the value and let its status go, so that it looks good."""
    kept = read.value is None or same(Said(written.value), read)
    return read.good and not written.good and kept


def same(written: Said, read: Said) -> bool:
    """Whether what is read is what was written, as exactly as its type can be.

    A server may clear a value whose status is bad (OPC 10000-4, 7.11), so only the status counts.
    """
    if written.status >> _SEVERITY == _BAD:
        return not read.good
    if isinstance(written.value, float) and isinstance(read.value, float):
        if math.isnan(written.value) or math.isnan(read.value):
            return math.isnan(written.value) and math.isnan(read.value)
        return abs(written.value - read.value) <= 1e-6 * max(1.0, abs(written.value))
    return bool(written.value == read.value) and type(written.value) is type(read.value)


def _written(value: Value | None) -> Value:
    return math.nan if value is None else value


def _number(kind: ua.VariantType, place: int | None) -> int:
    if place is not None:
        return place
    signed = kind in {_KINDS.SByte, _KINDS.Int16, _KINDS.Int32, _KINDS.Int64}
    return -1 if signed else (1 << _BITS[kind]) - 1


def _truth(kind: ua.VariantType, truth: bool) -> bool | int:  # noqa: FBT001 - it is the value
    return truth if kind is _KINDS.Boolean else int(truth)
