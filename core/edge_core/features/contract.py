"""Whether a gateway's tags can supply what a model asks for, and how to convert their units."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Dtype, ModelSignature
from edge_core.features.errors import ContractError
from edge_core.features.frame import PICTURE_UNIT, check_frame
from edge_core.features.outcome import check_outcome

# unit -> (quantity, factor, offset): value in the base unit = factor * value + offset.
# Factors are exact by definition (SI Brochure, 9th edition; psi from NIST SP 811).
_UNITS: dict[str, tuple[str, float, float]] = {
    "m3/s": ("flow", 1.0, 0.0),
    "m3/h": ("flow", 1 / 3600, 0.0),
    "l/s": ("flow", 1e-3, 0.0),
    "l/min": ("flow", 1e-3 / 60, 0.0),
    "l/h": ("flow", 1e-3 / 3600, 0.0),
    "K": ("temperature", 1.0, 0.0),
    "degC": ("temperature", 1.0, 273.15),
    "degF": ("temperature", 5 / 9, 273.15 - 32 * 5 / 9),
    "Pa": ("pressure", 1.0, 0.0),
    "kPa": ("pressure", 1e3, 0.0),
    "MPa": ("pressure", 1e6, 0.0),
    "mbar": ("pressure", 1e2, 0.0),
    "bar": ("pressure", 1e5, 0.0),
    "psi": ("pressure", 6894.757293168, 0.0),
    "A": ("current", 1.0, 0.0),
    "mA": ("current", 1e-3, 0.0),
    "V": ("voltage", 1.0, 0.0),
    "mV": ("voltage", 1e-3, 0.0),
    "kV": ("voltage", 1e3, 0.0),
    "W": ("power", 1.0, 0.0),
    "kW": ("power", 1e3, 0.0),
    "mm/s": ("velocity", 1e-3, 0.0),
    "m/s": ("velocity", 1.0, 0.0),
    "m/s2": ("acceleration", 1.0, 0.0),
    "g": ("acceleration", 9.80665, 0.0),
    "Hz": ("frequency", 1.0, 0.0),
    "rpm": ("frequency", 1 / 60, 0.0),
    "1": ("ratio", 1.0, 0.0),
    "%": ("ratio", 1e-2, 0.0),
}
_SPELLINGS = {"L/min": "l/min", "L/s": "l/s", "L/h": "l/h", "1/min": "rpm", "°C": "degC"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """From a gateway's units to a signature's: `factor * value + offset`, shape (role,) each."""

    factor: NDArray[np.float32]
    offset: NDArray[np.float32]

    @property
    def changes(self) -> bool:
        """Whether anything has to be computed at all."""
        return bool(np.any(self.factor != 1) or np.any(self.offset != 0))

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of shape (..., role) in the signature's units; the same array if all fit."""
        return values * self.factor + self.offset if self.changes else values


def linear(have: str, want: str) -> tuple[float, float] | None:
    """Factor and offset from one unit to another, or None where we know of no way."""
    have, want = _SPELLINGS.get(have, have), _SPELLINGS.get(want, want)
    if have == want:
        return 1.0, 0.0
    source, target = _UNITS.get(have), _UNITS.get(want)
    if source is None or target is None or source[0] != target[0]:
        return None
    return source[1] / target[1], (source[2] - target[2]) / target[1]


def fit_check(signature: ModelSignature, tag_map: Mapping[str, str]) -> None:
    """Refuse a model whose contract the tags of a gateway cannot fulfil.

    Args:
        signature: the model's `signature.json`.
        tag_map: the unit of the tag that plays each role on this gateway.

    Raises:
        ContractError: it does not fit, naming the first feature that does not.
    """
    check_signature(signature)
    frame = signature.frame
    if frame is not None and tag_map.get(frame.role) != PICTURE_UNIT:
        raise ContractError(
            f"frame: expected a source of pictures with role {frame.role!r}, found none"
        )
    for position, feature in enumerate(signature.features):
        name = f"feature {position} ({feature.role}.{feature.statistic})"
        have = tag_map.get(feature.role)
        if have is None:
            known = ", ".join(sorted(tag_map)) or "none"
            raise ContractError(
                f"{name}: expected a tag with role {feature.role!r}, found roles {known}"
            )
        if linear(have, feature.unit) is None:
            raise ContractError(
                f"{name}: expected unit {feature.unit!r} or one convertible to it, found {have!r}"
            )
    if signature.regime_role is not None and signature.regime_role not in tag_map:
        raise ContractError(
            f"regime: expected a tag with role {signature.regime_role!r}, found none"
        )


def check_signature(signature: ModelSignature) -> None:
    """Refuse a signature that contradicts itself, whatever gateway it is for.

    Raises:
        ContractError: naming what contradicts what.
    """
    units: dict[str, str] = {}
    for position, feature in enumerate(signature.features):
        if units.setdefault(feature.role, feature.unit) != feature.unit:
            raise ContractError(
                f"feature {position} ({feature.role}.{feature.statistic}): expected unit "
                f"{units[feature.role]!r} as for the same role before, found {feature.unit!r}"
            )
    if signature.frame is not None:
        check_frame(signature, signature.frame)
    else:
        _check_features(signature)
    if signature.normal_class not in signature.classes:
        raise ContractError(
            f"normal class: expected one of {', '.join(signature.classes)}, "
            f"found {signature.normal_class!r}"
        )
    if signature.windowing.gap_rows_max >= signature.windowing.length_rows:
        raise ContractError(
            f"windowing: expected a gap shorter than the {signature.windowing.length_rows} rows "
            f"of a window, found gap_rows_max {signature.windowing.gap_rows_max}"
        )
    check_outcome(signature)


def _check_features(signature: ModelSignature) -> None:
    """The one row of features that a gateway has must be the one input."""
    taken, *others = signature.inputs
    wide = taken.shape[-1] if taken.shape else 0
    if wide != len(signature.features) or not wide:
        raise ContractError(
            f"input {taken.name!r}: expected {len(signature.features)} columns, one a feature, "
            f"found {wide}"
        )
    if others or taken.dtype != Dtype.FLOAT32:
        found = ", ".join(f"{each.name!r} of {each.dtype}" for each in signature.inputs)
        raise ContractError(f"inputs: expected one of float32, the features, found {found}")


def conversion(signature: ModelSignature, tag_map: Mapping[str, str]) -> Conversion:
    """How to bring rows of this gateway, columns in the order of the roles, to the model's units.

    Raises:
        ContractError: as `fit_check`.
    """
    fit_check(signature, tag_map)
    units = {feature.role: feature.unit for feature in signature.features}
    pairs = [linear(tag_map[role], units[role]) or (1.0, 0.0) for role in signature.roles]
    factor, offset = np.array(pairs, np.float32).reshape(-1, 2).T
    return Conversion(np.ascontiguousarray(factor), np.ascontiguousarray(offset))
