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
    """A vector of another width, or a domain at odds with itself, is refused."""
    with pytest.raises(RefusedError, match="expected 3 as in the domain"):
        TrainedDomain(TRAINED).judge(np.ones(4, np.float32))
    with pytest.raises(RefusedError, match="domain: expected arrays for 3 features"):
        TrainedDomain(msgspec.structs.replace(TRAINED, scale=[1.0]))
