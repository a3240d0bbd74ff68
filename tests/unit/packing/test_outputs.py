"""When two forms of a model say the same, and what a model says of all windows together."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_core.contracts.outcome import Anomaly, Classification, Outcome, Regression, Segmentation
from edge_packaging.errors import NotReproducedError
from edge_packaging.outputs import (
    TOLERANCE_LEAST,
    TOLERANCE_SHARE,
    agreement,
    readings,
    said,
    tolerance,
)
from tests.unit.packing.kinds import numbers, of_tags

HOURS = Regression(quantity="remaining-life", unit="h", bounds=[100.0, 500.0])
BANDS = ["spent", "worn", "normal"]
STRANGE = Anomaly(threshold=2.0)
TWO = ["normal", "leak"]
MASK = Segmentation(share_min=0.5)


@dataclass(frozen=True)
class Pair:
    """What a source gave, what a target gave, and how much of it is the same."""

    outcome: Outcome
    shape: list[int]
    classes: list[str]
    source: list[list[float]]
    target: list[list[float]]
    same: float


PAIRS = {
    "the same class with other scores is the same": Pair(
        Classification(), [1, 2], TWO, [[0.6, 0.4]], [[0.9, 0.1]], 1.0
    ),
    "another class of two windows is half": Pair(
        Classification(), [1, 2], TWO, [[0.6, 0.4], [0.6, 0.4]], [[0.6, 0.4], [0.4, 0.6]], 0.5
    ),
    "a number as close as float32 allows is the same, across a bound too": Pair(
        HOURS, [1, 1], BANDS, [[1000.0], [100.0]], [[1000.009], [100.009]], 1.0
    ),
    "a number further away is another, in the same band too": Pair(
        HOURS, [1, 1], BANDS, [[1000.0], [900.0]], [[1000.0], [900.02]], 0.5
    ),
    "at the very tolerance it is the same": Pair(
        HOURS, [1, 1], BANDS, [[390625.0]], [[390628.90625]], 1.0
    ),
    "below as above": Pair(HOURS, [1, 1], BANDS, [[1000.0]], [[999.9]], 0.0),
    "a score within the least tolerance is the same": Pair(
        STRANGE, [1, 1], TWO, [[0.5]], [[0.50009]], 1.0
    ),
    "a score beyond it is another": Pair(STRANGE, [1, 1], TWO, [[0.5]], [[0.5002]], 0.0),
    "a mask is compared by its places": Pair(
        MASK,
        [1, 2, 2, 2],
        TWO,
        [[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]],
        [[1.0, 1.0, 1.0, 0.4, 0.0, 0.0, 0.0, 0.5]],
        0.75,
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_agreement(pair: Pair) -> None:
    """What counts as the same is what the contract says that an output means."""
    signature = of_tags(pair.outcome, numbers("y", pair.shape), pair.classes)
    source, target = np.array(pair.source, np.float32), np.array(pair.target, np.float32)
    assert agreement(signature, source, target) == pair.same


@dataclass(frozen=True)
class Told:
    """Outputs of some windows, and what they come to."""

    outcome: Outcome
    classes: list[str]
    outputs: list[list[float]]
    shares: dict[str, float]
    quantiles: tuple[float, ...] | None


TOLD = {
    "scores come to a share of windows for each class, none as well": Told(
        Classification(),
        BANDS,
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.2, 0.9]],
        {"spent": 0.0, "worn": 0.25, "normal": 0.75},
        None,
    ),
    "quantities come to bands, and to where most of them lie": Told(
        HOURS,
        BANDS,
        [[each] for each in range(0, 1010, 10)],
        {"spent": 11 / 101, "worn": 40 / 101, "normal": 50 / 101},
        (50.0, 500.0, 950.0),
    ),
    "scores of an anomaly as well": Told(
        STRANGE, TWO, [[1.0], [3.0]], {"normal": 0.5, "leak": 0.5}, (1.1, 2.0, 2.9)
    ),
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD.keys())
def test_said(told: Told) -> None:
    """All windows in a few numbers, classes in the order of the contract."""
    signature = of_tags(told.outcome, numbers("y", [1, len(told.outputs[0])]), told.classes)
    found = said(signature, readings(signature, np.array(told.outputs, np.float32)))
    assert list(found.shares.items()) == list(told.shares.items())
    if told.quantiles is None:
        assert found.quantiles is None
    else:
        assert found.quantiles == pytest.approx(told.quantiles)


def test_a_batch_is_read_by_its_first_row() -> None:
    """The values of a window are those of one row, whatever batch the model was built for."""
    signature = of_tags(Classification(), numbers("y", [4, 2]), TWO)
    (reading,) = readings(signature, np.array([[0.25, 0.75]], np.float32))
    assert (reading.label, reading.scores) == ("leak", (0.25, 0.75))


def test_what_is_no_number_is_named_with_its_window() -> None:
    """A model that gives NaN for one window of many is not released."""
    signature = of_tags(HOURS, numbers("y", [1, 1]), BANDS)
    outputs = np.array([[1.0], [np.nan]], np.float32)
    with pytest.raises(NotReproducedError) as refused:
        readings(signature, outputs)
    assert str(refused.value) == "window 1: output y: expected numbers, found NaN or infinity"


finite = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.just(3)),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(finite)
def test_whatever_a_model_gives_agrees_with_itself(outputs: np.ndarray) -> None:
    """The same outputs are wholly the same, of whatever kind."""
    for outcome, classes, shape in (
        (Classification(), BANDS, [1, 3]),
        (HOURS, BANDS, [1, 1]),
        (MASK, BANDS, [1, 3, 1]),
    ):
        signature = of_tags(outcome, numbers("y", shape), classes)
        taken = outputs if shape[1] == 3 else outputs[:, :1]
        assert agreement(signature, taken, taken) == 1.0


@given(finite)
def test_tolerance_follows_the_largest(outputs: np.ndarray) -> None:
    """Seven digits of the largest output less two, and never less than scores are given."""
    largest = max(abs(float(each)) for each in outputs.ravel())
    assert tolerance(outputs) == pytest.approx(max(TOLERANCE_LEAST, TOLERANCE_SHARE * largest))


def test_tolerances_are_what_they_are() -> None:
    """The two numbers that a release's smoke vectors are held to."""
    assert tolerance(np.array([[0.5]], np.float32)) == 1e-4
    assert tolerance(np.array([[-2000.0, 1.0]], np.float32)) == pytest.approx(0.02)
