"""The pages about a rollout: the ladder of its cohorts, its gates, its history."""

from collections.abc import Sequence

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import (
    GateReport,
    Measurement,
    Member,
    RolloutState,
    RolloutView,
    Verdict,
)
from edgetui.present.bars import bar
from edgetui.present.tables import Column, table
from edgetui.present.words import VERDICT_WORDS, age, fit, instant, number, short

BAR_CELLS = 24

MEMBER_COLUMNS: Sequence[Column[Member]] = (
    Column("gateway", lambda m: m.serial, 20),
    Column("cohort", lambda m: m.cohort, 14),
    Column("state", lambda m: m.state.value.replace("_", " "), 18),
    Column("outcome", lambda m: m.outcome.value.replace("_", " "), 20, rank=2),
    Column("permit", lambda m: "live" if m.permit_live else "", 6, rank=3),
    Column("heard", lambda m: age(m.age_s), 10, right=True, rank=1),
    Column("why", lambda m: m.reason, 40),
)


def state_words(view: RolloutView) -> str:
    """The state, and every hold that stands."""
    word = view.state.value.replace("_", " ")
    if not view.holds:
        return word
    return f"{word}, HELD: {', '.join(h.value.replace('_', ' ') for h in view.holds)}"


ROLLOUT_COLUMNS: Sequence[Column[RolloutView]] = (
    Column("rollout", lambda r: r.id, 30),
    Column("model", lambda r: f"{r.release.model} {r.release.version}", 30),
    Column("state", state_words, 32),
    Column("cohort", lambda r: r.cohort or "-", 12, rank=2),
    Column("by", lambda r: r.author, 14, rank=3),
    Column("changed", lambda r: instant(r.changed), 20, rank=1),
)


def change(view: RolloutView) -> str:
    """From which version to which."""
    before = view.rollback_to.version if view.rollback_to else "nothing"
    return f"{view.release.model} {before} -> {view.release.version}"


def progress(view: RolloutView, cohort: str) -> tuple[int, int]:
    """How many of a cohort are committed, and how many it has."""
    members = [m for m in view.members if m.cohort == cohort]
    return sum(m.state is UpdateState.COMMITTED for m in members), len(members)


def ladder(view: RolloutView) -> str:
    """The cohorts in a row, the current one in brackets."""
    rungs = []
    for cohort in view.cohorts:
        done, all_of = progress(view, cohort.name)
        rung = f"{cohort.name} {done}/{all_of}"
        held = " HELD" if view.holds else ""
        rungs.append(f"[ {rung}{held} ]" if cohort.name == view.cohort else rung)
    return f"{change(view)}  {' --> '.join(rungs)}  {state_words(view)}"


def verdict_words(row: Measurement) -> str:
    """The verdict, and what is missing for one."""
    return VERDICT_WORDS[row.verdict] + (f": {row.explanation}" if row.explanation else "")


GATE_COLUMNS: Sequence[Column[Measurement]] = (
    Column("GATE", lambda m: m.gate.replace("_", " "), 24),
    Column("now", lambda m: number(m.value, m.unit), 10, right=True),
    Column("limit", lambda m: number(m.limit, m.unit), 10, right=True),
    Column("bar (limit = |)", lambda m: bar(m.value, m.limit, BAR_CELLS), BAR_CELLS, rank=1),
    Column("n", lambda m: str(m.n), 8, right=True, rank=2),
    Column("verdict", verdict_words, 60),
)


def gates_page(reports: Sequence[GateReport], cells: int) -> list[str]:
    """The gates of each cohort; a gate that did not pass says why in full below its table."""
    lines: list[str] = []
    for report in reports:
        by = f" by {', '.join(g.replace('_', ' ') for g in report.by)}" if report.by else ""
        lines += [
            (
                f"cohort {report.cohort}: {VERDICT_WORDS[report.verdict]}{by}"
                f"  ({report.windows} windows, {report.exposure_s:.0f} s of exposure)"
            ),
            *table(GATE_COLUMNS, report.measurements, cells),
            *(
                f"  {row.gate.replace('_', ' ')}: {verdict_words(row)}"
                for row in report.measurements
                if row.verdict is not Verdict.PASS
            ),
        ]
        if report.needs:
            lines.append(f"  needs {report.needs}")
    return [fit(line, cells).rstrip() for line in lines] or ["no gate has been asked yet"]


def rollouts_page(views: Sequence[RolloutView], cells: int) -> list[str]:
    """One line a rollout."""
    return table(ROLLOUT_COLUMNS, views, cells)


def rollout_page(view: RolloutView, cells: int) -> list[str]:
    """One rollout: where it stands, its gates, its gateways, who approved it."""
    approvals = [
        f"  {a.who}  {instant(a.at)}  {a.ticket}  {a.reason}" for a in view.approvals
    ] or [f"  none yet, {view.approvals_needed} needed"]
    way_back = (
        f"{view.rollback_to.version}  {short(view.rollback_to.digest)}"
        if view.rollback_to
        else "nothing before it: gateways would run without a model"
    )
    return [
        fit(ladder(view), cells).rstrip(),
        fit(f"why       {view.why or '-'}", cells).rstrip(),
        fit(f"way back  {way_back}", cells).rstrip(),
        fit(f"release   {view.release.digest}", cells).rstrip(),
        fit(f"plan      {view.plan_digest}", cells).rstrip(),
        "",
        *gates_page(view.gates, cells),
        "",
        *table(MEMBER_COLUMNS, view.members, cells),
        "",
        "approved by" if view.approvals else "approvals",
        *(fit(line, cells).rstrip() for line in approvals),
    ]


def open_for_approval(view: RolloutView) -> bool:
    """Whether somebody's yes is what this rollout waits for."""
    return view.state is RolloutState.AWAITING_APPROVAL
