"""Every guard of a permit, and when its lock is free again."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gateway import PermitRequest, UpdateReport, UpdateState
from edge_core.contracts.rollout import (
    Approval,
    ChangeType,
    ChangeWindow,
    Cohort,
    Hold,
    Meaning,
    Plan,
    RolloutState,
    Signature,
)
from edge_site_proxy.rollout.permits import (
    Ask,
    Deferred,
    Granted,
    Neighbour,
    decide,
    lease_s,
    settled,
)
from edge_site_proxy.rollout.records import Grant, Header, Rollout, plan_digest
from tests.unit.site_proxy.plant.plant import INVENTORY, POLICY, V1, V2, place

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PLAN = Plan(
    rollout="r",
    release=V2,
    rollback_to=V1,
    author="ci",
    created=NOW,
    policy=POLICY,
    cohorts=[Cohort(name="canary", members=["g1"])],
)
SIGNED = Approval(who="ana", at=NOW, ticket="CHG-1", reason="yes", plan_digest=plan_digest(PLAN))
ROLLOUT = Rollout(
    header=Header(
        id="r", state=RolloutState.ACTIVATING, approvals=[SIGNED], created=NOW, changed=NOW
    ),
    plan=PLAN,
)
REQUEST = PermitRequest(digest=V2.digest, attempt=1, boot_epoch=1)
G1, G2, G3, G4, G5 = INVENTORY.gateways
FINE = Neighbour(G3, in_flight=False, healthy=True, serving=True)
ASK = Ask(
    place=G2, request=REQUEST, rollout=ROLLOUT, activate=True, neighbours={"g3": FINE}, now=NOW
)
SHUT = [ChangeWindow(days=[7], start="06:00", end="14:00")]
SHORT = [ChangeWindow(days=[1], start="07:00", end="08:01")]


def with_(**changes: object) -> Rollout:
    """ROLLOUT with another header."""
    return msgspec.structs.replace(
        ROLLOUT, header=msgspec.structs.replace(ROLLOUT.header, **changes)
    )


def windowed(windows: list[ChangeWindow]) -> Rollout:
    """ROLLOUT under other change windows, and approved so."""
    policy = msgspec.structs.replace(POLICY, windows=windows)
    plan = msgspec.structs.replace(PLAN, policy=policy)
    approval = msgspec.structs.replace(SIGNED, plan_digest=plan_digest(plan))
    header = msgspec.structs.replace(ROLLOUT.header, approvals=[approval])
    return Rollout(header=header, plan=plan)


def told(acknowledgements: list[Signature]) -> Rollout:
    """ROLLOUT of a policy that has every shift told, and approved so."""
    policy = msgspec.structs.replace(POLICY, acknowledged_within_s=28_800.0)
    plan = msgspec.structs.replace(PLAN, policy=policy)
    approval = msgspec.structs.replace(SIGNED, plan_digest=plan_digest(plan))
    mine = [msgspec.structs.replace(each, about=plan_digest(plan)) for each in acknowledgements]
    header = msgspec.structs.replace(ROLLOUT.header, approvals=[approval], acknowledgements=mine)
    return Rollout(header=header, plan=plan)


TOLD = Signature(
    who="ole", name="Ole", at=NOW, meaning=Meaning.ACKNOWLEDGED, reason="told", about=""
)
EMERGENCY = msgspec.structs.replace(SIGNED, change=ChangeType.EMERGENCY)
TEMPORARY = msgspec.structs.replace(SIGNED, change=ChangeType.TEMPORARY, until=NOW)


@dataclass(frozen=True)
class Row:
    """One request, and what it is told; "" is yes."""

    ask: Ask
    why: str


L2_CELL = place("g9", "L1", "C9")
ROWS = {
    "all is well: granted": Row(ASK, ""),
    "a hold stands": Row(
        replace(ASK, rollout=with_(holds={Hold.OPERATOR: "wait"})), "is held (operator"
    ),
    "no approval": Row(replace(ASK, rollout=with_(approvals=[])), "needs 1 approvals"),
    "approval of another plan": Row(
        replace(
            ASK,
            rollout=with_(
                approvals=[msgspec.structs.replace(SIGNED, plan_digest="sha256:" + "0" * 64)]
            ),
        ),
        "needs 1 approvals",
    ),
    "an approval that has grown old": Row(
        replace(ASK, now=NOW + timedelta(days=30)), "its approval has expired"
    ),
    "a temporary change that has ended": Row(
        replace(ASK, rollout=with_(approvals=[TEMPORARY])), "the temporary change ended"
    ),
    "an emergency on one signature": Row(
        replace(ASK, rollout=with_(approvals=[EMERGENCY]), now=NOW + timedelta(hours=23)), ""
    ),
    "an emergency a day later": Row(
        replace(ASK, rollout=with_(approvals=[EMERGENCY]), now=NOW + timedelta(hours=24)),
        "the second signature under an emergency was due",
    ),
    "a safety zone that no shift knows of": Row(
        replace(ASK, safety=True, rollout=told([])), "has to be acknowledged by the shift"
    ),
    "a safety zone that the shift knows of": Row(
        replace(ASK, safety=True, rollout=told([TOLD])), ""
    ),
    "a safety zone that an earlier shift knew of": Row(
        replace(ASK, safety=True, rollout=told([TOLD]), now=NOW + timedelta(hours=8)),
        "has to be acknowledged by the shift",
    ),
    "elsewhere no shift need know": Row(replace(ASK, rollout=told([])), ""),
    "its cohort may not activate": Row(replace(ASK, activate=False), "may not activate yet"),
    "another release than assigned": Row(
        replace(ASK, request=msgspec.structs.replace(REQUEST, digest=V1.digest)), "not assigned"
    ),
    "no assignment at all": Row(replace(ASK, rollout=None), "not assigned"),
    "another attempt": Row(
        replace(ASK, request=msgspec.structs.replace(REQUEST, attempt=2)), "expected attempt 1"
    ),
    "a rollback is ordered": Row(replace(ASK, rollback_wanted=True), "a rollback is ordered"),
    "vetoed elsewhere": Row(replace(ASK, vetoed="g1: smoke"), "vetoed: g1: smoke"),
    "the partner is in the air": Row(
        replace(ASK, neighbours={"g3": replace(FINE, in_flight=True, why="trial")}),
        "its partner g3 is changing",
    ),
    "the partner is not well": Row(
        replace(ASK, neighbours={"g3": replace(FINE, healthy=False, why="silent")}),
        "its partner g3 is not healthy (silent)",
    ),
    "the partner has no model yet": Row(
        replace(ASK, neighbours={"g3": replace(FINE, healthy=False, serving=False)}), ""
    ),
    "another cell of the line is open": Row(
        replace(ASK, neighbours={"g9": Neighbour(L2_CELL, True, True, True, "trial")}),  # noqa: FBT003 - a table row
        "line L1 has cell C9 (g9) changing (trial)",
    ),
    "it says since when, and until when": Row(
        replace(
            ASK,
            neighbours={
                "g9": Neighbour(
                    L2_CELL,
                    in_flight=True,
                    healthy=False,
                    serving=True,
                    doing="in trial",
                    since=NOW.replace(hour=2, minute=14),
                    until=NOW.replace(minute=44),
                )
            },
        ),
        "DEFER: line L1 has cell C9 (g9) in trial since 02:14 UTC; retry 08:44 UTC",
    ),
    "a partner that takes longer than it should": Row(
        replace(
            ASK,
            neighbours={
                "g3": replace(
                    FINE,
                    in_flight=True,
                    doing="in trial",
                    since=NOW.replace(hour=2, minute=14),
                    until=NOW,
                )
            },
        ),
        "DEFER: its partner g3 is in trial since 02:14 UTC",
    ),
    "two gateways of one cell may move together": Row(
        replace(
            ASK,
            neighbours={
                "g9": Neighbour(
                    place("g9", "L1", "C2"), in_flight=True, healthy=False, serving=True
                )
            },
        ),
        "",
    ),
    "another line does not matter": Row(
        replace(ASK, neighbours={"g4": Neighbour(G4, True, True, True, "trial")}),  # noqa: FBT003 - a table row
        "",
    ),
    "a safety zone outside its window": Row(
        replace(ASK, safety=True, rollout=windowed(SHUT)), "inside a change window"
    ),
    "a safety zone too late in its window": Row(
        replace(ASK, safety=True, rollout=windowed(SHORT), now=NOW.replace(minute=0, second=30)),
        "needs 52 s inside",
    ),
    "a safety zone in time": Row(replace(ASK, safety=True, rollout=windowed(SHORT)), ""),
    "a safety zone by a clock nobody trusts": Row(
        replace(ASK, safety=True, clock_trusted=False, rollout=windowed(SHUT)),
        "not synchronised, so no change window can open; the next change window opens at",
    ),
    "an untrusted clock elsewhere": Row(replace(ASK, clock_trusted=False), ""),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_guards(row: Row) -> None:
    """Yes, or the one reason why not."""
    answer = decide(row.ask)
    if not row.why:
        assert isinstance(answer, Granted)
    else:
        assert isinstance(answer, Deferred)
        assert row.why in answer.reason


CELLS = st.lists(
    st.tuples(st.sampled_from(["L1", "L2"]), st.sampled_from(["C1", "C2", "C3"]), st.booleans()),
    max_size=12,
)


@given(CELLS, st.sampled_from(["C1", "C2", "C3"]))
def test_one_open_cell_a_line(others: list[tuple[str, str, bool]], cell: str) -> None:
    """Whoever else flies, of whatever rollout: yes if and only if no other cell is open (S9)."""
    neighbours = {
        f"n{number}": Neighbour(
            place(f"n{number}", line, at), in_flight=flies, healthy=True, serving=True
        )
        for number, (line, at, flies) in enumerate(others)
    }
    mine = place("g2", "L1", cell)
    answer = decide(replace(ASK, place=mine, neighbours=neighbours))
    open_cells = {at for line, at, flies in others if flies and line == "L1"}
    assert isinstance(answer, Granted) is (open_cells <= {cell})


GRANT = Grant(
    serial="g2",
    rollout="r",
    digest=V2.digest,
    attempt=1,
    boot_epoch=3,
    epoch=1,
    seen=(3, 10),
    valid_s=20.0,
    at=NOW,
)


def test_a_repeat_gets_what_is_left() -> None:
    """The same question again renews nothing: the lease stays as long as it was."""
    again = msgspec.structs.replace(REQUEST, boot_epoch=GRANT.boot_epoch)
    answer = decide(replace(ASK, request=again, grant=GRANT, left_s=7.5))
    assert answer == Granted(7.5, renewed=True)


def test_a_lease_does_not_survive_a_restart() -> None:
    """Asked again after a restart: not before the first report of the new start has come."""
    assert isinstance(decide(replace(ASK, grant=GRANT, left_s=7.5)), Deferred)


def test_a_lease_nearly_over_is_not_given_again() -> None:
    """What is left would not reach the gateway in time; it asks again when it is settled."""
    again = msgspec.structs.replace(REQUEST, boot_epoch=GRANT.boot_epoch)
    assert isinstance(decide(replace(ASK, request=again, grant=GRANT, left_s=0.2)), Deferred)


def said(state: UpdateState, attempt: int = 1) -> UpdateReport:
    """A report about the granted release."""
    return UpdateReport(digest=V2.digest, attempt=attempt, state=state)


LATE = lease_s(GRANT) + 1
FREE = {
    "committed": (said(UpdateState.COMMITTED), (3, 11), 5.0, 0.0, True),
    "rolled back": (said(UpdateState.ROLLED_BACK), (3, 11), 5.0, 0.0, True),
    "on trial, however long": (said(UpdateState.TRIAL), (3, 11), 9999.0, 0.0, False),
    "on trial and silent": (said(UpdateState.TRIAL), (3, 11), 9999.0, 9000.0, False),
    "nothing heard since, lease over": (None, (3, 10), 9999.0, 9999.0, False),
    "heard before the lease was over, silent since": (
        said(UpdateState.AWAITING_PERMIT),
        (3, 11),
        9999.0,
        9990.0,
        False,
    ),
    "heard after the lease was over, nothing started": (
        said(UpdateState.STAGED),
        (3, 12),
        LATE,
        0.0,
        True,
    ),
    "lease not over yet": (said(UpdateState.STAGED), (3, 12), 10.0, 0.0, False),
    "started anew with nothing in the air": (said(UpdateState.STAGED), (4, 1), 2.0, 0.0, True),
    "started anew in the middle of its trial": (said(UpdateState.TRIAL), (4, 1), 2.0, 0.0, False),
}


@pytest.mark.parametrize("row", FREE.values(), ids=FREE.keys())
def test_when_a_lock_is_free(
    row: tuple[UpdateReport | None, tuple[int, int], float, float, bool],
) -> None:
    """A lock is free by a terminal report, or by a report made after the lease."""
    report, key, held_s, heard_s, free = row
    why = settled(GRANT, report, key, held_s=held_s, heard_s=heard_s)
    assert (why is not None) is free
