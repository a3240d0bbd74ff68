"""The drift monitor of a gateway: one step a window against a signed reference.

An alarm routes windows to review. It resets the charts and is followed by a quiet period, so that
a plant that stays changed says so once a period and not once a window.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import DriftReference
from edge_core.drift.charts import (
    LEVEL,
    RESID,
    STATISTICS,
    Array,
    Mask,
    RowModel,
    accumulate,
    window_statistics,
)
from edge_core.drift.errors import ReferenceRefusedError
from edge_core.drift.state import DriftState
from edge_core.features.quality import flat_lengths
from edge_core.features.samples import usable
from edge_core.features.window import Window

FLAT_FACTOR = 3  # times the longest run of the reference is not chance any more
FLAT_ROWS_LEAST = 8  # a grid repeats a value when a sample is late: that is no stuck sensor
TAGS_NAMED = 5


class DriftStatus(StrEnum):
    """What became of a window."""

    SCORED = "scored"
    HELD = "held"
    SETTLING = "settling"
    QUIET = "quiet"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class DriftWindow:
    """Rows of one window, shape (row, role); `fit`, shape (row,), says which count.

    `mode` is the recipe: "" where the line has none, None where it changed inside the window.
    """

    number: int
    values: NDArray[np.float32]
    fit: Mask
    mode: str | None = ""


@dataclass(frozen=True, slots=True)
class DriftScore:
    """What one window said.

    `ratio` is C/h: above 1 is over the bar. `kind` is the statistic that leads, or `flat` or
    `recipe`; `tags` are roles, the most suspect first; `since` is the window in which the leading
    chart left zero.
    """

    number: int
    status: DriftStatus
    mode: str | None
    ratio: float = 0.0
    kind: str = ""
    tags: tuple[str, ...] = ()
    since: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Monitor:
    """A reference made ready: arrays instead of lists, checked to fit together."""

    roles: tuple[str, ...]
    model: RowModel
    modes: dict[str, int]
    mean: Array
    sd: Array
    scale: Array
    bars: Array
    flat_limit: NDArray[np.int64]
    good_share_min: float
    settle_windows: int
    quiet_windows: int


def monitor(reference: DriftReference) -> Monitor:
    """Unpack a reference.

    Raises:
        ReferenceRefusedError: its arrays do not fit together.
    """
    roles = len(reference.roles)
    table = (len(STATISTICS), roles)
    ready = Monitor(
        roles=tuple(reference.roles),
        model=RowModel(
            mean=_array("row_mean", reference.row_mean, (roles,)),
            sd=_array("row_sd", reference.row_sd, (roles,)),
            ridge=_array("ridge", reference.ridge, (roles, roles)),
        ),
        modes={mode.mode: at for at, mode in enumerate(reference.modes)},
        mean=np.stack([_array("mean", mode.mean, table) for mode in reference.modes]),
        sd=np.stack([_array("sd", mode.sd, table) for mode in reference.modes]),
        scale=np.stack(
            [_array("slow", reference.slow, table), _array("fast", reference.fast, table)]
        ),
        bars=np.array([mode.bar or reference.bar for mode in reference.modes]),
        flat_limit=_flat_limit(reference),
        good_share_min=reference.good_share_min,
        settle_windows=reference.settle_windows,
        quiet_windows=reference.quiet_windows,
    )
    if min(ready.model.sd.min(), ready.sd.min(), ready.scale.min()) <= 0:
        raise ReferenceRefusedError("reference: expected sd and scales above zero, found others")
    return ready


def _flat_limit(reference: DriftReference) -> NDArray[np.int64]:
    """How many rows each tag may stand still, shape (role,).

    A tag that stood still for half of the reference, as a set-point does, may do so for ever.
    """
    longest = _array("flat_run_max", reference.flat_run_max, (len(reference.roles),))
    rows = _array("counts", [sum(bins) for bins in reference.counts], longest.shape)
    limit = np.maximum(FLAT_FACTOR * longest, FLAT_ROWS_LEAST).astype(np.int64)
    return np.where(2 * longest >= rows, np.iinfo(np.int64).max, limit)


def _array(
    name: str, values: list[float] | list[int] | list[list[float]], shape: tuple[int, ...]
) -> Array:
    try:
        array = np.array(values, np.float64)
    except ValueError as error:
        raise ReferenceRefusedError(f"reference: {name} expected shape {shape}") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise ReferenceRefusedError(
            f"reference: {name} expected numbers of shape {shape}, found shape {array.shape}"
        )
    return array


def begin(ready: Monitor) -> DriftState:
    """The state before any window: charts at zero, and the line still to settle."""
    return DriftState.empty(len(ready.roles))


def drift_window(window: Window, mode: str | None = "") -> DriftWindow:
    """A window of the grid as the monitor takes it: a row counts if every tag is usable."""
    fit = np.asarray(usable(window.quality).all(axis=1))
    return DriftWindow(window.number, window.values, fit, mode)


def step(ready: Monitor, state: DriftState, window: DriftWindow) -> tuple[DriftState, DriftScore]:
    """Take one window; the new state and what the window said.

    A window number that was taken before changes nothing: after a restart from a checkpoint the
    same windows may be offered again.

    Raises:
        ReferenceRefusedError: the window does not have one column a role.
    """
    if window.values.ndim != 2 or window.values.shape[1] != len(ready.roles):
        raise ReferenceRefusedError(
            f"window {window.number}: expected {len(ready.roles)} roles, found shape "
            f"{window.values.shape}"
        )
    if window.number < state.next_number:
        return state, _held(window, "taken before")
    state = _entered(state, window)
    unknown = window.mode is not None and window.mode not in ready.modes
    share = float(window.fit.mean()) if len(window.fit) else 0.0
    if unknown and state.quiet == 0:
        score = DriftScore(
            window.number,
            DriftStatus.ALARM,
            window.mode,
            kind="recipe",
            since=window.number,
            reason=f"recipe {window.mode!r} has no reference",
        )
        return _alarmed(ready, state), score
    if unknown:
        after, score = state, _held(window, "recipe has no reference")
    elif state.age < ready.settle_windows or window.mode is None:
        after, score = state, _settling(window)
    elif share < ready.good_share_min - 1e-9 or np.count_nonzero(window.fit) < 2:
        needed = round(100 * ready.good_share_min)
        after, score = state, _held(window, f"{int(100 * share)} % good rows, {needed} % needed")
    else:
        return _scored(ready, state, window)
    return _quieter(after), score


def _held(window: DriftWindow, reason: str) -> DriftScore:
    return DriftScore(window.number, DriftStatus.HELD, window.mode, reason=reason)


def _settling(window: DriftWindow) -> DriftScore:
    reason = "recipe changes inside the window" if window.mode is None else "recipe just began"
    return DriftScore(window.number, DriftStatus.SETTLING, window.mode, reason=reason)


def _entered(state: DriftState, window: DriftWindow) -> DriftState:
    """Number, recipe and still-standing values are counted for every window, scored or not."""
    same = window.mode is not None and window.mode == state.mode
    last, run = state.last, state.run
    rows = window.values[window.fit]
    longest = state.run
    if len(rows):
        lengths = flat_lengths(rows, last, run)
        last, run, longest = rows[-1].copy(), lengths[-1], lengths.max(axis=0)
    return replace(
        state,
        next_number=window.number + 1,
        mode=window.mode,
        age=state.age + 1 if same else 0,
        last=last,
        run=run,
        longest=longest,
    )


def _quieter(state: DriftState) -> DriftState:
    if state.quiet == 0:
        return state
    state = replace(state, quiet=state.quiet - 1)
    # What gathered while nobody was told may be over by now: judge afresh.
    return state.reset() if state.quiet == 0 else state


def _alarmed(ready: Monitor, state: DriftState) -> DriftState:
    return replace(state.reset(), quiet=ready.quiet_windows)


def _scored(
    ready: Monitor, state: DriftState, window: DriftWindow
) -> tuple[DriftState, DriftScore]:
    at = ready.modes[str(window.mode)]
    statistics = window_statistics(window.values, window.fit, ready.model)
    z = (statistics - ready.mean[at]) / ready.sd[at]
    charts = accumulate(state.charts, z)
    rising = np.where(charts > 0, state.rising + 1, 0)
    state = replace(state, charts=charts, rising=rising)
    ratios = charts / ready.scale[:, None] / ready.bars[at]
    leader = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    score = DriftScore(
        number=window.number,
        status=DriftStatus.SCORED,
        mode=window.mode,
        ratio=float(ratios[leader]),
        kind=STATISTICS[int(leader[2])],
        tags=_ranked(ready.roles, _suspicion(z, int(leader[2]))),
        since=window.number - max(int(rising[leader]) - 1, 0),
    )
    flat = state.longest / ready.flat_limit
    if flat.max() > 1:
        score = replace(
            score,
            kind="flat",
            tags=_ranked(ready.roles, np.where(flat > 1, flat, 0.0)),
            since=window.number,
            reason="value frozen",
        )
    return _judged(ready, state, score, over=score.ratio > 1 or flat.max() > 1)


def _judged(
    ready: Monitor, state: DriftState, score: DriftScore, *, over: bool
) -> tuple[DriftState, DriftScore]:
    if state.quiet:
        return _quieter(state), replace(score, status=DriftStatus.QUIET)
    if over:
        return _alarmed(ready, state), replace(score, status=DriftStatus.ALARM)
    return state, score


def _suspicion(z: Array, kind: int) -> Array:
    """How suspect each tag is, unclipped: what moved a level shows best in the residuals.

    A shift of one tag shifts the residuals of all others a little and its own most; clipping or
    summing would make them look alike.
    """
    return np.asarray(np.abs(z[RESID] if kind in {LEVEL, RESID} else z[kind]))


def _ranked(roles: tuple[str, ...], suspicion: Array) -> tuple[str, ...]:
    order = np.argsort(-suspicion, kind="stable")[:TAGS_NAMED]
    return tuple(roles[column] for column in order if suspicion[column] > 0)
