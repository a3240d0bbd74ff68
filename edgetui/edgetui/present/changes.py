"""What is different between the rollout that a person saw and the one that is there now."""

from edge_core.contracts.gates import GateReport
from edge_core.contracts.rollout import RolloutView
from edgetui.present.lines import Line, Tone, say
from edgetui.present.rollout_page import progress, state_words
from edgetui.present.words import VERDICT_WORDS, number


def differences(seen: RolloutView, current: RolloutView, cells: int) -> list[Line]:
    """One line for each fact that a decision could hang on."""
    facts = [
        ("state", state_words(seen), state_words(current)),
        ("why", seen.why, current.why),
        ("cohort", seen.cohort or "-", current.cohort or "-"),
        ("release", seen.release.digest, current.release.digest),
        ("plan", seen.plan_digest, current.plan_digest),
        ("lines", ", ".join(seen.lines), ", ".join(current.lines)),
        ("signed by", _signers(seen), _signers(current)),
        ("to sign", "; ".join(seen.signers_needed), "; ".join(current.signers_needed)),
        *_rungs(seen, current),
        *_gates(seen.gates, current.gates),
    ]
    lines = [
        say(f"CHANGED  {name}: {before or '-'}  is now  {after or '-'}", cells, Tone.P2)
        for name, before, after in facts
        if before != after
    ]
    if seen.last_order != current.last_order:
        lines.insert(0, say(f"CHANGED  {current.last_order}", cells, Tone.P2))
    return lines or [say("CHANGED  something that this page does not show", cells, Tone.P2)]


def _signers(view: RolloutView) -> str:
    return ", ".join(a.who for a in view.approvals)


def _rungs(seen: RolloutView, current: RolloutView) -> list[tuple[str, str, str]]:
    names = dict.fromkeys(c.name for c in (*seen.cohorts, *current.cohorts))
    return [
        (
            f"cohort {name}",
            "{}/{}".format(*progress(seen, name)),
            "{}/{}".format(*progress(current, name)),
        )
        for name in names
    ]


def _gates(seen: list[GateReport], current: list[GateReport]) -> list[tuple[str, str, str]]:
    before, after = _measured(seen), _measured(current)
    names = dict.fromkeys([*before, *after])
    return [(f"gate {name}", before.get(name, "-"), after.get(name, "-")) for name in names]


def _measured(reports: list[GateReport]) -> dict[str, str]:
    return {
        f"{report.cohort} {m.gate.replace('_', ' ')}": (
            f"{VERDICT_WORDS[m.verdict]} {number(m.value, m.unit)}"
        )
        for report in reports
        for m in report.measurements
    }
