"""The load client's arithmetic and its reading of answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fleet_load import Answer, Latencies, percentile, read_answer, request, spread

PERCENTILES = {
    "the middle of three": ([3.0, 1.0, 2.0], 0.5, 2.0),
    "the 99th of a hundred leaves one out": ([float(n) for n in range(1, 101)], 0.99, 99.0),
    "the 99th of three is the largest": ([1.0, 2.0, 3.0], 0.99, 3.0),
    "all of them": ([1.0, 5.0], 1.0, 5.0),
    "none of them is the smallest": ([1.0, 5.0], 0.0, 1.0),
}


@pytest.mark.parametrize(("values", "share", "found"), PERCENTILES.values(), ids=PERCENTILES)
def test_percentile(values: list[float], share: float, found: float) -> None:
    """The smallest value that enough of them do not exceed."""
    assert percentile(values, share) == found


def test_percentile_of_nothing() -> None:
    """Nothing measured is not a figure."""
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.99)


def test_late_start_counts() -> None:
    """What we began late was due all the same: the wait is part of the latency."""
    taken = Latencies()
    taken.note(due_s=10.0, began_s=10.3, done_s=10.5)
    assert (taken.ms(1.0), taken.late_ms(1.0)) == (500.0, 300.0)


@given(st.integers(50, 5000))
def test_spread_is_even(count: int) -> None:
    """No tenth of the period has twice its share, and nobody is due after it."""
    due = [spread(count, 30.0, position) for position in range(count)]
    tenths = [0] * 10
    for each in due:
        tenths[int(each // 3.0)] += 1
    assert max(tenths) < 2 * count / 10


ANSWERS = {
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Answer(200, b"{}")),
    "no body": (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", Answer(304, b"")),
    "not now": (
        b"HTTP/1.1 503 x\r\nretry-after: 5\r\ncontent-length: 1\r\n\r\nx",
        Answer(503, b"x", 5.0),
    ),
}


@pytest.mark.parametrize(("raw", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_answer_in_pieces(raw: bytes, answer: Answer) -> None:
    """An answer is taken out once its last byte is there, and what follows it stays."""
    for cut in range(len(raw)):
        received = bytearray(raw[:cut])
        assert read_answer(received) is None
        assert received == raw[:cut]
    received = bytearray(raw + b"HTTP")
    assert read_answer(received) == answer
    assert received == b"HTTP"


def test_request() -> None:
    """Head and body as HTTP/1.1 wants them."""
    raw = request("POST", "/x", b"ab", "a: b\r\n")
    assert raw == b"POST /x HTTP/1.1\r\nhost: site\r\ncontent-length: 2\r\na: b\r\n\r\nab"
