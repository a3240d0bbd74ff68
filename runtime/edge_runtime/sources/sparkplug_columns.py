"""Sparkplug B data messages read as columns, many metrics at a time; no I/O.

A node that reports two hundred values by alias writes two hundred entries of the same shape: the
same fields, in the same order, of the same length. So a run of equal shapes is read as a table of
bytes, and each field is a few columns of it. And the next message is laid out like the one before:
where only times and values differ, it is enough to know where those are. What has names, text or
properties, or changes its shape too often, is left to the general reader; all ways give the same.

Wire format: protocol buffers, "Encoding"; field numbers are those of `sparkplug_payload`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

METRICS_MIN: Final = 8  # below, the general reader is as fast
RUNS_MAX: Final = 8
_ENTRY, _TIMESTAMP, _SEQ = 0x12, 0x08, 0x18
_ALIAS, _TIME, _DATATYPE = 0x10, 0x18, 0x20
_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN = 0x50, 0x58, 0x65, 0x69, 0x70
_FIXED: Final = {_FLOAT: 4, _DOUBLE: 8}
_FALSE: Final = frozenset({0x28, 0x30, 0x38})  # historical, transient, null: said, and not so
_VARINTS: Final = (_ALIAS, _TIME, _DATATYPE, _INT, _LONG, _BOOLEAN)
# Groups of seven bits; seven of them are exact as float64, in which the sums are taken.
_GROUPS_MAX: Final = {_ALIAS: 7, _TIME: 7, _DATATYPE: 4, _INT: 4, _LONG: 7, _BOOLEAN: 1}
_VALUES: Final = frozenset({_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN})
_SHAPES_MAX: Final = 256  # remembered, one a length of an entry
_KEY: Final = slice(7, 12)
LAYOUTS_MAX: Final = 64
LAYOUT_BYTES_MAX: Final = 16 * 1024  # seven hundred metrics; all layouts together stay below 8 MB


@dataclass(frozen=True, slots=True)
class Plain:
    """A message of values by alias, all of good quality and of now; arrays have shape (metric,).

    Attributes:
        timestamp_ms: of the message.
        seq: its number, or None.
        aliases: of the metrics.
        times_ms: of the metrics; 0 where a metric has none of its own.
        values: as numbers, integers as if unsigned.
        wholes: the bits of integers, 0 for others; None if there are no integers.
        datatypes: 0 where a metric names none; None if none does.
    """

    timestamp_ms: int
    seq: int | None
    aliases: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    wholes: NDArray[np.uint64] | None
    datatypes: NDArray[np.uint32] | None


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one entry is written.

    Attributes:
        written: an entry of this shape, shape (byte,).
        same: the bits that every other one has too.
        again: the bits that the same entry of the next message has too.
        payload: the bits that are part of a number.
        weights: what each byte adds to each of `_VARINTS`, shape (byte, field).
        value: the field that the value is in.
        fixed: where that is, if it is a float or a double.
        time: where the time is, if there is one.
        typed: whether the datatype is told.
    """

    written: NDArray[np.uint8]
    same: NDArray[np.uint8]
    again: NDArray[np.uint8]
    payload: NDArray[np.uint8]
    weights: NDArray[np.float64]
    value: int
    fixed: slice | None
    time: slice | None
    typed: bool


