"""The pages about a rollout: the ladder of its cohorts, its gates, its history."""

from collections.abc import Sequence

from edge_core.contracts.gates import GateCheck, GateChecks, GateReport, Measurement, Verdict
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import (
    TERMINAL,
    Approval,
    Due,
    Member,
    OnFail,
    RolloutState,
    RolloutView,
)
from edgetui.present.bars import bar
from edgetui.present.lines import BLANK, Line, Target, Tone, folded, join, say, whole
from edgetui.present.tables import Column, table
from edgetui.present.words import VERDICT_WORDS, age, instant, number, short

BAR_CELLS = 24
OLD = " ?"  # of an age that is too old to be relied on; what is still to come is not old


def _member_why(member: Member) -> str:
    """A gateway that should have moved on says so first, with the time since."""
    if member.suspect_s is None:
        return member.reason
    return f"SUSPECT for {age(member.suspect_s)} {member.reason}".rstrip()


MEMBER_COLUMNS: Sequence[Column[Member]] = (
    Column("gateway", lambda m: m.serial, 20),
    Column("cohort", lambda m: m.cohort, 14),
    Column("state", lambda m: m.state.value.replace("_", " "), 18),
    Column("outcome", lambda m: m.outcome.value.replace("_", " "), 20, rank=2),
    Column("permit", lambda m: "live" if m.permit_live else "", 6, rank=3),
    Column("heard", lambda m: age(m.age_s), 10, right=True, rank=1),
    Column("why", _member_why, 40),
)


def state_words(view: RolloutView) -> str:
    """The state, and every hold that stands."""
    word = view.state.value.replace("_", " ")
    if not view.holds:
        return word
    return f"{word}, HELD: {', '.join(h.value.replace('_', ' ') for h in view.holds)}"


def state_tone(view: RolloutView) -> Tone:
    """A rollout that is held, or went wrong, is not normal."""
    if view.state in {RolloutState.ROLLBACK_INCOMPLETE, RolloutState.REJECTED}:
        return Tone.P1
    return Tone.P2 if held(view) else Tone.PLAIN


VERDICT_TONES = {
    Verdict.PASS: Tone.PLAIN,
    Verdict.FAIL: Tone.P2,
    Verdict.INCONCLUSIVE: Tone.P3,
}

ROLLOUT_COLUMNS: Sequence[Column[RolloutView]] = (
    Column("rollout", lambda r: r.id, 30),
    Column("model", lambda r: f"{r.release.model} {r.release.version}", 30, rank=4),
    Column("state", state_words, 32, tone=state_tone),
    Column("cohort", lambda r: r.cohort or "-", 12, rank=2),
    Column("by", lambda r: r.author, 14, rank=3),
    Column("changed", lambda r: instant(r.changed), 20, rank=1),
)


def by_need(view: RolloutView) -> tuple[int, float]:
    """What waits for a person first, then what is under way, then what has ended; newest first."""
    waits = view.state is RolloutState.AWAITING_APPROVAL or held(view) or bool(to_sign(view))
    return (0 if waits else 2 if view.state in TERMINAL else 1, -view.changed.timestamp())


def held(view: RolloutView) -> bool:
    """Whether a hold waits for somebody; one that has reached everybody can still have lapsed."""
    ended = view.state in TERMINAL and view.state is not RolloutState.COMPLETED
    return bool(view.holds) and not ended


def to_sign(view: RolloutView) -> list[str]:
    """What somebody has to sign about a rollout that is under way, one line each."""
    if view.state in TERMINAL and not view.dues:
        return []
    name = f"{view.release.model} {view.release.version}"
    due = f"; {view.dues[0].what}: {left(view.dues[0])}" if view.dues else ""
    lines = [f"{name}: {'; '.join(view.signers_needed)}{due}"] if view.signers_needed else []
    if view.acknowledgement_needed:
        lines.append(f"{name}: the shift acknowledges it before a safety zone moves")
    return lines


def left(due: Due) -> str:
    """How long there is to do it."""
    return f"in {age(due.left_s).removesuffix(OLD)}" if due.left_s > 0 else "overdue"


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
    return " --> ".join(rungs)


def rollout_line(view: RolloutView, cells: int) -> Line:
    """One rollout on one line: what, how far, in which state."""
    parts = (
        (f"  {change(view)}  ", Tone.PLAIN),
        (state_words(view), state_tone(view)),
        (f"  {ladder(view)}", Tone.PLAIN),
    )
    return join(parts, cells, target_of(view))


