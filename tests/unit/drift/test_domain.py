"""The domain: training lies inside, a wrong recipe outside, and the cause is named."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.contracts.artefact import Domain
from edge_core.contracts.errors import RefusedError
from edge_core.drift.domain import TrainedDomain, fit_domain


def training(seed: int = 0) -> NDArray[np.float32]:
    """Flow, pressure that follows it closely, and a tag of its own."""
    rng = np.random.default_rng(seed)
    flow = rng.normal(30, 2, 300)
    pressure = 0.1 * flow + rng.normal(0, 0.02, 300)
    return np.stack([flow, pressure, rng.normal(0, 1, 300)], axis=1).astype(np.float32)


TRAINED = fit_domain(training())
CASES = {
    "a typical vector": ([30.0, 3.0, 0.0], True, None),
    "a little beyond what was seen": ([36.0, 3.6, 0.0], True, None),
    "another recipe": ([76.0, 7.6, 0.0], False, 0),
    "one value far out": ([30.0, 3.0, 40.0], False, 2),
    "each value familiar, together never seen": ([35.0, 2.6, 0.0], False, None),
    "not a number": ([30.0, float("nan"), 0.0], False, 1),
    "infinite": ([float("inf"), 3.0, 0.0], False, 0),
}


@pytest.mark.parametrize(("vector", "inside", "worst"), CASES.values(), ids=CASES.keys())
def test_judge(vector: list[float], inside: bool, worst: int | None) -> None:  # noqa: FBT001 - a row of the table
    """Each row of the table is a vector and what the domain says of it."""
    verdict = TrainedDomain(TRAINED).judge(np.array(vector, np.float32))
    assert verdict.inside == inside
    assert verdict.inside == (verdict.score <= 1)
    assert worst is None or verdict.worst == worst


def test_training_lies_inside() -> None:
    """Of the training windows nearly all lie inside, and of unseen ones of the same plant too."""
    trained = TrainedDomain(TRAINED)
    assert trained.share_inside(training()) >= 0.99
    assert trained.share_inside(training(1)) >= 0.98


def test_share_inside() -> None:
    """One vector of four that lies inside is a quarter; of none it is nothing."""
    trained = TrainedDomain(TRAINED)
    inside, outside = [30.0, 3.0, 0.0], [76.0, 7.6, 0.0]
    mixed = np.array([inside, outside, outside, outside], np.float32)
    assert trained.share_inside(mixed) == 0.25
    assert trained.share_inside(mixed[:0]) == 0


def distances(z: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """sqrt(z' P z / n) of each row."""
    return np.array([np.sqrt(row @ precision @ row / len(row)) for row in z])


def test_what_is_fitted() -> None:
    """Range and margin, centre and scale of each feature; a tail under shrunk correlations."""
    domain = fit_domain(training())
    table = training().astype(np.float64)
    low, high = table.min(axis=0), table.max(axis=0)
    z = (table - table.mean(axis=0)) / table.std(axis=0)
    shrunk = 0.9 * np.corrcoef(table, rowvar=False) + 0.1 * np.eye(3)
    precision = np.asarray(np.linalg.inv(shrunk), np.float64)
    assert domain.low == pytest.approx(low - 0.5 * (high - low), rel=2e-3, abs=1e-6)
    assert domain.high == pytest.approx(high + 0.5 * (high - low), rel=2e-3, abs=1e-6)
    assert domain.centre == pytest.approx(table.mean(axis=0), rel=2e-3, abs=1e-6)
    assert domain.scale == pytest.approx(table.std(axis=0), rel=2e-3, abs=1e-6)
    for number, row in enumerate(domain.precision):
        np.testing.assert_allclose(row, precision[number, : number + 1], rtol=2e-3, atol=2e-3)
    tail = float(np.quantile(distances(z, precision), 0.995))
    assert domain.distance_max == pytest.approx(1.5 * tail, rel=2e-3)
    assert domain.windows == 300


def test_two_windows_are_enough() -> None:
    """Two windows make a domain, however narrow."""
    assert fit_domain(np.array([[1.0], [2.0]], np.float32)).windows == 2


def test_score() -> None:
    """The larger of how far out of range and how far from the centre, each 1 at its limit."""
    trained = TrainedDomain(TRAINED)
    low, high, centre = (np.array(part) for part in (TRAINED.low, TRAINED.high, TRAINED.centre))
    triangle = np.zeros((3, 3))
    for number, row in enumerate(TRAINED.precision):
        triangle[number, : number + 1] = row
    precision = triangle + np.tril(triangle, -1).T
    wider = training(2)[:100].astype(np.float64)
    wider = centre + (wider - centre) * np.linspace(0, 4, 100)[:, None]
    for vector in wider.astype(np.float32):
        out = np.abs(vector - (high + low) / 2) / ((high - low) / 2)
        z = ((vector - centre) / np.array(TRAINED.scale))[None]
        far = float(distances(z, precision)[0]) / TRAINED.distance_max
        verdict = trained.judge(vector)
        assert verdict.score == pytest.approx(max(float(out.max()), far), rel=1e-6)
        assert verdict.inside is (verdict.score <= 1)
    scores = [trained.judge(vector).score for vector in wider.astype(np.float32)]
    assert any(1 < score < 2 for score in scores)


def test_survives_json() -> None:
    """Judging by what was read back gives the same verdict."""
    read = msgspec.json.decode(msgspec.json.encode(TRAINED), type=Domain)
    vector = np.array([33, 3.1, 0.5], np.float32)
    assert TrainedDomain(read).judge(vector) == TrainedDomain(TRAINED).judge(vector)


@given(st.floats(1, 50), st.floats(1, 3))
def test_farther_is_no_more_inside(distance: float, factor: float) -> None:
    """Going on in the direction of a departure never lowers the score."""
    trained = TrainedDomain(TRAINED)
    centre = np.array(TRAINED.centre)
    step = np.array([distance, 0.0, 0.0])
    near = trained.judge((centre + step).astype(np.float32)).score
    far = trained.judge((centre + factor * step).astype(np.float32)).score
    assert far >= near - 1e-4


def test_still_feature_may_jitter() -> None:
    """A feature that never moved in training may move a little, not a lot."""
    features = training()
    features[:, 2] = 50.0
    trained = TrainedDomain(fit_domain(features))
    assert trained.judge(np.array([30, 3, 50.01], np.float32)).inside
    assert not trained.judge(np.array([30, 3, 55], np.float32)).inside


REFUSED = {
    "one window": np.ones((1, 3), np.float32),
    "a value that is no number": np.full((5, 3), np.nan, np.float32),
    "one axis only": np.ones(5, np.float32),
}


@pytest.mark.parametrize("features", REFUSED.values(), ids=REFUSED.keys())
def test_no_domain_of_these(features: NDArray[np.float32]) -> None:
    """Windows that cannot make a domain are refused."""
    with pytest.raises(RefusedError, match="two or more windows of finite features"):
        fit_domain(features)


def test_other_features_are_refused() -> None:
    """A vector of another width is refused."""
    with pytest.raises(RefusedError, match="expected 3 as in the domain"):
        TrainedDomain(TRAINED).judge(np.ones(4, np.float32))


AT_ODDS: dict[str, tuple[dict[str, object], int]] = {
    "a short scale": ({"scale": [1.0]}, 3),
    "a scale of zero": ({"scale": [1.0, 0.0, 1.0]}, 3),
    "a square of precisions": ({"precision": [[1.0] * 3] * 3}, 3),
    "nothing at all": ({key: [] for key in ("low", "high", "centre", "scale", "precision")}, 0),
}


@pytest.mark.parametrize("name", AT_ODDS)
def test_a_domain_at_odds_with_itself_is_refused(name: str) -> None:
    """A signed domain is still checked before it is used."""
    changes, size = AT_ODDS[name]
    with pytest.raises(RefusedError, match=f"domain: expected arrays for {size} features"):
        TrainedDomain(msgspec.structs.replace(TRAINED, **changes))


def test_one_feature_is_a_domain() -> None:
    """A model may look at one number only."""
    one = TrainedDomain(fit_domain(np.array([[1.0], [2.0], [3.0]], np.float32)))
    assert one.judge(np.array([2.0], np.float32)).inside
