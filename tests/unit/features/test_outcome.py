"""What a model's output says: a label for every kind of model, and an error for what is none."""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.artefact import Dtype, Feature, ModelSignature, Statistic, TensorSpec
from edge_core.contracts.outcome import Anomaly, Classification, Outcome, Regression, Segmentation
from edge_core.features.errors import ContractError, OutputError
from edge_core.features.outcome import check_outcome, read_output
from tests.unit.features.strategies import windowing

HOURS = Regression(quantity="remaining-life", unit="h", bounds=[100.0, 500.0])
CLASSES = ["spent", "worn", "normal"]


def signature(
    outcome: Outcome,
    shape: list[int],
    classes: list[str],
    dtype: Dtype = Dtype.FLOAT32,
    normal: str = "normal",
) -> ModelSignature:
    """A model whose one output has *shape*."""
    return ModelSignature(
        inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 1])],
        outputs=[TensorSpec(name="y", dtype=dtype, shape=shape)],
        features=[Feature(role="flow", unit="l/min", statistic=Statistic.MEAN)],
        windowing=windowing(),
        classes=classes,
        normal_class=normal,
        safe_output=normal,
        outcome=outcome,
    )


@dataclass(frozen=True)
class Case:
    """One output and what it says."""

    outcome: Outcome
    shape: list[int]
    classes: list[str]
    given: list[float]
    label: str
    margin: float
    value: float | None = None
    confidence: float | None = None
    normal: str = "normal"