def target_of(view: RolloutView) -> Target:
    """Where `enter` goes from a rollout."""
    return Target("rollout", view.id)


def verdict_words(row: Measurement) -> str:
    """The verdict, and what is missing for one."""
    return VERDICT_WORDS[row.verdict] + (f": {row.explanation}" if row.explanation else "")


GATE_COLUMNS: Sequence[Column[Measurement]] = (
    Column("GATE", lambda m: m.gate.replace("_", " "), 24),
    Column("now", lambda m: number(m.value, m.unit), 10, right=True),
    Column("limit", lambda m: number(m.limit, m.unit), 10, right=True),
    Column("bar (limit = |)", lambda m: bar(m.value, m.limit, BAR_CELLS), BAR_CELLS, rank=1),
    Column("n", lambda m: str(m.n), 8, right=True, rank=2),
    Column("verdict", verdict_words, 60, tone=lambda m: VERDICT_TONES[m.verdict]),
)


def gates_page(reports: Sequence[GateReport], cells: int) -> list[Line]:
    """The gates of each cohort; a gate that did not pass says why in full below its table."""
    lines: list[Line] = []
    for report in reports:
        by = f" by {', '.join(g.replace('_', ' ') for g in report.by)}" if report.by else ""
        verdict = (f"{VERDICT_WORDS[report.verdict]}{by}", VERDICT_TONES[report.verdict])
        seen = f"  ({report.windows} windows, {report.exposure_s:.0f} s of exposure)"
        lines += [
            join(((f"cohort {report.cohort}: ", Tone.PLAIN), verdict, (seen, Tone.PLAIN)), cells),
            *table(GATE_COLUMNS, report.measurements, cells),
            *(
                line
                for row in report.measurements
                if row.verdict is not Verdict.PASS
                for line in folded(f"  {row.gate.replace('_', ' ')}: ", verdict_words(row), cells)
            ),
        ]
        if report.needs:
            lines += folded("  needs ", report.needs, cells)
    return lines or [say("no gate has been asked yet", cells)]


CHECK_COLUMNS: Sequence[Column[GateCheck]] = (
    Column("day", lambda c: c.day, 10),
    Column("model", lambda c: c.model, 24, rank=1),
    Column("n", lambda c: str(c.windows), 8, right=True, rank=2),
    Column(
        "verdict", lambda c: VERDICT_WORDS[c.verdict], 14, tone=lambda c: VERDICT_TONES[c.verdict]
    ),
    Column("by", lambda c: "" if c.verdict is Verdict.PASS else ", ".join(c.by), 40),
    Column("gateways", lambda c: ", ".join(c.members), 60, rank=3),
)


def gate_checks_page(checks: GateChecks, cells: int) -> list[Line]:
    """Whether the gate can be believed, and the newest of what that rests on."""
    if checks.share is None:
        return [say("the gate was not checked yet: it takes a day and a history", cells)]
    tone = Tone.P3 if checks.share > checks.alpha else Tone.PLAIN
    words = (
        f"blamed {checks.failed} of {checks.runs} cohorts in which nothing changed "
        f"({checks.share:.1%}) since {checks.since}; promised are at most {checks.alpha:.1%}"
    )
    return [say(words, cells, tone), *table(CHECK_COLUMNS, checks.newest, cells)]


def rollouts_page(views: Sequence[RolloutView], cells: int) -> list[Line]:
    """One line a rollout."""
    return table(ROLLOUT_COLUMNS, views, cells, target_of)


def way_back(view: RolloutView) -> str:
    """What a rollback would go back to."""
    if view.rollback_to is None:
        return "nothing before it: gateways would run without a model"
    itself = ", by itself if a gate fails" if view.on_fail is OnFail.AUTO_ROLLBACK else ""
    return f"{view.rollback_to.version}  {short(view.rollback_to.digest)}{itself}"


def ordered(view: RolloutView) -> str:
    """The signed plan that restricts it, empty where upstream signed none."""
    signed = view.signed
    if signed is None:
        return ""
    return f"plan {signed.sequence}  {short(signed.digest)}, signed by {', '.join(signed.signers)}"


