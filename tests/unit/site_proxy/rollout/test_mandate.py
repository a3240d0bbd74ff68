"""What the signatures under a plan amount to: what counts, what lacks, what is due when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.rollout import (
    Approval,
    ApproverRole,
    ChangeType,
    Meaning,
    PinRule,
    Plan,
    Revocation,
    RolloutState,
    Signature,
)
from edge_site_proxy.rollout.approvals.mandate import (
    Lapse,
    Mandate,
    acknowledged,
    mandate,
    needs_pin,
)
from edge_site_proxy.rollout.records import Header, Rollout, plan_digest
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ROLES = [
    ApproverRole(name="process", group="p-safety", required=True),
    ApproverRole(name="quality", group="quality", meaning=Meaning.REVIEWED),
    ApproverRole(name="works", group="works"),
]


def rollout(
    approvals: list[Approval] | None = None,
    *,
    policy: Mapping[str, object] | None = None,
    **header: Any,  # of any field
) -> Rollout:
    """A rollout under way with *approvals*, each given the digest of its plan."""
    plan = Plan(
        rollout="r",
        release=V2,
        rollback_to=V1,
        author="ci",
        created=NOW,
        policy=msgspec.structs.replace(
            POLICY, **{"approval_valid_s": 30 * 86_400.0, **(policy or {})}
        ),
        cohorts=[],
    )
    digest = plan_digest(plan)
    signed = [
        msgspec.structs.replace(each, plan_digest=digest) if each.plan_digest == "" else each
        for each in approvals or []
    ]
    made = Header(
        id="r",
        state=RolloutState.ACTIVATING,
        approvals=signed,
        created=NOW,
        changed=NOW - 40 * DAY,
    )
    return Rollout(header=msgspec.structs.replace(made, **header), plan=plan)


def by(who: str, ago: timedelta = HOUR, **changes: object) -> Approval:
    """Somebody's approval, some time ago."""
    made = Approval(who=who, at=NOW - ago, ticket="CHG-1", reason="ok", plan_digest="")
    return msgspec.structs.replace(made, **changes)


EMERGENCY: dict[str, Any] = {"change": ChangeType.EMERGENCY}
TEMPORARY: dict[str, Any] = {"change": ChangeType.TEMPORARY, "until": NOW + HOUR}
ENDED: dict[str, Any] = {"change": ChangeType.TEMPORARY, "until": NOW}
TAKEN = [
    Revocation(
        who="olga", name="Olga", at=NOW, reason="wrong ticket", roll_back=False, voided=[by("ana")]
    )
]


@dataclass(frozen=True)
class Row:
    """A rollout, why nothing may move under it, and who must still sign."""

    rollout: Rollout
    lapse: Lapse | None = None
    open: tuple[str, ...] = ()


TWO, THREE = {"approvals": 2}, {"approvals": 3}
VOICES = {"approvals": 2, "approver_roles": ROLES}

