"""Gates of a rollout: their limits, what they measured, and the verdict over a cohort.

A verdict without evidence is never PASS.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Count, Reason, Share
from edge_core.contracts.plant import Serial

ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Regime = Annotated[str, Meta(min_length=1, max_length=40)]


class Verdict(StrEnum):
    """A gate's answer. INCONCLUSIVE never advances by itself."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class GateLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cohort must show; frozen when the plan is approved. Durations are exposure.

    A health window is bad when a share in it is over its limit, or its latency is. `ratio_*`
    compare bad windows with what each gateway's own history says, and with who did not change:
    proved above `ratio_fail` fails, proved below `ratio_pass` passes, and no single gateway may
    be proved `ratio_worst` times worse than itself. A history is of at most `history_days_max`
    days, and is none with fewer than `history_days_min` or `history_windows_min`.

    Each regime in `regimes` must be seen in so many windows. Shifts begin at `shifts`, local
    HH:MM in `shift_zone`, and `shifts_min` whole ones must be soaked through. `kpi_min` and
    `kpi_max` bound the mean of the line's KPI in a window. Operators are listened to for the
    first hour: so many overrides, at more than `ratio_worst` times the usual rate, page.
    """

    windows_min: Annotated[int, Meta(ge=1)] = 288
    inferences_min: Annotated[int, Meta(ge=1)] = 500
    soak_min_s: Annotated[float, Meta(ge=0)] = 28_800.0
    soak_max_s: Annotated[float, Meta(gt=0)] = 259_200.0
    coverage_min: Share = 0.95
    error_share_max: Share = 0.01
    latency_p99_us_max: Annotated[int, Meta(ge=1)] = 50_000
    disagreement_share_max: Share = 0.10
    out_of_domain_share_max: Share = 0.20
    alpha_fail: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    alpha_pass: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    bad_windows_max: Annotated[float, Meta(gt=0, lt=1)] = 0.10
    ratio_fail: Annotated[float, Meta(ge=1)] = 1.1
    ratio_pass: Annotated[float, Meta(gt=1)] = 1.5
    ratio_worst: Annotated[float, Meta(ge=1)] = 3.0
    restarts_per_day_max: Annotated[float, Meta(gt=0)] = 1.0
    anomaly_share_max: Share | None = None
    kpi_min: float | None = None
    kpi_max: float | None = None
    overrides_page_min: Annotated[int, Meta(ge=1)] = 3
    history_days_min: Annotated[int, Meta(ge=0, le=14)] = 7
    history_days_max: Annotated[int, Meta(ge=1, le=14)] = 14
    history_windows_min: Annotated[int, Meta(ge=1)] = 24
    regimes: Annotated[list[Regime], Meta(max_length=16)] = []
    regime_windows_min: Annotated[int, Meta(ge=1)] = 12
    shifts: Annotated[tuple[ClockTime, ...], Meta(min_length=1, max_length=8)] = (
        "06:00",
        "14:00",
        "22:00",
    )
    shift_zone: Annotated[str, Meta(max_length=64)] = "UTC"
    shifts_min: Annotated[int, Meta(ge=0, le=21)] = 1


class Stratum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bad windows of like gateways in like circumstances: four numbers that a test rests on.

    `bad` are the canary's, `both` those of canary and control together; `expected` is what the
    canary's own histories make of its exposure, `expected_control` likewise.
    """

    name: Annotated[str, Meta(max_length=200)]
    bad: Count
    both: Count
    expected: float
    expected_control: float


class Measurement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate: what was measured, against what, from how much, and what follows.

    `log_e` is the evidence of harm, `log_e_good` that there is none, as natural logarithms.
    `strata` and the two vectors are what the comparison with the control rests on: the
    log-likelihood ratio at each step of the grid of alternatives, `worse` against `ratio_fail`
    and `better` against `ratio_pass`. Vectors of several sites are pooled by adding.
    """

    gate: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    verdict: Verdict
    value: float | None
    limit: float
    unit: str
    n: Count
    explanation: Reason = ""
    log_e: float | None = None
    log_e_good: float | None = None
    strata: list[Stratum] = []
    worse: list[float] = []
    better: list[float] = []
    more_s: float | None = None


class GateReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict over one cohort; `by` names the gates that decided it.

    `device_hours` is how much more exposure an undecided gate still needs if all goes on as it
    did, None where nobody can say. `more_s` of a measurement is its own part of that, in seconds.
    """

    cohort: str
    verdict: Verdict
    by: list[str]
    measurements: list[Measurement]
    exposure_s: float = 0.0
    windows: Count = 0
    needs: Reason = ""
    device_hours: float | None = None


class GateCheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gate asked about gateways chosen at random, over a day on which nothing changed."""

    day: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    number: Count
    model: str
    digest: Digest
    members: list[Serial]
    verdict: Verdict
    by: list[str]
    windows: Count = 0


class GateChecks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the gate blamed what did not change, of the checks that are kept; newest first.

    `share` is that of the checks that failed; above `alpha` the gate's assumptions do not hold
    here. None before there was a check.
    """

    runs: Count
    failed: Count
    share: float | None
    alpha: float
    since: str | None
    newest: list[GateCheck]
