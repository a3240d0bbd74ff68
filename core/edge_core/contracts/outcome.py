"""What the first output of a model means: a class, a number, a strangeness, or a class a place."""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.label import Label


class Classification(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="classification",
):
    """One score a class, in the order of the classes; the verdict is that of the highest."""


class Regression(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="regression",
):
    """One number, a *quantity* in *unit*; `bounds`, ascending, part it into the classes.

    The verdict is the first class whose upper bound the number does not exceed; the last class
    has none. There is one bound less than there are classes.
    """

    quantity: Label
    unit: Annotated[str, Meta(min_length=1, max_length=32)]
    bounds: Annotated[list[float], Meta(min_length=1, max_length=63)]


class Anomaly(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="anomaly"
):
    """One number, the larger the stranger; above `threshold` the verdict is the other class."""

    threshold: float


class Segmentation(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="segmentation",
):
    """One score a class and place, shape (batch, class, ...); each place is of its highest.

    The verdict is the class, other than the normal one, that covers most, if it covers
    `share_min` of all places or more; else it is the normal one.
    """

    share_min: Annotated[float, Meta(gt=0, le=1)]


Outcome = Classification | Regression | Anomaly | Segmentation