ROWS = {
    "nobody has signed": Row(rollout(), Lapse.UNSIGNED, ("1 more approver",)),
    "one of one has": Row(rollout([by("ana")])),
    "one of two has": Row(rollout([by("ana")], policy=TWO), Lapse.UNSIGNED, ("1 more approver",)),
    "one of three has": Row(
        rollout([by("ana")], policy=THREE), Lapse.UNSIGNED, ("2 more approvers",)
    ),
    "two of two have": Row(rollout([by("ana"), by("bob")], policy=TWO)),
    "the same person twice is one": Row(
        rollout([by("ana"), by("ana")], policy=TWO), Lapse.UNSIGNED, ("1 more approver",)
    ),
    "of another plan it does not count": Row(
        rollout([by("ana", plan_digest="sha256:" + "0" * 64)]),
        Lapse.UNSIGNED,
        ("1 more approver",),
    ),
    "reviewed is not approved": Row(
        rollout([by("ana", meaning=Meaning.REVIEWED)]), Lapse.UNSIGNED, ("1 more approver",)
    ),
    "witnessed is not approved": Row(
        rollout([by("ana", meaning=Meaning.WITNESSED)]), Lapse.UNSIGNED, ("1 more approver",)
    ),
    "an approval grows old": Row(
        rollout([by("ana", 30 * DAY)]), Lapse.EXPIRED, ("1 more approver",)
    ),
    "and counts to its last moment": Row(rollout([by("ana", 30 * DAY - timedelta(seconds=1))])),
    "one that is renewed counts again": Row(rollout([by("ana", 31 * DAY), by("ana")])),
    "a clock set back does not renew it": Row(
        rollout([by("ana", 29 * DAY)], changed=NOW + DAY), Lapse.EXPIRED, ("1 more approver",)
    ),
    "taken back": Row(rollout(revocations=TAKEN), Lapse.REVOKED, ("1 more approver",)),
    "taken back, and one of two has signed anew": Row(
        rollout([by("ana")], policy=TWO, revocations=TAKEN), Lapse.REVOKED, ("1 more approver",)
    ),
    "taken back, and approved anew": Row(rollout([by("bob")], revocations=TAKEN)),
    "a temporary change stands until its end": Row(rollout([by("ana", **TEMPORARY)])),
    "and not a moment longer": Row(
        rollout([by("ana", **ENDED)]), Lapse.TEMPORARY_OVER, ("1 more approver",)
    ),
    "renewed it stands": Row(rollout([by("ana", **ENDED), by("ana", **TEMPORARY)])),
    "an emergency begins on one": Row(
        rollout([by("ana", **EMERGENCY)]), None, ("1 more approver",)
    ),
    "also where three are needed": Row(
        rollout([by("ana", **EMERGENCY)], policy=THREE), None, ("2 more approvers",)
    ),
    "for a day": Row(
        rollout([by("ana", DAY - timedelta(seconds=1), **EMERGENCY)]), None, ("1 more approver",)
    ),
    "then the second is missing": Row(
        rollout([by("ana", DAY, **EMERGENCY)]), Lapse.SECOND_MISSING, ("1 more approver",)
    ),
    "signed late it stands again": Row(
        rollout([by("ana", 2 * DAY, **EMERGENCY), by("bob", **EMERGENCY)])
    ),
    "a review is no second signature": Row(
        rollout([by("ana", DAY, **EMERGENCY), by("bob", meaning=Meaning.REVIEWED, **EMERGENCY)]),
        Lapse.SECOND_MISSING,
        ("1 more approver",),
    ),
    "a review alone begins no emergency": Row(
        rollout([by("ana", meaning=Meaning.REVIEWED, **EMERGENCY)]),
        Lapse.UNSIGNED,
        ("2 more approvers",),
    ),
    "of roles nobody was heard": Row(
        rollout(policy=VOICES),
        Lapse.UNSIGNED,
        ("process (group p-safety)", "1 more of quality, works"),
    ),
    "the required one was not heard": Row(
        rollout([by("ana", role="works")], policy=VOICES),
        Lapse.UNSIGNED,
        ("process (group p-safety)",),
    ),
    "the required one and another were": Row(
        rollout([by("ana", role="works"), by("bob", role="process")], policy=VOICES)
    ),
    "enough others do not replace it": Row(
        rollout(
            [by("ana", role="works"), by("bob", role="quality", meaning=Meaning.REVIEWED)],
            policy=VOICES,
        ),
        Lapse.UNSIGNED,
        ("process (group p-safety)",),
    ),
    "a role says what it has to say": Row(
        rollout([by("bob", role="process"), by("ana", role="quality")], policy=VOICES),
        Lapse.UNSIGNED,
        ("1 more of quality, works",),
    ),
    "a role is lent once": Row(
        rollout([by("bob", role="process"), by("ana", role="process")], policy=VOICES),
        Lapse.UNSIGNED,
        ("1 more of quality, works",),
    ),
    "a person lends one role": Row(
        rollout([by("bob", role="process"), by("bob", role="works")], policy=VOICES),
        Lapse.UNSIGNED,
        ("1 more of quality, works",),
    ),
    "a signature for no role does not count": Row(
        rollout([by("bob", role="process"), by("ana")], policy=VOICES),
        Lapse.UNSIGNED,
        ("1 more of quality, works",),
    ),
    "a required reviewer is named as that": Row(
        rollout(policy={"approver_roles": [msgspec.structs.replace(ROLES[1], required=True)]}),
        Lapse.UNSIGNED,
        ("quality (group quality, reviewed)",),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_mandate(row: Row) -> None:
    """Nothing moves while it lapses, and the words say why exactly then."""
    found = mandate(row.rollout, NOW)
    assert (found.lapse, found.open) == (row.lapse, row.open)
    assert bool(found.words) is (row.lapse is not None)
    assert found.complete is (not row.open)


WORDS = {
    "nobody has signed": "needs 1 approvals of this plan, has 0",
    "one of two has": "needs 2 approvals of this plan, has 1",
    "taken back": "olga took the approval back: wrong ticket; it has to be approved anew",
    "an approval grows old": "its approval has expired; it has to be approved anew",
    "and not a moment longer": "the temporary change ended at 2026-11-23 08:00 UTC: "
    "return to the release before it, or renew the approval",
    "then the second is missing": (
        "the second signature under an emergency was due at 2026-11-23 08:00 UTC"
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_words(name: str) -> None:
    """A gateway that is deferred, and whoever looks, reads why."""
    assert mandate(ROWS[name].rollout, NOW).words == WORDS[name]


SECOND = "the second signature is due"
OVER = "the temporary change ends: return or renew"
OLD = "the approval expires"
DUES: dict[str, tuple[list[Approval], list[tuple[str, timedelta]]]] = {
    "nothing while nobody has signed": ([], []),
    "an approval's own end": ([by("ana")], [(OLD, 30 * DAY - HOUR)]),
    "of two, the first that ends": (
        [by("ana", DAY), by("bob", 2 * DAY)],
        [(OLD, 28 * DAY)],
    ),
    "an emergency's second signature": (
        [by("ana", **EMERGENCY)],
        [(SECOND, DAY - HOUR), (OLD, 30 * DAY - HOUR)],
    ),
    "no more once it is there": (
        [by("ana", **EMERGENCY), by("bob", **EMERGENCY)],
        [(OLD, 30 * DAY - HOUR)],
    ),
    "a temporary change's end": (
        [by("ana", **TEMPORARY)],
        [(OVER, HOUR), (OLD, 30 * DAY - HOUR)],
    ),
    "the next first": (
        [by("ana", change=ChangeType.TEMPORARY, until=NOW + 90 * DAY)],
        [(OLD, 30 * DAY - HOUR), (OVER, 90 * DAY)],
    ),
}


@pytest.mark.parametrize("row", DUES.values(), ids=DUES.keys())
def test_dues(row: tuple[list[Approval], list[tuple[str, timedelta]]]) -> None:
    """What somebody has to do, and by when."""
    approvals, expected = row
    found = mandate(rollout(approvals), NOW).dues
    assert [(due.what, due.at - NOW) for due in found] == expected


def test_the_change_is_what_the_first_signer_says() -> None:
    """None before anybody has."""
    assert mandate(rollout(), NOW).change is None
    assert mandate(rollout([by("ana", **EMERGENCY)]), NOW).change is ChangeType.EMERGENCY


PEOPLE = st.sampled_from(["ana", "bob", "olga"])
SIGNED = st.builds(
    by,
    PEOPLE,
    st.timedeltas(timedelta(), 40 * DAY),
    change=st.sampled_from(ChangeType),
    until=st.none() | st.datetimes(timezones=st.just(UTC)),
    meaning=st.sampled_from(Meaning),
    role=st.sampled_from(["", "process", "quality", "works", "nobody"]),
)
POLICIES = st.fixed_dictionaries(
    {
        "approvals": st.integers(1, 3),
        "approver_roles": st.sampled_from([[], ROLES]),
    }
)


@given(st.lists(SIGNED, max_size=5), POLICIES)
def test_nothing_moves_without_a_yes(approvals: list[Approval], policy: dict[str, object]) -> None:
    """However it is signed: a mandate has somebody's yes in force, and as many as it says."""
    found: Mandate = mandate(rollout(approvals, policy=policy), NOW)
    if found.lapse is None:
        assert found.valid
        assert found.change is ChangeType.EMERGENCY or len({a.who for a in found.valid}) >= (
            found.needed
        )
    assert all(each.until is None or each.until > NOW for each in found.valid)
    assert all(NOW - each.at < 30 * DAY for each in found.valid)


PINS = {
    "never": (PinRule.NONE, True, False),
    "in a safety zone": (PinRule.SAFETY, True, True),
    "not elsewhere": (PinRule.SAFETY, False, False),
    "always": (PinRule.ALWAYS, False, True),
}


@pytest.mark.parametrize("row", PINS.values(), ids=PINS.keys())
def test_pin(row: tuple[PinRule, bool, bool]) -> None:
    """When a signature needs a PIN."""
    rule, safety, expected = row
    assert needs_pin(msgspec.structs.replace(POLICY, pin=rule), safety=safety) is expected


def known(ago: timedelta) -> Signature:
    """A shift's word."""
    return Signature(
        who="ole",
        name="Ole",
        at=NOW - ago,
        meaning=Meaning.ACKNOWLEDGED,
        reason="told at the handover",
        about="sha256:0",
    )


SHIFTS = {
    "none is asked for": (0.0, [], True),
    "nobody has": (3600.0, [], False),
    "this shift has": (3600.0, [known(HOUR - timedelta(seconds=1))], True),
    "the shift before has": (3600.0, [known(HOUR)], False),
    "the newest counts": (3600.0, [known(timedelta(0)), known(DAY)], True),
}


@pytest.mark.parametrize("row", SHIFTS.values(), ids=SHIFTS.keys())
def test_acknowledged(row: tuple[float, list[Signature], bool]) -> None:
    """Whoever is on shift when a safety zone moves knows of it."""
    within_s, signatures, expected = row
    assert acknowledged(told(within_s, signatures), NOW) is expected


def told(within_s: float, signatures: list[Signature], **header: Any) -> Rollout:
    """A rollout whose plan the shift has acknowledged so."""
    plan = rollout(policy={"acknowledged_within_s": within_s})
    mine = [msgspec.structs.replace(each, about=plan.plan_digest) for each in signatures]
    return rollout(policy={"acknowledged_within_s": within_s}, acknowledgements=mine, **header)


def test_a_shift_acknowledges_one_plan() -> None:
    """Not the one that is made after it; and a clock set back does not renew its word."""
    assert not acknowledged(
        rollout(policy={"acknowledged_within_s": 3600.0}, acknowledgements=[known(timedelta(0))]),
        NOW,
    )
    later = told(3600.0, [known(HOUR)], changed=NOW + DAY)
    assert not acknowledged(later, NOW - HOUR)
