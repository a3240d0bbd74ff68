"""Reads back from a server's history what an outage swallowed: exactly that, and no value twice.

Loads asyncua, so it is imported only where a source is already connected.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge_core.features.words import TEXT_UNIT
from edge_runtime.sources.opcua_continuity import Hole
from edge_runtime.sources.opcua_tags import BAD, TagColumns, address_of, number_of
from edge_runtime.sources.sample import SampleBatch

VALUES_MAX: Final = 1000  # of one node in one answer
ROUNDS_MAX: Final = 100  # answers for one set of holes: a hundred thousand values a tag
TRIES: Final = 4  # a server may write its history a little after it has sent the value
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole with the handle and the node of its tag."""

    hole: Hole
    handle: int
    node: Any  # a node id


async def recovered(
    session: Any,  # asyncua's session
    gaps: Sequence[Gap],
    columns: TagColumns,
    wait_s: float,
) -> SampleBatch:
    """The values that lie within the gaps; fewer or none where the server has none.

    Args:
        session: of the server.
        gaps: with both their ends.
        columns: how values become numbers in the tag's unit.
        wait_s: between two tries, while the history has not come to the end of a gap.
    """
    found: list[tuple[int, float, int, int]] = []
    for number in range(TRIES):
        values = await _values(session, gaps)
        found = []
        complete = True
        for gap, rows in zip(gaps, values, strict=True):
            within = [_row(gap, each, columns) for each in rows]
            hole = gap.hole
            found += [row for row in within if hole.start_ns < row[2] < hole.end_ns]
            # Times in history are in microseconds here.
            newest_ns = max((row[2] for row in within), default=hole.start_ns)
            complete &= newest_ns >= hole.end_ns - 1000
        if complete or number == TRIES - 1:
            break
        await asyncio.sleep(wait_s)
    found.sort(key=lambda row: row[2])
    return SampleBatch(
        np.array([row[0] for row in found], np.int32),
        np.array([row[1] for row in found], np.float64),
        np.array([row[2] for row in found], np.int64),
        np.array([row[3] for row in found], np.uint32),
        historical=True,
    )


async def _values(session: Any, gaps: Sequence[Gap]) -> list[list[Any]]:  # Any: as above
    """All raw values of each gap's node between the gaps' outermost ends."""
    start_ns = min(gap.hole.start_ns for gap in gaps)
    end_ns = max(gap.hole.end_ns for gap in gaps)
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = _instant(start_ns)
    details.EndTime = _instant(end_ns) + 2 * _MICROSECOND
    details.NumValuesPerNode = ua.Counter(VALUES_MAX)
    details.ReturnBounds = False
    found: list[list[Any]] = [[] for _ in gaps]
    points: dict[int, bytes | None] = dict.fromkeys(range(len(gaps)))
    for _ in range(ROUNDS_MAX):
        wanted = ua.HistoryReadParameters()
        wanted.HistoryReadDetails = details
        wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
        wanted.ReleaseContinuationPoints = False
        wanted.NodesToRead = [_node(gaps[at], point) for at, point in points.items()]
        try:
            results = await session.history_read(wanted)
        except UaError:
            break
        asked, points = list(points), {}
        for at, result in zip(asked, results, strict=False):
            data = result.HistoryData
            if not result.StatusCode.is_good() or not isinstance(data, ua.HistoryData):
                continue
            found[at] += data.DataValues or []
            if result.ContinuationPoint:
                points[at] = result.ContinuationPoint
        if not points:
            break
    return found


def _node(gap: Gap, point: bytes | None) -> Any:  # Any: as above
    wanted = ua.HistoryReadValueId()
    wanted.NodeId = gap.node
    wanted.ContinuationPoint = point
    return wanted


def _row(
    gap: Gap, value: Any, columns: TagColumns
) -> tuple[int, float, int, int]:  # Any: as above
    """Tag, value, source time and status of one data value."""
    tag = columns.tags[gap.handle]
    said = None if value.Value is None else value.Value.Value
    index, words = address_of(tag).index, tag.unit == TEXT_UNIT
    number = number_of(said, index, tag.texts, words=words)
    conversion = columns.conversion(gap.handle)
    status = 0 if value.StatusCode is None else int(value.StatusCode.value)
    if number is None or conversion is None or not math.isfinite(number):
        number, conversion, status = math.nan, (1.0, 0.0), max(status, BAD)
    factor, offset = conversion
    at = value.SourceTimestamp or value.ServerTimestamp
    time_ns = gap.hole.start_ns if at is None else _nanoseconds(at)
    return gap.hole.tag, number * factor + offset, time_ns, status


def _instant(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def _nanoseconds(at: datetime) -> int:
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000
