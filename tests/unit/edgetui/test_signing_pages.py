"""Who must sign what by when, on the first screen and on a rollout's own."""

from dataclasses import dataclass

import msgspec
import pytest

from edge_core.contracts.rollout import (
    ChangeType,
    Due,
    Hold,
    Meaning,
    Revocation,
    RolloutState,
    RolloutView,
    Signature,
)
from edgetui.present.lines import texts
from edgetui.present.ops_page import needs_you
from edgetui.present.rollout_page import by_need, rollout_page
from edgetui.signing import approval_facts
from tests.simulators.site import Site
from tests.simulators.site_data import AT

S = RolloutState
SITE = Site(now=lambda: AT)
NAME = "pump-condition 1.6.0-rc1"
SECOND = Due(what="the second signature is due", at=AT, left_s=7_300.0)


def view(state: RolloutState, **changes: object) -> RolloutView:
    """One rollout."""
    waiting = SITE.rollouts["ro-03-awaiting-approval"]
    return msgspec.structs.replace(waiting, state=state, **changes)


def said(rollout: RolloutView) -> list[str]:
    """What the first screen then asks for, but for alarms and labels."""
    overview = msgspec.structs.replace(SITE.overview(), rollouts=[rollout])
    lines = texts(needs_you(overview, 120))
    return [line[4:] for line in lines if "ALARM" not in line and "LABEL" not in line]


@dataclass(frozen=True)
class Row:
    """A rollout and what somebody is asked for."""

    rollout: RolloutView
    asks: list[str]


ROWS = {
    "nobody has signed": Row(
        view(S.AWAITING_APPROVAL), [f"APPROVE  {NAME}  (ro-03-awaiting-approval)"]
    ),
    "an emergency waits for its second": Row(
        view(S.SOAKING, signers_needed=["1 more approver"], dues=[SECOND]),
        [f"SIGN     {NAME}: 1 more approver; the second signature is due: in 2 h"],
    ),
    "and is overdue": Row(
        view(
            S.COMPLETED,
            signers_needed=["1 more approver"],
            dues=[msgspec.structs.replace(SECOND, left_s=-1.0)],
        ),
        [f"SIGN     {NAME}: 1 more approver; the second signature is due: overdue"],
    ),
    "a shift has to know": Row(
        view(S.SOAKING, acknowledgement_needed=True),
        [f"SIGN     {NAME}: the shift acknowledges it before a safety zone moves"],
    ),
    "everybody has it, and its time is over": Row(
        view(S.COMPLETED, holds=[Hold.APPROVAL], why="approval: return or renew"),
        [f"DECIDE   {NAME} is held: approval: return or renew"],
    ),
    "it has ended otherwise": Row(view(S.CANCELLED, holds=[Hold.APPROVAL]), []),
    "everybody has it": Row(view(S.COMPLETED), []),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_needs_you(row: Row) -> None:
    """The first screen names it, and such a rollout stands before those that need nobody."""
    assert said(row.rollout) == row.asks
    quiet = view(S.SOAKING)
    assert (by_need(row.rollout) < by_need(quiet)) is bool(row.asks)


def test_a_rollout_shows_every_signature() -> None:
    """Name, meaning, role, PIN, who took what back, and when the next window opens."""
    rollout = SITE.rollouts["ro-07-soaking"]
    approval = msgspec.structs.replace(
        rollout.approvals[0],
        name="Maria Keller",
        meaning=Meaning.REVIEWED,
        role="quality",
        pin=True,
    )
    known = Signature(
        who="ole",
        name="",
        at=AT,
        meaning=Meaning.ACKNOWLEDGED,
        reason="told at the handover",
        about="",
    )
    taken = Revocation(
        who="olga", name="Olga K", at=AT, reason="wrong ticket", roll_back=True, voided=[]
    )
    shown = msgspec.structs.replace(
        rollout,
        approvals=[approval],
        change=ChangeType.LIKE_FOR_LIKE,
        signers_needed=["process (group p-safety)"],
        dues=[SECOND],
        acknowledgements=[known],
        waivers=[msgspec.structs.replace(known, who="bob", meaning=Meaning.WAIVED)],
        revocations=[taken],
    )
    text = "\n".join(texts(rollout_page(shown, 160)))
    for words in (
        "change    like for like",
        "to sign   process (group p-safety)",
        "due       the second signature is due: in 2 h, 2026-",
        "Maria Keller (m.keller)  2026-",
        "reviewed for quality, PIN  CHG-20817",
        "ole  2026-",
        "acknowledged",
        "waived a gate",
        "Olga K  2026-",
        "took it back, committed gateways go back  wrong ticket",
    ):
        assert words in text


LEAST = {"minutes": (59, ", at least 59 min, "), "hours": (370, ", at least 6 h 10 min, ")}


@pytest.mark.parametrize(("minutes", "words"), LEAST.values(), ids=LEAST.keys())
def test_signers_see_how_long_it_takes(minutes: int, words: str) -> None:
    """What is signed stands on the screen, in a line that was there before."""
    before = view(S.AWAITING_APPROVAL)
    shown = msgspec.structs.replace(before, takes_min=minutes)
    lines = texts(approval_facts(shown, 120))
    assert words in lines[1]
    assert len(lines) == len(texts(approval_facts(before, 120)))