TWO = ["normal", "leak"]
THREE = ["normal", "leak", "cavitation"]
DEPTH = Regression(quantity="wear-depth", unit="mm", bounds=[-8.0])
FILL = Regression(quantity="fill", unit="%", bounds=[0.0, 10.0, 40.0])
READ = {
    "the class of the highest score": Case(
        Classification(), [1, 2], TWO, [0.25, 0.75], "leak", 0.5, confidence=0.75
    ),
    "only the first row of a batch counts": Case(
        Classification(), [2, 2], TWO, [0.75, 0.25, 0.0, 1.0], "normal", 0.5, confidence=0.75
    ),
    "logits are scores too, and no share": Case(
        Classification(), [1, 2], TWO, [-3.0, 4.0], "leak", 7.0, confidence=1.0
    ),
    "the second best is what the margin is to": Case(
        Classification(),
        [1, 3],
        THREE,
        [0.125, 0.25, 0.625],
        "cavitation",
        0.375,
        confidence=0.625,
    ),
    "no score reaches nought": Case(
        Classification(), [1, 2], TWO, [-3.0, -4.0], "normal", 1.0, confidence=0.0
    ),
    "a quantity below the first bound": Case(
        HOURS, [1, 1], CLASSES, [40.0], "spent", 0.15, value=40.0
    ),
    "a quantity on a bound belongs below it": Case(
        HOURS, [1, 1], CLASSES, [500.0], "worn", 0.0, value=500.0
    ),
    "a quantity above the last bound": Case(
        HOURS, [1], CLASSES, [900.0], "normal", 1.0, value=900.0
    ),
    "a quantity between bounds that are not alike: by their mean distance": Case(
        FILL, [1, 1], [*THREE, "spill"], [38.0], "cavitation", 0.1, value=38.0
    ),
    "a quantity nearer to the lower bound": Case(
        FILL, [1, 1], [*THREE, "spill"], [12.0], "cavitation", 0.1, value=12.0
    ),
    "a quantity with one bound: by the bound itself": Case(
        DEPTH, [1, 1], TWO, [-6.0], "leak", 0.25, value=-6.0
    ),
    "at the threshold it is normal": Case(
        Anomaly(threshold=2.0), [1, 1], TWO, [2.0], "normal", 0.0
    ),
    "above the threshold it is strange": Case(
        Anomaly(threshold=2.0), [1, 1], TWO, [3.0], "leak", 0.5
    ),
    "above a threshold below nought": Case(
        Anomaly(threshold=-2.0), [1, 1], TWO, [-1.5], "leak", 0.25
    ),
    "a small threshold": Case(Anomaly(threshold=0.5), [1, 1], TWO, [0.75], "leak", 0.5),
    "at a threshold of nought nothing is near": Case(
        Anomaly(threshold=0.0), [1, 1], TWO, [-1.0], "normal", math.inf
    ),
    "what is not normal is strange, wherever it stands": Case(
        Anomaly(threshold=2.0), [1, 1], ["leak", "normal"], [3.0], "leak", 0.5
    ),
    "a flaw that covers enough": Case(
        Segmentation(share_min=0.25), [1, 2, 2, 2], TWO, [1, 1, 0, 1, 0, 0, 1, 0], "leak", 0.0
    ),
    "a flaw that covers too little": Case(
        Segmentation(share_min=0.5), [1, 2, 2, 2], TWO, [1, 1, 0, 1, 0, 0, 1, 0], "normal", 0.5
    ),
    "of two flaws the larger one, beside more that is normal": Case(
        Segmentation(share_min=0.125),
        [1, 3, 8],
        ["leak", "normal", "cavitation"],
        [*([1, 0, 0, 0, 0, 0, 0, 0]), *([0, 1, 1, 1, 1, 1, 0, 0]), *([0, 0, 0, 0, 0, 0, 1, 1])],
        "cavitation",
        1.0,
    ),
    "a flaw that is nowhere": Case(
        Segmentation(share_min=0.25), [1, 2, 4], TWO, [1, 1, 1, 1, 0, 0, 0, 0], "normal", 1.0
    ),
    "nothing is normal": Case(
        Segmentation(share_min=0.5),
        [1, 2, 4],
        ["leak", "none"],
        [1, 1, 1, 1, 0, 0, 0, 0],
        "leak",
        1.0,
        normal="none",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_read(name: str) -> None:
    """Each row is an output and the label, margin and quantity that it stands for."""
    case = READ[name]
    made = signature(case.outcome, case.shape, case.classes, normal=case.normal)
    check_outcome(made)
    reading = read_output(made, np.array(case.given, np.float32).reshape(case.shape))
    assert reading.label == case.label
    assert reading.margin == pytest.approx(case.margin)
    assert (reading.value, reading.confidence) == (case.value, case.confidence)


SCORES: dict[str, tuple[Outcome, list[int], list[float], tuple[float, ...]]] = {
    "a classification: as the model gave them": (
        Classification(),
        [1, 2],
        [-3.0, 4.0],
        (-3.0, 4.0),
    ),
    "a regression: the quantity": (DEPTH, [1, 1], [-6.0], (-6.0,)),
    "an anomaly: the score": (Anomaly(threshold=0.5), [1], [0.25], (0.25,)),
    "a segmentation: the share of each class": (
        Segmentation(share_min=0.1),
        [1, 2, 4],
        [1, 1, 0, 1, 0, 0, 1, 0],
        (0.75, 0.25),
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores(name: str) -> None:
    """Each row is an output and the scores that are told of it."""
    outcome, shape, given, expected = SCORES[name]
    output = np.array(given, np.float32).reshape(shape)
    assert read_output(signature(outcome, shape, TWO), output).scores == expected


def test_codes_are_numbers() -> None:
    """Whole numbers are read like others."""
    made = signature(Anomaly(threshold=1.5), [1, 1], TWO, Dtype.INT64)
    assert read_output(made, np.array([[2]], np.int64)).label == "leak"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", READ)
def test_no_number_is_no_label(name: str, bad: float) -> None:
    """Whatever kind of model: what is not a number says nothing."""
    case = READ[name]
    output = np.array(case.given, np.float32).reshape(case.shape)
    output.flat[0] = bad
    with pytest.raises(OutputError, match="output y: expected numbers, found NaN or infinity"):
        read_output(signature(case.outcome, case.shape, case.classes), output)


@given(st.lists(st.integers(0, 4), max_size=4).filter(lambda shape: shape != [1, 2]))
def test_another_shape_is_no_label(shape: list[int]) -> None:
    """Any other shape than the signature's is an error, never broadcast into a label."""
    with pytest.raises(OutputError, match=r"output y: expected \[1, 2\], found"):
        read_output(signature(Classification(), [1, 2], TWO), np.ones(shape, np.float32))


REFUSED: dict[str, tuple[ModelSignature, str]] = {
    "a score too many": (
        signature(Classification(), [1, 3], TWO),
        r"expected \[batch, 2\], one score a class, found \[1, 3\]",
    ),
    "no batch": (signature(Classification(), [], TWO), "expected a first dimension, the batch"),
    "two quantities": (signature(HOURS, [1, 2], CLASSES), r"expected \[batch, 1\], the quantity"),
    "a bound too few": (
        signature(msgspec.structs.replace(HOURS, bounds=[1.0]), [1, 1], CLASSES),
        "expected 2 ascending bounds for 3 classes",
    ),
    "bounds that fall": (
        signature(msgspec.structs.replace(HOURS, bounds=[5.0, 1.0]), [1, 1], CLASSES),
        r"found \[5.0, 1.0\]",
    ),
    "two bounds alike": (
        signature(msgspec.structs.replace(HOURS, bounds=[5.0, 5.0]), [1, 1], CLASSES),
        "expected 2 ascending bounds",
    ),
    "a bound too many": (
        signature(msgspec.structs.replace(HOURS, bounds=[1.0, 2.0, 3.0]), [1, 1], CLASSES),
        "expected 2 ascending bounds for 3 classes",
    ),
    "a bound without end": (
        signature(msgspec.structs.replace(HOURS, bounds=[1.0, math.inf]), [1, 1], CLASSES),
        r"found \[1.0, inf\]",
    ),
    "a third kind of strange": (
        signature(Anomaly(threshold=1.0), [1, 1], CLASSES),
        "anomaly: expected two classes, found 3",
    ),
    "two scores of an anomaly": (
        signature(Anomaly(threshold=1.0), [1, 2], TWO),
        r"expected \[batch, 1\], the score",
    ),
    "a segmentation of one class too many": (
        signature(Segmentation(share_min=0.1), [1, 3, 2], TWO),
        r"found \[1, 3, 2\]",
    ),
    "a segmentation without places": (
        signature(Segmentation(share_min=0.1), [1, 2], TWO),
        "one score a class and place",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """A signature whose output cannot be read as it says is refused before anything is loaded."""
    made, says = REFUSED[name]
    with pytest.raises(ContractError, match=says):
        check_outcome(made)


def test_older_signatures_are_classifications() -> None:
    """A document that says nothing of its outcome is a classification, and is written so again."""
    fields = msgspec.json.decode(msgspec.json.encode(signature(HOURS, [1, 2], TWO)))
    del fields["outcome"]
    made = msgspec.json.decode(msgspec.json.encode(fields), type=ModelSignature)
    assert made.outcome == Classification()
    assert b"outcome" not in msgspec.json.encode(made)
