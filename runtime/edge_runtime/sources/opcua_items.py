"""The items of OPC UA data changes as columns: the part of a publish response that must be fast.

A data value's layout is fixed by its mask and its type (OPC 10000-6, 5.2.2.17), and servers send
long runs of one layout. So a run is viewed as an array of records, checked for mask and type all
at once, and cut where the first differs. A value of no fixed size (a text, an array) is left to a
reader that is handed in, and the next run begins behind it.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import PayloadError

ITEMS_MAX: Final = 1_000_000  # in one message; more is damage, or an attack on our memory
NO_TIME: Final = int(np.iinfo(np.int64).min)
_TICKS_1970: Final = 116_444_736_000_000_000  # 100 ns since 1601 (OPC 10000-6, 5.2.2.5)
_TICKS_SPAN: Final = np.iinfo(np.int64).max // 100
_TICKS_FIRST: Final = _TICKS_1970 - _TICKS_SPAN  # in 1677: 64 bits of nanoseconds begin there
_VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = 1, 2, 4, 8, 16, 32
_MASK_MAX: Final = 63
_PICO_MAX: Final = 9999
_ARRAY: Final = 0x80
_HEAD: Final = 5  # client handle and mask
_SCALARS_BEFORE_A_RUN: Final = 3  # so many must look alike before a run is worth its overhead

# Built-in types with a fixed size (OPC 10000-6, 5.1.2); a DateTime is no number of a plant.
_BOOLEAN: Final = 1
_BEHIND: Final = (
    (_STATUS, "status", "I"),
    (_SOURCE, "source", "q"),
    (_SOURCE_PICO, "source_pico", "H"),
    (_SERVER, "server", "q"),
    (_SERVER_PICO, "server_pico", "H"),
)
_FORMATS: Final = {
    _BOOLEAN: "B",
    2: "b",
    3: "B",
    4: "h",
    5: "H",
    6: "i",
    7: "I",
    8: "q",
    9: "Q",
    10: "f",
    11: "d",
    19: "I",
}

Reader = Callable[[bytes, int], tuple[Any, int]]  # Any: a value of any type
"""Reads the Variant at a position: its value, and the position behind it; raises PayloadError."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Data changes in order; every column has shape (item,).

    Attributes:
        handles: what we named the monitored items.
        values: NaN where there is no number.
        source_ns: nanoseconds since 1970, `NO_TIME` where the server gives none.
        server_ns: likewise.
        status: OPC UA status codes.
        others: what was no number, by its row.
    """

    handles: NDArray[np.uint32]
    values: NDArray[np.float64]
    source_ns: NDArray[np.int64]
    server_ns: NDArray[np.int64]
    status: NDArray[np.uint32]
    others: dict[int, Any]  # Any: a text, or a list of numbers

    def __len__(self) -> int:
        return len(self.handles)


class _Columns(NamedTuple):
    handles: NDArray[np.uint32]
    values: NDArray[np.float64]
    source_ns: NDArray[np.int64]
    server_ns: NDArray[np.int64]
    status: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class _Layout:
    """One way in which items are encoded: as an array's record, and as a single one."""

    mask: int
    kind: int
    dtype: np.dtype[np.void]
    single: struct.Struct
    names: tuple[str, ...]


class _Item(NamedTuple):
    handle: int
    value: float
    source_ns: int
    server_ns: int
    status: int


def _layout_at(body: bytes, at: int) -> _Layout | None:
    mask = body[at + 4]
    return _layout(mask, body[at + _HEAD] if mask & _VALUE else 0)


@cache
def _layout(mask: int, kind: int) -> _Layout | None:
    """How an item of *mask* with a value of *kind* lies in memory; None if its size varies."""
    if mask > _MASK_MAX:
        return None
    fields = [("handle", "I"), ("mask", "B")]
    if mask & _VALUE:
        form = _FORMATS.get(kind & ~_ARRAY)
        if form is None:
            return None
        fields += [("kind", "B")]
        # An array of one, which is what the index of an array gives.
        fields += [("length", "i")] if kind & _ARRAY else []
        fields += [("value", form)]
    fields += [(name, form) for bit, name, form in _BEHIND if mask & bit]
    return _Layout(
        mask=mask,
        kind=kind,
        dtype=np.dtype([(name, "<" + form) for name, form in fields]),
        single=struct.Struct("<" + "".join(form for _, form in fields)),
        names=tuple(name for name, _ in fields),
    )