def least(view: RolloutView) -> str:
    """How long it takes at least, as it is signed."""
    if view.takes_min is None:
        return ""
    hours, minutes = divmod(view.takes_min, 60)
    return f", at least {hours} h {minutes} min" if hours else f", at least {minutes} min"


def takes(view: RolloutView, cells: int) -> list[Line]:
    """When it ends at best, and what sets that."""
    eta = view.eta
    if eta is None:
        return []
    ends = f"until {instant(eta.ends)} at best" if eta.ends is not None else "it would not end"
    return folded("takes     ", f"{ends}; longest: {eta.why}", cells)


def left_out(view: RolloutView, cells: int) -> list[Line]:
    """Gateways that take no part, each with its reason."""
    if not view.excluded:
        return []
    rows = [
        line
        for serial, why in sorted(view.excluded.items())
        for line in folded(f"  {serial}  ", why, cells)
    ]
    return [BLANK, say("left out", cells, Tone.TITLE), *rows]


def change_words(view: RolloutView) -> str:
    """What kind of change it is, as its signers call it."""
    return view.change.value.replace("_", " ") if view.change else "not said yet"


def signing_facts(view: RolloutView, cells: int) -> list[Line]:
    """Who must still sign or acknowledge, and what is due when."""
    lines = [say(f"to sign   {'; '.join(view.signers_needed)}", cells, Tone.P2)] * bool(
        view.signers_needed
    )
    for due in view.dues:
        tone = Tone.PLAIN if due.left_s > 0 else Tone.P2
        lines.append(say(f"due       {due.what}: {left(due)}, {instant(due.at)}", cells, tone))
    if view.acknowledgement_needed:
        words = "due       the shift has to acknowledge it before a safety zone moves"
        lines.append(say(words, cells, Tone.P2))
    return lines


def _signature(approval: Approval, cells: int) -> Line:
    name = f"{approval.name} ({approval.who})" if approval.name else approval.who
    role = f" for {approval.role}" if approval.role else ""
    pin = ", PIN" if approval.pin else ""
    words = f"  {name}  {instant(approval.at)}  {approval.meaning.value}{role}{pin}  "
    return say(f"{words}{approval.ticket}  {approval.reason}", cells)


def _others(view: RolloutView, cells: int) -> list[Line]:
    """Waivers, acknowledgements and what was taken back."""
    signed = [
        say(f"  {s.name or s.who}  {instant(s.at)}  {s.meaning.value} {about}  {s.reason}", cells)
        for about, signatures in (("", view.acknowledgements), ("a gate", view.waivers))
        for s in signatures
    ]
    taken = [
        say(
            f"  {r.name or r.who}  {instant(r.at)}  took it back, committed gateways "
            f"{'go back' if r.roll_back else 'stay'}  {r.reason}",
            cells,
        )
        for r in view.revocations
    ]
    return [*signed, *taken]


def rollout_page(view: RolloutView, cells: int) -> list[Line]:
    """One rollout: where it stands, its gates, its gateways, who approved it."""
    nobody = say(f"  none yet, {view.approvals_needed} needed", cells)
    approvals = [_signature(a, cells) for a in view.approvals] or [nobody]
    return [
        say(f"{view.id}  {change(view)}", cells, Tone.TITLE),
        say(ladder(view), cells),
        join((("state     ", Tone.PLAIN), (state_words(view), state_tone(view))), cells),
        *folded("why       ", view.why, cells),
        *takes(view, cells),
        say(f"way back  {way_back(view)}", cells),
        *([say(f"ordered   {ordered(view)}", cells)] if view.signed else []),
        say(f"lines     {', '.join(view.lines) or '-'}", cells),
        say(f"change    {change_words(view)}", cells),
        *signing_facts(view, cells),
        *([say(f"window    {view.next_window}", cells)] if view.windows else []),
        *whole("release   ", view.release.digest, cells),
        *whole("plan      ", view.plan_digest, cells),
        BLANK,
        *gates_page(view.gates, cells),
        BLANK,
        *table(MEMBER_COLUMNS, view.members, cells, lambda m: Target("gateway", m.serial)),
        *left_out(view, cells),
        BLANK,
        say("approved by" if view.approvals else "approvals", cells, Tone.TITLE),
        *approvals,
        *_others(view, cells),
    ]


def open_for_approval(view: RolloutView) -> bool:
    """Whether somebody's yes is what this rollout waits for."""
    return view.state is RolloutState.AWAITING_APPROVAL
