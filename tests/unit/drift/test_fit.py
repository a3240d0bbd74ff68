"""The reference: reproducible, compact, and refused where the stretch cannot carry it."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edge_core.contracts.artefact import DriftReference
from edge_core.contracts.errors import RefusedError
from edge_core.drift.charts import STATISTICS
from edge_core.drift.fit import FitPlan, Stretch, fit, mode_tables
from edge_core.drift.wcusum import monitor
from tests.unit.drift.plants import ANY_DOMAIN, PLAN, ROLES, plant, reference, stretch


def made(one: Stretch, plan: FitPlan = PLAN) -> DriftReference:
    """Fit with the usual roles."""
    return fit(one, roles=ROLES, row_period_s=1.0, domain=ANY_DOMAIN, plan=plan)


def test_same_seed_same_bytes() -> None:
    """Fitting twice gives the same bytes, another seed another bar and the same statistics."""
    first, again = msgspec.json.encode(reference()), msgspec.json.encode(reference())
    assert first == again
    other = reference(replace(PLAN, seed=7))
    assert other.bar != reference().bar
    assert other.modes == reference().modes


def test_survives_json() -> None:
    """What is read back is what was written, and a monitor takes it."""
    written = reference(recipes=("low", "high"))
    read = msgspec.json.decode(msgspec.json.encode(written), type=DriftReference)
    assert read == written
    assert monitor(read).modes == {"high": 0, "low": 1}


def test_shapes() -> None:
    """Every array has the shape that the contract states."""
    made_of = reference(recipes=("low", "high"))
    table = (len(STATISTICS), len(ROLES))
    assert np.shape(made_of.slow) == np.shape(made_of.fast) == table
    assert np.shape(made_of.ridge) == (len(ROLES), len(ROLES))
    assert [
        len(counts) - len(edges)
        for counts, edges in zip(made_of.counts, made_of.edges, strict=True)
    ] == [1] * len(ROLES)
    for mode in made_of.modes:
        assert np.shape(mode.mean) == np.shape(mode.sd) == table
        assert mode.windows == 148  # the first two of each recipe are for settling


def test_ridge_is_a_regression() -> None:
    """A residual is the tag less its prediction from all others, so its own weight is one."""
    assert np.diag(reference().ridge) == pytest.approx(np.ones(len(ROLES)))


def test_long_memory_raises_the_bar() -> None:
    """Windows that wander slowly need more to be called drift than independent ones."""
    rng = np.random.default_rng(1)
    quick = stretch(120)
    wander = np.cumsum(rng.normal(size=120)) * 0.3
    slow = Stretch(quick.values + wander[:, None, None].astype(np.float32), quick.fit, quick.modes)
    assert made(slow).bar * np.max(made(slow).slow) > made(quick).bar * np.max(made(quick).slow)


def test_thin_is_marked() -> None:
    """A stretch too short is refused; a plan that allows it gets a reference marked thin."""
    short = stretch(12)
    assert made(short).thin
    with pytest.raises(RefusedError, match=r"recipe 'low': expected 25 settled windows, found 10"):
        made(short, replace(PLAN, thin_allowed=False))


def test_few_windows_borrow_from_the_pool() -> None:
    """A recipe with two windows gets an sd near the pooled one, never near zero."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(102, 5, 3))
    mode = np.array([0] * 100 + [1] * 2)
    table[100:] = 5.0
    _, sd = mode_tables(table, mode, 2)
    assert np.all(sd[1] > 0.5 * sd[0])


def test_mixed_unsettled_and_bad_windows_are_left_out() -> None:
    """What a gateway would not score does not make a reference."""
    one = stretch(60)
    modes: list[str | None] = list(one.modes)
    modes[20] = None
    fit_rows = one.fit.copy()
    fit_rows[40, :20] = False
    windows = made(Stretch(one.values, fit_rows, modes)).modes[0].windows
    assert windows == 60 - 2 - 1 - 2 - 1  # start, mixed, settling after it, bad


def spoiled() -> Stretch:
    """A usable row that holds no number."""
    values = plant(40)
    values[3, 4, 1] = np.nan
    return Stretch(values, np.ones(values.shape[:2], np.bool_), ["low"] * 40)


REFUSED: dict[str, tuple[Callable[[], Stretch], str]] = {
    "columns that are not the roles": (
        lambda: Stretch(plant(5)[:, :, :2], np.ones((5, 30), np.bool_), ["low"] * 5),
        "expected shape (window, 4 rows or more, 4), found (5, 30, 2)",
    ),
    "modes that do not match": (
        lambda: Stretch(plant(5), np.ones((5, 30), np.bool_), ["low"] * 4),
        "5 modes, found (5, 30) and 4",
    ),
    "a usable row without a number": (spoiled, "expected numbers in every usable row"),
    "nothing usable": (
        lambda: Stretch(plant(5), np.zeros((5, 30), np.bool_), ["low"] * 5),
        "two or more that are settled and good, found 0 of 5",
    ),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(make: Callable[[], Stretch], reason: str) -> None:
    """A stretch that cannot be fitted is refused with what was expected and found."""
    with pytest.raises(RefusedError) as refusal:
        made(make())
    assert reason in str(refusal.value)
