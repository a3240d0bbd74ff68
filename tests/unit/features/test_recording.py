"""Recordings: what is read, what is refused and how, and hours that a zone has twice or never."""

import math
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.features.errors import RecordingError
from edge_core.features.recording import read_samples
from edge_core.features.samples import TIME_MAX_NS, CellQuality
from edge_core.features.words import number_of, word_of

HEADER = "tag,timestamp,value,status\n"
SECOND_NS = 1_000_000_000


class Berlin(tzinfo):
    """Central Europe in 2026, since a lean machine has no time zones on its disk."""

    def utcoffset(self, at: datetime | None) -> timedelta:
        """Two hours in summer; the hour that comes twice is summer's first."""
        assert at is not None
        local = at.replace(tzinfo=None, fold=0)
        begins = datetime(2026, 3, 29, 3)  # noqa: DTZ001 - local time is what a zone is made of
        ends = datetime(2026, 10, 25, 2)  # noqa: DTZ001 - likewise
        twice = ends <= local < ends + timedelta(hours=1)
        summer = begins <= local < ends or (twice and at.fold == 0)
        return timedelta(hours=2 if summer else 1)

    def dst(self, at: datetime | None) -> timedelta:
        """What of it is summer's."""
        return self.utcoffset(at) - timedelta(hours=1)

    def tzname(self, _at: datetime | None) -> str:
        """For people."""
        return "Europe/Berlin"


def at_ns(text: str) -> int:
    """An instant in nanoseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


def test_samples_come_in_order_of_the_file() -> None:
    """Tags are numbered as they come; each line is one sample with its own time and status."""
    found = read_samples(
        [
            HEADER,
            "flow,2026-11-22T12:00:00Z,31.5,0\n",
            "pressure,2026-11-22T13:00:00.25+01:00,2e1,uncertain\n",
            "flow,1795348801000000000,,0x808C0000\n",
            "\n",
            "flow,2026-11-22T12:00:02Z,-1,\n",
            "flow,2026-11-22T12:00:03Z,,0xFFFFFFFF\n",
        ]
    )
    assert found.roles == ("flow", "pressure")
    assert found.samples.tags.tolist() == [0, 1, 0, 0, 0]
    assert found.samples.values.tolist()[:2] == [31.5, 20.0]
    assert math.isnan(found.samples.values[2])
    assert found.samples.quality.tolist() == [
        CellQuality.GOOD,
        CellQuality.UNCERTAIN,
        CellQuality.BAD,
        CellQuality.GOOD,
        CellQuality.BAD,
    ]
    noon_ns = at_ns("2026-11-22T12:00:00Z")
    assert found.samples.times_ns.tolist() == [
        noon_ns,
        noon_ns + SECOND_NS // 4,
        1_795_348_801_000_000_000,
        noon_ns + 2 * SECOND_NS,
        noon_ns + 3 * SECOND_NS,
    ]


def test_wanted_tags_only() -> None:
    """With roles given the columns are theirs, and other tags are passed over, even bad ones."""
    lines = [HEADER, "x,never,1,0\n", "b,1,2,0\n", "a,2,3,0\n"]
    found = read_samples(lines, roles=("a", "b", "c"))
    assert found.roles == ("a", "b", "c")
    assert found.samples.tags.tolist() == [1, 0]


def test_columns_in_any_order_and_no_status() -> None:
    """The header says which column is which; a byte order mark and a missing status are fine."""
    found = read_samples(["\ufeffValue,Tag,Extra,Timestamp\n", "7,a,?,5\n"])
    assert (found.roles, found.samples.values.tolist()) == (("a",), [7.0])
    assert found.samples.tags.dtype == np.int32
    assert found.samples.times_ns.tolist() == [5]


def test_words_are_numbers() -> None:
    """The name of a recipe is a number, the same in every file and on every gateway."""
    found = read_samples([HEADER, "recipe,1,milk 3.5 %,0\n"])
    assert found.samples.values[0] == number_of("milk 3.5 %")
    assert word_of(float(found.samples.values[0])) == "milk 3.5 %"
    assert word_of(31.0) == "31"
    assert math.isnan(number_of("  "))


REFUSED = {
    "nothing at all": ([], "line 1: expected columns tag, timestamp, value and status"),
    "no value column": (["tag,timestamp\n"], "found no value in 'tag, timestamp'"),
    "a line that was cut": ([HEADER, "a,1,2,0\n", "a,1\n"], "line 3: expected 4 fields, found 2"),
    "a time without an offset": (
        [HEADER, "a,2026-11-22 12:00:00,1,0\n"],
        "line 2: tag 'a': timestamp: expected an offset",
    ),
    "no time": ([HEADER, "a,noon,1,0\n"], "expected ISO 8601 or nanoseconds since 1970, found"),
    "a time of fifty digits": ([HEADER, f"a,{'9' * 50},1,0\n"], "timestamp: expected ISO 8601"),
    "a time of twenty digits": ([HEADER, f"a,{'9' * 20},1,0\n"], "timestamp: expected ISO 8601"),
    "a status that is a word": ([HEADER, "a,1,1,fine\n"], "status: expected a code, good"),
    "a status below zero": ([HEADER, "a,1,1,-1\n"], "status: expected a code"),
    "a status of five bytes": ([HEADER, "a,1,1,0x100000000\n"], "found '0x100000000'"),
    "a field without an end": ([HEADER, '"' + "a" * 200_000 + "\n"], "line 2: expected CSV"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Each row is a file that is refused in one line that says where and why."""
    lines, words = REFUSED[name]
    with pytest.raises(RecordingError) as refusal:
        read_samples(lines)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def local(*times: str) -> list[int]:
    """Local times of one tag in Berlin, as nanoseconds since 1970."""
    lines = [HEADER, *(f"a,{at},1,0\n" for at in times)]
    return [int(at) for at in read_samples(lines, zone=Berlin()).samples.times_ns]


