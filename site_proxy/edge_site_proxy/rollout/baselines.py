"""How the histories of a cohort are kept in few bytes; pure.

A baseline of thousands of gateways is one row, and with that one entry of the audit log. All of it
was frozen at one instant, names say nothing there, and most counts are zero.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import astuple

from edge_site_proxy.rollout.gates.evidence import Counts, History, Strata

Baseline = dict[str, History]
_Short = dict[str, tuple[int, ...]]


class Kept(Struct, frozen=True, array_like=True):
    """One gateway's history but for the instant; counts go as far as the last that is not zero.

    `recent` is None where it says the same as `total`, as in a release's first fortnight.
    """

    days: int
    exposure_s: float
    overrides: int
    restarts: int
    total: _Short
    recent: _Short | None


class BaselineRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cohort's histories by serial: `kept`, or in full in `histories` as rows of old have."""

    rollout: str
    cohort: int
    histories: Baseline = {}
    at: datetime | None = None
    kept: dict[str, Kept] = {}

    @property
    def baseline(self) -> Baseline:
        """All of them, in full."""
        found = {serial: _full(kept, self.at) for serial, kept in self.kept.items()}
        return {**self.histories, **found}


def row_of(rollout: str, cohort: int, baseline: Mapping[str, History]) -> BaselineRow:
    """What is kept of *baseline*.

    Raises:
        ValueError: not all of it was frozen at the same instant.
    """
    ats = {history.at for history in baseline.values()}
    if len(ats) > 1:
        raise ValueError(f"{rollout}/{cohort}: expected one instant, found {len(ats)}")
    return BaselineRow(
        rollout=rollout,
        cohort=cohort,
        at=next(iter(ats), None),
        kept={serial: _kept(history) for serial, history in baseline.items()},
    )


def _kept(history: History) -> Kept:
    return Kept(
        days=history.days,
        exposure_s=history.exposure_s,
        overrides=history.overrides,
        restarts=history.restarts,
        total=_short(history.total),
        recent=None if history.recent == history.total else _short(history.recent),
    )


def _full(kept: Kept, at: datetime | None) -> History:
    total = _long(kept.total)
    return History(
        days=kept.days,
        recent=total if kept.recent is None else _long(kept.recent),
        total=total,
        exposure_s=kept.exposure_s,
        overrides=kept.overrides,
        restarts=kept.restarts,
        at=at,
    )


def _short(strata: Strata) -> _Short:
    return {name: _until_zeros(astuple(counts)) for name, counts in strata.items()}


def _until_zeros(counts: tuple[int, ...]) -> tuple[int, ...]:
    end = max((place for place, count in enumerate(counts, 1) if count), default=0)
    return counts[:end]


def _long(short: _Short) -> Strata:
    return {name: Counts(*counts) for name, counts in short.items()}
