"""The histories of a cohort: kept in few bytes, and read as they were, by old rows as well."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.baselines import BaselineRow, row_of
from edge_site_proxy.rollout.gates.evidence import Counts, History
from tests.unit.site_proxy.plant.plant import plant

AT = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
SHIFTS = {f"shift {name}": Counts(1344, 0, 3, 12) for name in ("early", "late", "night")}
FORTNIGHT = History(days=14, recent=SHIFTS, total=SHIFTS, exposure_s=1_209_600.0, at=AT)
count = st.integers(min_value=0, max_value=10**6)
strata = st.dictionaries(
    st.sampled_from(["recipe 1", "shift early", "other"]),
    st.lists(count, min_size=7, max_size=7).map(lambda each: Counts(*each)),
)
histories = st.builds(
    History,
    days=count,
    recent=strata,
    total=strata,
    exposure_s=st.floats(min_value=0, max_value=1e9),
    overrides=count,
    restarts=count,
    at=st.just(AT),
)


@given(histories)
def test_as_it_was(history: History) -> None:
    """What is kept is read as it was."""
    baseline = {"g1": history, "g2": FORTNIGHT}
    raw = msgspec.json.encode(row_of("r", 0, baseline))
    assert msgspec.json.decode(raw, type=BaselineRow).baseline == baseline


NOUGHT = History(total={"shift early": Counts()}, at=AT)
EDGES = {
    "nobody has a history": ({}, b'{"rollout":"r","cohort":0}'),
    "one in which nothing was tried": (
        {"g1": NOUGHT},
        (
            b'{"rollout":"r","cohort":0,"at":"2026-11-22T06:00:00Z",'
            b'"kept":{"g1":[0,0.0,0,0,{"shift early":[]},{}]}}'
        ),
    ),
}


@pytest.mark.parametrize(("baseline", "raw"), EDGES.values(), ids=EDGES.keys())
def test_of_next_to_nothing(baseline: dict[str, History], raw: bytes) -> None:
    """Of nothing nothing is kept."""
    assert msgspec.json.encode(row_of("r", 0, baseline)) == raw
    assert msgspec.json.decode(raw, type=BaselineRow).baseline == baseline


def test_in_few_bytes() -> None:
    """A plant of 5,000 with a full fortnight behind it is far from a megabyte."""
    whole = msgspec.json.encode(row_of("r", 0, {f"gw-{n:04}": FORTNIGHT for n in range(5_000)}))
    assert len(whole) < 600_000
    assert b'"shift early":[1344,0,3,12],' in whole


def test_of_one_instant() -> None:
    """Histories of several instants are no baseline, and a mistake of ours."""
    with pytest.raises(ValueError, match="expected one instant, found 2"):
        row_of("r", 0, {"g1": FORTNIGHT, "g2": History()})


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was written before there was a short form."""

    rollout: str
    cohort: int
    histories: dict[str, History]


@pytest.mark.anyio
async def test_an_older_row(tmp_path: Path) -> None:
    """It is read in full after an upgrade, beside one that was written since."""
    event, old = Event("rollout.activating", "r-1"), {"g1": FORTNIGHT, "g2": History(at=AT)}
    async with plant(tmp_path) as here:
        store = here.site.store
        row = Before(rollout="r-1", cohort=0, histories=old)
        await store.change("site", [event], lambda tx: tx.put("baselines", "r-1/0", row, by=event))
        await store.change(
            "site", [event], lambda tx: tables.save_baseline(tx, "r-1", 1, old, event)
        )
        assert await store.read(tables.load_baselines) == {("r-1", 0): old, ("r-1", 1): old}