def test_the_hour_that_comes_twice() -> None:
    """In autumn the clock steps back; the times of the file go on, five minutes at a time."""
    summer = [f"2026-10-25 02:{minute:02}" for minute in range(0, 60, 5)]
    times = local("2026-10-25 01:55", *summer, *summer, "2026-10-25 03:00")
    start_ns = at_ns("2026-10-24T23:55:00Z")
    assert times == [start_ns + 300 * SECOND_NS * step for step in range(26)]


def test_the_hour_that_never_comes() -> None:
    """In spring an hour is missing and nothing of it is made up."""
    times = local("2026-03-29 01:59", "2026-03-29 03:00")
    assert times[1] - times[0] == 60 * SECOND_NS


def test_a_late_line_is_no_second_hour() -> None:
    """A line out of order, outside of the hour that comes twice, keeps its time."""
    times = local("2026-10-25 12:00", "2026-10-25 11:59", "2026-10-25 12:01")
    assert [at - times[0] for at in times] == [0, -60 * SECOND_NS, 60 * SECOND_NS]


def test_lines_of_one_time_are_of_one_hour() -> None:
    """A time that is there twice is the same instant twice, in either hour."""
    times = local(*(f"2026-10-25 02:{minute}" for minute in (30, 30, 10, 10)))
    start_ns = at_ns("2026-10-25T00:00:00Z")
    assert [(at - start_ns) // (60 * SECOND_NS) for at in times] == [30, 30, 70, 70]


def test_each_tag_has_its_own_autumn() -> None:
    """That one tag is in its second hour says nothing of another that is in its first."""
    lines = [HEADER, "a,2026-10-25 02:30,1,0\n", "a,2026-10-25 02:10,1,0\n"]
    found = read_samples([*lines, "b,2026-10-25 02:20,1,0\n"], zone=Berlin()).samples.times_ns
    start_ns = at_ns("2026-10-25T00:00:00Z")
    minutes = [(int(at) - start_ns) // (60 * SECOND_NS) for at in found]
    assert minutes == [30, 70, 20]


EPOCHS = {
    "-1000000000": -SECOND_NS,
    "1970-01-01T00:00:00Z": 0,
    "1969-12-31T23:59:59Z": -SECOND_NS,
    "1601-01-01T00:00:00Z": -TIME_MAX_NS,
    "9999-12-31T23:59:59Z": TIME_MAX_NS,
}


@pytest.mark.parametrize("text", EPOCHS)
def test_times_of_devices_without_a_clock(text: str) -> None:
    """A device that boots in 1970, or has no time at all, gives a time we can compute with."""
    [found] = read_samples([HEADER, f"a,{text},1,0\n"]).samples.times_ns.tolist()
    assert found == EPOCHS[text]


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a file holds, it is read or refused; nothing else is raised."""
    with suppress(RecordingError):
        read_samples([HEADER, *text.splitlines(keepends=True)])
