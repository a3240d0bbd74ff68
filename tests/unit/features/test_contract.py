"""The contract: which gateway may run which model, and what its units become."""

import msgspec
import numpy as np
import pytest

from edge_core.contracts.artefact import Dtype, ModelSignature, Statistic, TensorSpec
from edge_core.contracts.errors import RefusedError
from edge_core.features.contract import check_signature, conversion, fit_check, linear
from tests.unit.features.strategies import signature

MEAN, SD = Statistic.MEAN, Statistic.SD
PUMP = signature([("flow", "l/min", MEAN), ("pressure", "kPa", SD), ("pressure", "kPa", MEAN)])


def taking(dtype: Dtype = Dtype.FLOAT32, name: str = "x") -> TensorSpec:
    """An input for the three features of the pump."""
    return TensorSpec(name=name, dtype=dtype, shape=[1, 3])


REFUSED = {
    "a role no tag plays": (
        PUMP,
        {"flow": "l/min"},
        "feature 1 (pressure.sd): expected a tag with role 'pressure', found roles flow",
    ),
    "a unit of another quantity": (
        PUMP,
        {"flow": "bar", "pressure": "kPa"},
        "feature 0 (flow.mean): expected unit 'l/min' or one convertible to it, found 'bar'",
    ),
    "a unit nobody knows": (
        PUMP,
        {"flow": "l/min", "pressure": "cubits"},
        "feature 1 (pressure.sd): expected unit 'kPa' or one convertible to it, found 'cubits'",
    ),
    "no tags at all": (
        PUMP,
        {},
        "feature 0 (flow.mean): expected a tag with role 'flow', found roles none",
    ),
    "a recipe tag that is not there": (
        msgspec.structs.replace(PUMP, regime_role="recipe"),
        {"flow": "l/min", "pressure": "kPa"},
        "regime: expected a tag with role 'recipe', found none",
    ),
    "one role in two units": (
        signature([("flow", "l/min", MEAN), ("flow", "m3/h", SD)]),
        {"flow": "l/min"},
        "feature 1 (flow.sd): expected unit 'l/min' as for the same role before, found 'm3/h'",
    ),
    "an input of another width": (
        signature([("flow", "l/min", MEAN)], columns=9),
        {"flow": "l/min"},
        "input 'x': expected 1 columns, one a feature, found 9",
    ),
    "an input of another type than features have": (
        msgspec.structs.replace(PUMP, inputs=[taking(Dtype.FLOAT64)]),
        {"flow": "l/min", "pressure": "kPa"},
        "inputs: expected one of float32, the features, found 'x' of float64",
    ),
    "an input that no gateway could fill": (
        msgspec.structs.replace(PUMP, inputs=[taking(), taking(name="y")]),
        {"flow": "l/min", "pressure": "kPa"},
        "inputs: expected one of float32, the features, found 'x' of float32, 'y' of float32",
    ),
    "a normal class that is no class": (
        msgspec.structs.replace(PUMP, normal_class="fine"),
        {"flow": "l/min", "pressure": "kPa"},
        "normal class: expected one of normal, fault, found 'fine'",
    ),
}


@pytest.mark.parametrize(("asked", "tags", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(asked: ModelSignature, tags: dict[str, str], reason: str) -> None:
    """A model that does not fit is refused with the first feature that does not."""
    with pytest.raises(RefusedError) as refusal:
        fit_check(asked, tags)
    assert str(refusal.value) == reason


def test_gap_longer_than_a_window_is_refused() -> None:
    """A gap as long as the window would allow scoring nothing at all."""
    windowing = msgspec.structs.replace(PUMP.windowing, gap_rows_max=10)
    with pytest.raises(RefusedError, match="shorter than the 10 rows"):
        check_signature(msgspec.structs.replace(PUMP, windowing=windowing))


CONVERSIONS = {
    "the same unit": (3.5, "bar", "bar", 3.5),
    "an unknown unit to itself": (3.5, "cubits", "cubits", 3.5),
    "litres a minute to cubic metres an hour": (100.0, "l/min", "m3/h", 6.0),
    "back again": (6.0, "m3/h", "l/min", 100.0),
    "another spelling": (100.0, "L/min", "m3/h", 6.0),
    "to another spelling": (2.0, "l/min", "L/h", 120.0),
    "kelvin to Fahrenheit": (373.15, "K", "degF", 212.0),
    "Celsius to kelvin": (20.0, "degC", "K", 293.15),
    "Fahrenheit to Celsius": (212.0, "degF", "degC", 100.0),
    "bar to kilopascal": (2.5, "bar", "kPa", 250.0),
    "standard gravity": (2.0, "g", "m/s2", 19.6133),
}


@pytest.mark.parametrize(
    ("value", "have", "want", "becomes"), CONVERSIONS.values(), ids=CONVERSIONS.keys()
)
def test_linear(value: float, have: str, want: str, becomes: float) -> None:
    """Each row of the table is a conversion with a known result."""
    found = linear(have, want)
    assert found is not None
    assert found[0] * value + found[1] == pytest.approx(becomes, rel=1e-12)


def test_conversion_applies_by_column() -> None:
    """Rows come out in the model's units, columns in the order of its roles."""
    ready = conversion(PUMP, {"pressure": "bar", "flow": "l/min", "spare": "V"})
    assert ready.changes
    converted = ready.apply(np.array([[60.0, 2.0]], np.float32))
    assert converted.tolist() == [[60.0, 200.0]]
    assert converted.dtype == np.float32


def test_an_offset_is_added() -> None:
    """Units that differ in where they start are shifted as well as scaled."""
    asked = signature([("oil", "degC", MEAN), ("flow", "l/min", MEAN)])
    ready = conversion(asked, {"oil": "K", "flow": "l/min"})
    np.testing.assert_allclose(
        ready.apply(np.array([[293.15, 7.0]], np.float32)), [[20.0, 7.0]], rtol=1e-5
    )


def test_features_are_the_last_axis_of_an_input() -> None:
    """A model may take a batch of sequences: what counts is how wide the last axis is."""
    made = signature([("flow", "l/min", MEAN), ("pressure", "bar", MEAN)])
    sequence = msgspec.structs.replace(made.inputs[0], shape=[1, 1, 2])
    check_signature(msgspec.structs.replace(made, inputs=[sequence]))


def test_nothing_to_convert() -> None:
    """Where all units fit, rows pass through untouched."""
    ready = conversion(PUMP, {"pressure": "kPa", "flow": "l/min"})
    row = np.array([[0.1, 0.2]], np.float32)
    assert not ready.changes
    assert ready.apply(row) is row