def _looks_alike(body: bytes, at: int, layout: _Layout, left: int, end: int) -> bool:
    """Whether the items that follow may well have the same layout; a run checks each of them."""
    size = layout.dtype.itemsize
    last = at + _SCALARS_BEFORE_A_RUN * size
    if left <= _SCALARS_BEFORE_A_RUN or last + size > end or not _is_one(body, at, layout):
        return False
    return body[last + 4] == layout.mask and (
        not layout.mask & _VALUE or body[last + _HEAD] == layout.kind
    )


def _is_one(body: bytes, at: int, layout: _Layout) -> bool:
    return not layout.kind & _ARRAY or _I32.unpack_from(body, at + _HEAD + 1) == (1,)


def _run(body: bytes, at: int, layout: _Layout, items: int) -> NDArray[np.void]:
    """The items from a position on that have exactly this layout; at least one."""
    if items < 1:
        raise PayloadError(f"item: expected {layout.dtype.itemsize} bytes at {at}, found fewer")
    run = np.frombuffer(body, layout.dtype, items, at)
    differs = run["mask"] != layout.mask
    if layout.mask & _VALUE:
        differs |= run["kind"] != layout.kind
    if layout.kind & _ARRAY:
        differs |= run["length"] != 1
    first = int(differs.argmax())
    return run[:first] if differs[first] else run


def _columns(run: NDArray[np.void], layout: _Layout) -> _Columns:
    count, names = len(run), layout.names

    def ticks(name: str) -> NDArray[np.int64]:
        if name not in names:
            return np.full(count, NO_TIME, np.int64)
        times_ns = _nanosecond_column(run[name])
        pico = f"{name}_pico"
        return _finer(times_ns, run[pico]) if pico in names else times_ns

    values = run["value"].astype(np.float64) if "value" in names else np.full(count, np.nan)
    return _Columns(
        handles=run["handle"].copy(),
        # True is whatever is not zero, and a server may send any byte.
        values=(values != 0).astype(np.float64) if layout.kind & ~_ARRAY == _BOOLEAN else values,
        source_ns=ticks("source"),
        server_ns=ticks("server"),
        status=run["status"].copy() if "status" in names else np.zeros(count, np.uint32),
    )


def _item_of(found: dict[str, Any]) -> _Item:  # Any: numbers of any kind
    def time_ns(name: str) -> int:
        whole_ns = nanoseconds_of(found.get(name, 0))
        return whole_ns if whole_ns == NO_TIME else whole_ns + _part(found.get(name + "_pico", 0))

    value = float(found.get("value", np.nan))
    return _Item(
        found["handle"], value, time_ns("source"), time_ns("server"), found.get("status", 0)
    )


def _part(pico: int) -> int:
    """Nanoseconds of what comes in units of 10 ps, below 100 ns (OPC 10000-6, 5.2.2.17)."""
    return min(pico, _PICO_MAX) // 100


