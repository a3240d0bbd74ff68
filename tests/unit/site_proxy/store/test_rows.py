"""Rows of state: written with their event, carried by it, and the fold of all events."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.export import check_state
from edge_site_proxy.store import Store, Tx, UnauditedChangeError
from edge_site_proxy.store.rows import every, find, fold, load

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
Step = Callable[[Tx], None]
MADE = Event("pump.made", "p1")
MOVED = Event("pump.moved", "p1")


def opened(path: Path) -> Store:
    """A store without tables of its own."""
    return Store.open(
        path,
        migrations=[],
        observable=[],
        now=lambda: NOW,
        clock=lambda: ClockQuality(synchronised=True, error_max_us=0),
    )


@pytest.fixture(name="path")
def database(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "site.db"


def made(tx: Tx) -> None:
    """A new pump."""
    tx.put("pumps", "p1", {"speed": 1, "on": True}, by=MADE)


def moved(tx: Tx) -> None:
    """The same pump, faster."""
    tx.put("pumps", "p1", {"speed": 2, "on": True}, by=MOVED)


def gone(tx: Tx) -> None:
    """No pump any more."""
    tx.drop("pumps", "p1", by=MOVED)


def twice(tx: Tx) -> None:
    """Two changes by one event."""
    made(tx)
    tx.put("pumps", "p1", {"speed": 1, "on": False}, by=MADE)


def renewed(tx: Tx) -> None:
    """Away and back by one event."""
    tx.drop("pumps", "p1", by=MADE)
    made(tx)


def backwards(tx: Tx) -> None:
    """The later event first."""
    moved(tx)
    made(tx)


def poorer(tx: Tx) -> None:
    """The same pump without one of its fields."""
    tx.put("pumps", "p1", {"speed": 1}, by=MADE)


WHOLE = {"pumps/p1": {"speed": 1, "on": True}}
CARRIED = {
    "a new row is carried whole": ([made], [WHOLE, {}]),
    "of a known row only what changed is carried": (
        [made, moved],
        [{}, {"pumps/p1": {"speed": 2}}],
    ),
    "a row that did not change is not carried": ([made, made], [{}, {}]),
    "a row that went is carried as null": ([made, gone], [{}, {"pumps/p1": None}]),
    "two changes by one event are carried as one": (
        [twice],
        [{"pumps/p1": {"speed": 1, "on": False}}, {}],
    ),
    "a row that went and came is carried whole": ([made, renewed], [WHOLE, {}]),
}


@pytest.mark.parametrize(("steps", "expected"), CARRIED.values(), ids=CARRIED)
def test_carried(path: Path, steps: list[Step], expected: list[dict[str, object]]) -> None:
    """What the events of the last transaction carry, the first of which is MADE."""
    seen: list[dict[str, object]] = []

    async def play() -> None:
        async with opened(path) as store:
            for step in steps:

                def mutate(tx: Tx, step: Step = step) -> None:
                    step(tx)
                    seen[:] = [dict(tx.carried.get(place, {})) for place in range(2)]

                await store.change("ana", [MADE, MOVED], mutate)

    asyncio.run(play())
    assert seen == expected


class Named(msgspec.Struct):
    """A row whose type bounds it."""

    name: Annotated[str, msgspec.Meta(max_length=3)]


def endless(tx: Tx) -> None:
    """A row that its own type would not read again."""
    tx.put("pumps", "p2", Named("pump"), by=MADE)


REFUSED = {
    "a row that breaks the bounds of its type": ([MADE], endless, "length <= 3"),
    "a row by an event of another transaction": ([MOVED], made, "row pumps/p1: expected the new"),
    "a row by an event before one that carried it": ([MADE, MOVED], backwards, "newest event"),
    "a row that loses a field": ([MADE], poorer, "pumps/p1.*'on'"),
}


@pytest.mark.parametrize(("events", "step", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(path: Path, events: list[Event], step: Step, said: str) -> None:
    """Nothing is kept of what the log could not say."""

    async def play() -> None:
        async with opened(path) as store:
            await store.change("ana", [MADE], made)
            before = await store.read(every)
            with pytest.raises((UnauditedChangeError, ValueError), match=said):
                await store.change("ana", events, step)
            assert await store.read(every) == before

    asyncio.run(play())


def test_read_back(path: Path) -> None:
    """Rows are read by kind, in order of arrival."""

    def many(tx: Tx) -> None:
        for key in ("p9", "p1"):
            tx.put("pumps", key, {"speed": 1}, by=MADE)
        tx.put("valves", "v1", {"open": True}, by=MADE)

    async def play() -> None:
        async with opened(path) as store:
            await store.change("ana", [MADE], many)
            pumps = await store.read(lambda db: load(db, "pumps", dict[str, int]))
            assert list(pumps.items()) == [("p9", {"speed": 1}), ("p1", {"speed": 1})]
            assert await store.read(lambda db: find(db, "pumps", "p2", dict[str, int])) is None
            found = await store.read(lambda db: find(db, "valves", "v1", dict[str, bool]))
            assert found == {"open": True}

    asyncio.run(play())


PAST_THE_LOG = {
    "another value": ('UPDATE state SET doc = \'{"speed": 9, "on": true}\'', "another"),
    "a row taken away": ("DELETE FROM state", "none"),
    "a row of nobody's": ("INSERT INTO state VALUES ('a', 'b', '{}')", "row a/b.*another"),
}


@pytest.mark.parametrize(("statement", "said"), PAST_THE_LOG.values(), ids=PAST_THE_LOG)
def test_written_past_the_log(path: Path, statement: str, said: str) -> None:
    """A row that differs from what the log says of it is named."""

    def tampered(db: Database) -> None:
        db.execute("BEGIN")
        try:
            db.execute(statement)
            with pytest.raises(LogBrokenError, match=said):
                check_state(db)
        finally:
            db.execute("ROLLBACK")

    async def play() -> None:
        async with opened(path) as store:
            await store.change("ana", [MADE], made)
            await store.read(check_state)
            await store.read(tampered)

    asyncio.run(play())


KEYS = st.sampled_from(["a", "b"])
FIELDS = st.fixed_dictionaries({"n": st.integers(0, 3), "t": st.none() | st.text(max_size=2)})
CHANGES = st.lists(st.tuples(KEYS, st.none() | FIELDS), max_size=6)


@given(st.lists(CHANGES, max_size=6))
@settings(max_examples=40)
def test_fold(
    tmp_path_factory: pytest.TempPathFactory,
    transactions: list[list[tuple[str, dict[str, object] | None]]],
) -> None:
    """The state is the fold of the log."""

    async def play() -> None:
        async with opened(tmp_path_factory.mktemp("rows") / "site.db") as store:
            for changes in transactions:
                await store.change("ana", *changed(changes))
            leaves = await store.read(lambda db: audit_log.leaves_after(db, -1, 1000))
            assert fold(map(audit_log.parse, leaves)) == await store.read(every)

    asyncio.run(play())


def changed(changes: list[tuple[str, dict[str, object] | None]]) -> tuple[list[Event], Step]:
    """Events and a step that make *changes*, one event each."""
    events = [Event("row.changed", key) for key, _ in changes]

    def step(tx: Tx) -> None:
        for (key, fields), event in zip(changes, events, strict=True):
            if fields is None:
                tx.drop("rows", key, by=event)
            else:
                tx.put("rows", key, fields, by=event)

    return events, step
