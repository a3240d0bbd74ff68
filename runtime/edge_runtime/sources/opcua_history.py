"""Reads back from a server's history what an outage swallowed: exactly that, and no value twice.

Loads asyncua, so it is imported only where a source is already connected.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edge_core.features.words import TEXT_UNIT
from edge_runtime.sources.opcua_batch import Batch
from edge_runtime.sources.opcua_missing import Missing
from edge_runtime.sources.opcua_publish import status_name
from edge_runtime.sources.opcua_tags import BAD, TagColumns, address_of, number_of
from edge_runtime.sources.sample import SampleBatch

NODES_MAX: Final = 20  # in one request at first
VALUES_MAX: Final = 1000  # of one node in one answer
ROUNDS_MAX: Final = 1000  # answers for one set of nodes: a million values a tag
TRIES: Final = 4  # a server may write its history a little after it has sent the value
# Not of the history: the next line may be told more.
_LINE: Final = frozenset(
    {
        StatusCodes.BadTimeout,
        StatusCodes.BadRequestTimeout,
        StatusCodes.BadShutdown,
        StatusCodes.BadServerHalted,
        StatusCodes.BadConnectionClosed,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadSessionNotActivated,
    }
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_Row = tuple[int, float, int, int]  # tag, value, source time and status


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing, with the handle and the node of its tag."""

    missing: Missing
    handle: int
    node: Any  # a node id


async def recovered(
    session: Any,  # asyncua's session
    gaps: Sequence[Gap],
    columns: TagColumns,
    wait_s: float,
    refused: dict[int, str],
) -> AsyncIterator[SampleBatch]:
    """The values that lie within the gaps, page by page; fewer or none where the server has none.

    What has been read is no longer missing, so whoever is interrupted goes on from there.

    Args:
        session: of the server.
        gaps: of about the same time, since they are read from the first beginning to the last end.
        columns: how values become numbers in the tag's unit.
        wait_s: between two tries, while the history has not come to the end of a gap.
        refused: gets the handles of which the server does not give the history, with its status.

    Raises:
        UaError: the server refuses.
        OSError: it does not answer.
    """
    batch = Batch(ua, NODES_MAX)
    waiting = list(gaps)
    for number in range(TRIES):
        if number:
            await asyncio.sleep(wait_s)
        at = 0
        while at < len(waiting):
            some = waiting[at : at + batch.size]
            try:
                async for page in _pages(session, some, refused):
                    yield _taken(page, columns)
            except UaStatusCodeError as error:
                batch.lighten(error, len(some))
                continue
            except TimeoutError:
                if len(some) == 1:
                    raise
                batch.size = len(some) // 2
                continue
            at += len(some)
        waiting = [each for each in waiting if each.handle not in refused and not _ended(each)]
        if not waiting:
            return


def is_answer(error: Exception) -> bool:
    """Whether the server has answered, if only that it will not or with nonsense."""
    if isinstance(error, UaStatusCodeError):
        return error.code not in _LINE
    return not isinstance(error, OSError)


def _ended(gap: Gap) -> bool:
    # Times in history are in microseconds here.
    return gap.missing.start_ns >= gap.missing.end_ns - 1000


async def _pages(
    session: Any,
    gaps: Sequence[Gap],
    refused: dict[int, str],
) -> AsyncIterator[list[tuple[Gap, list[Any]]]]:  # Any: as above
    """Raw values of each gap's node between the gaps' outermost ends, as they come."""
    details = _details(gaps)
    points: dict[int, bytes | None] = dict.fromkeys(range(len(gaps)))
    try:
        for _ in range(ROUNDS_MAX):
            asked = [(gaps[at], _node(gaps[at], point)) for at, point in points.items()]
            results = await session.history_read(_wanted(details, [node for _, node in asked]))
            points = {
                at: result.ContinuationPoint
                for at, result in zip(points, results, strict=True)
                if result.ContinuationPoint
            }
            yield [
                (gap, _values(result, gap, refused))
                for (gap, _), result in zip(asked, results, strict=True)
            ]
            if not points:
                return
    except UaError:
        await _release(session, details, gaps, points)
        raise
    await _release(session, details, gaps, points)


def _details(gaps: Sequence[Gap]) -> ua.ReadRawModifiedDetails:
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = _instant(min(gap.missing.start_ns for gap in gaps))
    details.EndTime = _instant(max(gap.missing.end_ns for gap in gaps)) + 2 * _MICROSECOND
    details.NumValuesPerNode = ua.Counter(VALUES_MAX)
    details.ReturnBounds = False
    return details


def _wanted(details: Any, nodes: list[Any]) -> ua.HistoryReadParameters:  # Any: as above
    wanted = ua.HistoryReadParameters()
    wanted.HistoryReadDetails = details
    wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
    wanted.ReleaseContinuationPoints = False
    wanted.NodesToRead = nodes
    return wanted


async def _release(
    session: Any, details: Any, gaps: Sequence[Gap], points: dict[int, bytes | None]
) -> None:  # Any: as above
    """Tell the server that nobody will ask for the rest: it has but a few such places."""
    held = [_node(gaps[at], point) for at, point in points.items() if point]
    if held:
        wanted = _wanted(details, held)
        wanted.ReleaseContinuationPoints = True
        with suppress(OSError, UaError):  # it forgets them by itself in time
            await session.history_read(wanted)


def _values(result: Any, gap: Gap, refused: dict[int, str]) -> list[Any]:  # Any: as above
    if not result.StatusCode.is_good():
        if result.StatusCode.value == StatusCodes.BadNoContinuationPoints:
            result.StatusCode.check()
        refused[gap.handle] = status_name(result.StatusCode.value)
        return []
    data = result.HistoryData
    return list(data.DataValues or ()) if isinstance(data, ua.HistoryData) else []


def _taken(page: Sequence[tuple[Gap, list[Any]]], columns: TagColumns) -> SampleBatch:
    """What of a page is missing, in order of time; from then on it is not."""
    found: list[_Row] = []
    for gap, values in page:
        missing = gap.missing
        rows = [_row(gap, each, columns) for each in values]
        found += [row for row in rows if missing.start_ns < row[2] < missing.end_ns]
        newest_ns = max((row[2] for row in rows), default=missing.start_ns)
        missing.start_ns = max(missing.start_ns, min(newest_ns, missing.end_ns))
    found.sort(key=lambda row: row[2])
    return SampleBatch(
        np.array([row[0] for row in found], np.int32),
        np.array([row[1] for row in found], np.float64),
        np.array([row[2] for row in found], np.int64),
        np.array([row[3] for row in found], np.uint32),
        historical=True,
    )


def _node(gap: Gap, point: bytes | None) -> Any:  # Any: as above
    wanted = ua.HistoryReadValueId()
    wanted.NodeId = gap.node
    wanted.ContinuationPoint = point
    return wanted


def _row(gap: Gap, value: Any, columns: TagColumns) -> _Row:  # Any: as above
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
    time_ns = gap.missing.start_ns if at is None else _nanoseconds(at)
    return gap.missing.tag, number * factor + offset, time_ns, status


def _instant(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def _nanoseconds(at: datetime) -> int:
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000