class Items:
    """Collects the items of one message, whatever their layouts."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parts: list[_Columns] = []
        self._singles: list[_Item] = []
        self._others: dict[int, Any] = {}  # Any: as in `Changes`
        self._rows = 0

    @property
    def changes(self) -> Changes:
        """All items that were read, in order."""
        self._flush()
        if not self._parts:
            return NOTHING
        if len(self._parts) == 1:
            return Changes(*self._parts[0], self._others)
        handles, values, source_ns, server_ns, status = zip(*self._parts, strict=True)
        return Changes(
            np.concatenate(handles),
            np.concatenate(values),
            np.concatenate(source_ns),
            np.concatenate(server_ns),
            np.concatenate(status),
            self._others,
        )

    def read(self, body: bytes, at: int, end: int) -> None:
        """Read a DataChangeNotification that lies between two positions.

        Raises:
            PayloadError: it does not end where it should.
        """
        (count,) = _I32.unpack_from(body, at)
        at += _I32.size
        left = bounded(count, _HEAD, body, at)
        if self._rows + left > ITEMS_MAX:
            raise PayloadError(f"message: expected at most {ITEMS_MAX} items, found more")
        while left:
            layout = _layout_at(body, at)
            if layout is not None and _looks_alike(body, at, layout, left, end):
                run = _run(body, at, layout, min(left, (end - at) // layout.dtype.itemsize))
                self._flush()
                self._parts.append(_columns(run, layout))
                taken, at = len(run), at + run.nbytes
            else:
                taken, at = 1, self._one(body, at, layout)
            if at > end:
                raise PayloadError(f"item: expected to end before byte {end}, found {at}")
            self._rows += taken
            left -= taken

    def _one(self, body: bytes, at: int, layout: _Layout | None) -> int:
        """Read one item; the position behind it."""
        if layout is not None and _is_one(body, at, layout):
            found = dict(zip(layout.names, layout.single.unpack_from(body, at), strict=True))
            self._singles.append(_item_of(found))
            return at + layout.single.size
        handle, mask = _U32_U8.unpack_from(body, at)
        rest = _layout(mask & ~_VALUE, 0)
        if rest is None:
            raise PayloadError(f"item {handle}: expected a mask up to {_MASK_MAX}, found {mask}")
        if mask & _VALUE:
            self._others[self._rows], at = self._reader(body, at + _HEAD)
            at -= _HEAD
        # What follows the value lies as if there were none.
        found = dict(zip(rest.names, rest.single.unpack_from(body, at), strict=True))
        self._singles.append(_item_of({**found, "handle": handle}))
        return at + rest.single.size

    def _flush(self) -> None:
        """Make columns of what was read one by one."""
        if not self._singles:
            return
        handles, values, source_ns, server_ns, status = zip(*self._singles, strict=True)
        self._parts.append(
            _Columns(
                np.array(handles, np.uint32),
                np.array(values, np.float64),
                np.array(source_ns, np.int64),
                np.array(server_ns, np.int64),
                np.array(status, np.uint32),
            )
        )
        self._singles.clear()


NOTHING: Final = Changes(
    np.empty(0, np.uint32),
    np.empty(0, np.float64),
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.uint32),
    {},
)


def _nanosecond_column(ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nanoseconds since 1970; what lies outside of 64 bits, and zero, is no time."""
    known = (ticks > _TICKS_FIRST) & (ticks < _TICKS_1970 + _TICKS_SPAN)
    if known.all():
        return (ticks - _TICKS_1970) * 100
    return np.where(known, (np.where(known, ticks, _TICKS_1970) - _TICKS_1970) * 100, NO_TIME)


def nanoseconds_of(ticks: int) -> int:
    """Nanoseconds since 1970 of an OPC UA time; `NO_TIME` if it is none that 64 bits can hold."""
    known = _TICKS_FIRST < ticks < _TICKS_1970 + _TICKS_SPAN
    return (ticks - _TICKS_1970) * 100 if known else NO_TIME


def _finer(times_ns: NDArray[np.int64], pico: NDArray[np.uint16]) -> NDArray[np.int64]:
    """As `_part`, for columns."""
    extra = np.minimum(pico, _PICO_MAX).astype(np.int64) // 100
    return np.where(times_ns == NO_TIME, times_ns, times_ns + extra)


def bounded(count: int, size_min: int, body: bytes, at: int) -> int:
    """The number of things of at least *size_min* bytes that follow; none if negative."""
    if count * size_min > len(body) - at:
        raise PayloadError(
            f"length: expected at most {max(0, len(body) - at)} bytes, found {count} of {size_min}"
        )
    return max(count, 0)


_I32: Final = struct.Struct("<i")
_U32_U8: Final = struct.Struct("<IB")