Run = tuple[_Shape, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one message is written, down to its aliases.

    Attributes:
        written: the message, shape (byte,).
        same: the bits that the next one has too.
        times: where the groups of each time are, shape (metric, group).
        values: where the bytes of each double are, shape (metric, 8).
        weights: what each group of a time counts.
        seq: where the number of the message is.
        aliases: of the metrics.
        datatypes: likewise, or None.
    """

    written: NDArray[np.uint8]
    same: NDArray[np.uint8]
    times: NDArray[np.intp]
    values: NDArray[np.intp]
    weights: NDArray[np.float64]
    seq: int
    aliases: NDArray[np.uint64]
    datatypes: NDArray[np.uint32] | None


# By length and by the first bytes behind the time, which tell one device from another.
_layouts: dict[tuple[int, bytes], _Layout] = {}

# By the length of an entry. Nodes have few shapes, and the one before is nearly always the next.
_shapes: dict[int, _Shape] = {}


def plain(raw: bytes) -> Plain | None:
    """The message as columns, or None if it is for the general reader."""
    try:
        return _again(raw) or _plain(raw)
    except IndexError:  # cut short: the general reader says so
        return None


def _again(raw: bytes) -> Plain | None:
    """A message laid out like one before."""
    layout = _layouts.get((len(raw), raw[_KEY]))
    if layout is None:
        return None
    written = np.frombuffer(raw, np.uint8)
    if ((written ^ layout.written) & layout.same).max():
        return None
    groups = (written[layout.times] & 0x7F).astype(np.float64)
    return Plain(
        timestamp_ms=_varint(raw, 1)[0],
        seq=_varint(raw, layout.seq)[0],
        aliases=layout.aliases,
        times_ms=(groups @ layout.weights).astype(np.int64),
        values=written[layout.values].view("<f8")[:, 0],
        wholes=None,
        datatypes=layout.datatypes,
    )


def _plain(raw: bytes) -> Plain | None:
    at, timestamp_ms = 0, 0
    if raw[0] == _TIMESTAMP:
        timestamp_ms, at = _varint(raw, 1)
    runs: list[Run] = []
    first = at
    while at < len(raw) and raw[at] == _ENTRY:
        if len(runs) == RUNS_MAX:
            return None
        run = _run(raw, at)
        if run is None:
            return None
        runs.append(run)
        at += run[1].size
    seq, last = None, at
    if at < len(raw) and raw[at] == _SEQ:
        seq, at = _varint(raw, at + 1)
    if at != len(raw) or sum(len(block) for _, block in runs) < METRICS_MIN:
        return None
    found = _columns(timestamp_ms, seq, runs)
    if first and seq is not None:
        _remember(raw, first, last, runs, found)
    return found


def _remember(raw: bytes, first: int, last: int, runs: list[Run], found: Plain) -> None:
    """Know the layout of a message again, if only its doubles and their times will change."""
    times = {shape.time and shape.time.stop - shape.time.start for shape, _ in runs}
    (width, *others) = times
    doubles = all(shape.value == _DOUBLE for shape, _ in runs)
    if others or not width or not doubles or len(raw) > LAYOUT_BYTES_MAX:
        return
    head = np.array([0xFF, *[0x80] * (first - 1)], np.uint8)
    tail = np.array([0xFF, *[0x80] * (len(raw) - last - 1)], np.uint8)
    same = [np.broadcast_to(shape.again, block.shape).ravel() for shape, block in runs]
    if len(_layouts) >= LAYOUTS_MAX:
        _layouts.clear()
    _layouts[len(raw), raw[_KEY]] = _Layout(
        written=np.frombuffer(raw, np.uint8),
        same=np.concatenate([head, *same, tail]),
        times=_places(first, runs, [shape.time for shape, _ in runs]),
        values=_places(first, runs, [shape.fixed for shape, _ in runs]),
        weights=128.0 ** np.arange(width),
        seq=last + 1,
        aliases=found.aliases,
        datatypes=found.datatypes,
    )


def _places(first: int, runs: list[Run], fields: list[slice | None]) -> NDArray[np.intp]:
    """Where in a message each byte of a field is, shape (metric, byte)."""
    found = []
    for (_, block), field in zip(runs, fields, strict=True):
        places = first + np.arange(block.size, dtype=np.intp).reshape(block.shape)
        found.append(places[:, field] if field is not None else places)
        first += block.size
    return np.concatenate(found)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 63:
        value |= (raw[at] & 0x7F) << shift
        at += 1
        if not raw[at - 1] & 0x80:
            return value, at
        shift += 7
    raise IndexError  # ten groups: no time and no number of ours


def _run(raw: bytes, at: int) -> Run | None:
    """All entries of one shape from a place on, shape (metric, byte)."""
    width = raw[at + 1] + 2
    if width > 129 or at + width > len(raw):
        return None
    count = (len(raw) - at) // width
    block = np.frombuffer(raw, np.uint8, count * width, at).reshape(count, width)
    shape = _shapes.get(width)
    length = 0 if shape is None else _length(block, shape)
    if shape is None or not length:
        shape = _shape(raw[at : at + width])
        if shape is None:
            return None
        if len(_shapes) < _SHAPES_MAX:
            _shapes[width] = shape
        length = _length(block, shape)
    return shape, block[:length]


def _length(block: NDArray[np.uint8], shape: _Shape) -> int:
    """How many entries from the first on have the shape."""
    other = (((block ^ shape.written) & shape.same) != 0).ravel()
    first = int(other.argmax())
    return first // len(shape.same) if other[first] else len(block)


def _shape(entry: bytes) -> _Shape | None:
    """The shape of an entry, or None if it is none that can be read here."""
    fields: dict[int, slice] = {}
    same = np.full(len(entry), 0xFF, np.uint8)
    again = same.copy()
    place = 2
    while place < len(entry):
        field, start = entry[place], place + 1
        place = start + _FIXED.get(field, 0)
        if field in _GROUPS_MAX:
            while entry[place] & 0x80:
                place += 1
            place += 1
            same[start:place] = 0x80
        elif field in _FIXED:
            same[start:place] = 0
        elif field in _FALSE and entry[start] == 0:
            place = start + 1
        else:
            return None
        # In ascending order no field comes twice, so none overrides another.
        if place - start > _GROUPS_MAX.get(field, 8) or field <= max(fields, default=0):
            return None
        fields[field] = slice(start, place)
        if field not in {_ALIAS, _DATATYPE}:
            again[start:place] = same[start:place]
    values = _VALUES & fields.keys()
    if place != len(entry) or len(values) != 1 or _ALIAS not in fields:
        return None
    weights = np.zeros((len(entry), len(_VARINTS)))
    for column, field in enumerate(_VARINTS):
        if field in fields:
            groups = np.arange(fields[field].stop - fields[field].start)
            weights[fields[field], column] = 128.0**groups
    (value,) = values
    return _Shape(
        written=np.frombuffer(entry, np.uint8),
        same=same,
        again=again,
        payload=np.where(same == 0x80, 0x7F, 0).astype(np.uint8),
        weights=weights,
        value=value,
        fixed=fields[value] if value in _FIXED else None,
        time=fields.get(_TIME),
        typed=_DATATYPE in fields,
    )


def _columns(timestamp_ms: int, seq: int | None, runs: list[Run]) -> Plain:
    numbers = _joined([_numbers(run) for run in runs])
    wholes = datatypes = None
    if any(shape.fixed is None for shape, _ in runs):
        wholes = numbers[:, 3:].sum(axis=1).astype(np.uint64)
    if any(shape.typed for shape, _ in runs):
        datatypes = numbers[:, 2].astype(np.uint32)
    return Plain(
        timestamp_ms=timestamp_ms,
        seq=seq,
        aliases=numbers[:, 0].astype(np.uint64),
        times_ms=numbers[:, 1].astype(np.int64),
        values=_joined([_values(shape, block) for shape, block in runs]),
        wholes=wholes,
        datatypes=datatypes,
    )


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _numbers(run: Run) -> NDArray[np.float64]:
    """The fields that are `_VARINTS`, 0 where the shape has none; shape (metric, field)."""
    shape, block = run
    found: NDArray[np.float64] = (block & shape.payload).astype(np.float64) @ shape.weights
    return found


def _values(shape: _Shape, block: NDArray[np.uint8]) -> NDArray[np.float64]:
    if shape.fixed is None:
        wholes: NDArray[np.float64] = _numbers((shape, block))[:, 3:].sum(axis=1)
        return wholes
    written = np.ascontiguousarray(block[:, shape.fixed])
    if shape.value == _DOUBLE:
        doubles: NDArray[np.float64] = written.view("<f8")[:, 0]
        return doubles
    return written.view("<f4")[:, 0].astype(np.float64)
