"""Where exactly a permit begins and ends: durations, repeats, and who else stands around."""

from dataclasses import replace

import msgspec
import pytest

from edge_core.contracts.gateway import PermitRequest, UpdateState
from edge_site_proxy.rollout.permits import Deferred, Granted, Neighbour, decide, lease_s, settled
from edge_site_proxy.rollout.records import Rollout, plan_digest
from tests.unit.site_proxy.plant.plant import POLICY, place
from tests.unit.site_proxy.rollout.test_permits import (
    ASK,
    G1,
    GRANT,
    PLAN,
    REQUEST,
    ROLLOUT,
    SIGNED,
    said,
    with_,
)

AGAIN = msgspec.structs.replace(REQUEST, boot_epoch=GRANT.boot_epoch)


def valid_for(seconds: float) -> Rollout:
    """ROLLOUT with permits of that length, approved so."""
    plan = msgspec.structs.replace(
        PLAN, policy=msgspec.structs.replace(POLICY, permit_valid_s=seconds)
    )
    approval = msgspec.structs.replace(SIGNED, plan_digest=plan_digest(plan))
    header = msgspec.structs.replace(ROLLOUT.header, approvals=[approval])
    return Rollout(header=header, plan=plan)


def test_a_permit_is_as_long_as_the_plan_says() -> None:
    """What was approved is what the gateway gets."""
    assert decide(replace(ASK, rollout=valid_for(17.0))) == Granted(17.0)


RETRIES = {
    "a quarter of a permit": (20.0, 5.0),
    "never within a second": (3.0, 1.0),
    "half a minute at most": (600.0, 30.0),
}


@pytest.mark.parametrize("name", RETRIES)
def test_when_to_ask_again(name: str) -> None:
    """Whoever is deferred asks again soon enough to take its turn, and does not hammer."""
    valid_s, retry_s = RETRIES[name]
    answer = decide(replace(ASK, rollout=valid_for(valid_s), activate=False))
    assert isinstance(answer, Deferred)
    assert answer.retry_after_s == retry_s


def test_when_to_ask_again_without_a_rollout() -> None:
    """Half a minute where nothing is assigned; five seconds where a lease has to settle."""
    unassigned = decide(replace(ASK, rollout=None))
    unsettled = decide(replace(ASK, grant=GRANT, left_s=7.5))
    assert isinstance(unassigned, Deferred)
    assert isinstance(unsettled, Deferred)
    assert (unassigned.retry_after_s, unsettled.retry_after_s) == (30.0, 5.0)


def test_a_reason_is_never_longer_than_it_may_be() -> None:
    """However many holds explain themselves, five hundred characters go to the gateway."""
    answer = decide(replace(ASK, vetoed="x" * 600))
    assert isinstance(answer, Deferred)
    assert len(answer.reason) == 500


@pytest.mark.parametrize(("left_s", "granted"), [(1.0, True), (0.99, False)])
def test_a_second_is_worth_sending(left_s: float, granted: bool) -> None:  # noqa: FBT001 - a row of the table
    """What is left of a lease is given again while it is a second or more."""
    answer = decide(replace(ASK, request=AGAIN, grant=GRANT, left_s=left_s))
    assert isinstance(answer, Granted) is granted


OTHERWISE: dict[str, PermitRequest] = {
    "another attempt": msgspec.structs.replace(AGAIN, attempt=2),
    "another start": msgspec.structs.replace(AGAIN, boot_epoch=GRANT.boot_epoch + 1),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_only_the_very_same_question_is_a_repeat(name: str) -> None:
    """Whoever asks for something else while a lease is out is deferred."""
    asked = OTHERWISE[name]
    rollout = with_(attempts={"g2": asked.attempt})
    answer = decide(replace(ASK, request=asked, rollout=rollout, grant=GRANT, left_s=7.5))
    assert isinstance(answer, Deferred)


def test_attempts_are_counted_for_each_gateway() -> None:
    """A second attempt is expected of the gateway that has had its first, and of no other."""
    second = msgspec.structs.replace(REQUEST, attempt=2)
    assert isinstance(
        decide(replace(ASK, request=second, rollout=with_(attempts={"g2": 2}))), Granted
    )
    assert isinstance(
        decide(replace(ASK, request=second, rollout=with_(attempts={"g1": 2}))), Deferred
    )


def test_a_partner_is_found_among_others() -> None:
    """Gateways of the line that are no partners do not hide the partner behind them."""
    partner = Neighbour(
        place("g3", "L2", "C3", group="pair"),
        in_flight=True,
        healthy=True,
        serving=True,
        why="trial",
    )
    other = Neighbour(G1, in_flight=False, healthy=True, serving=True)
    for neighbours in ({"a": other, "b": partner}, {"a": partner, "b": other}):
        answer = decide(replace(ASK, neighbours=neighbours))
        assert isinstance(answer, Deferred)
        assert "its partner" in answer.reason


def test_a_line_is_searched_to_its_end() -> None:
    """A cell that is quiet does not hide an open one behind it."""
    quiet = Neighbour(G1, in_flight=False, healthy=True, serving=True)
    open_ = replace(quiet, place=place("g9", "L1", "C9"), in_flight=True, why="trial")
    answer = decide(replace(ASK, neighbours={"g1": quiet, "g9": open_}))
    assert isinstance(answer, Deferred)
    assert "line L1 has cell C9 (g9) changing (trial)" in answer.reason


def test_a_lease_is_longer_here_than_there() -> None:
    """A hundredth for a slow clock and five seconds for a report on its way."""
    assert lease_s(GRANT) == pytest.approx(20.0 * 1.01 + 5.0)
    assert lease_s(GRANT) > GRANT.valid_s


END_S = lease_s(GRANT)
ENDS: dict[str, tuple[tuple[int, int], float, float, bool]] = {
    "heard as the lease ended": ((3, 11), END_S, 0.0, True),
    "heard just before": ((3, 11), END_S - 0.01, 0.0, False),
    "heard before, though it is over by now": ((3, 11), END_S + 9, 9.01, False),
    "no newer report than when it was given": ((3, 10), END_S + 9, 0.0, False),
    "the report it was given upon, from before a restart": ((2, 99), END_S + 9, 0.0, False),
}


@pytest.mark.parametrize("name", ENDS)
def test_when_a_lease_is_over(name: str) -> None:
    """A lock is free by a report that is newer than the grant and was made after the lease."""
    key, held_s, heard_s, free = ENDS[name]
    why = settled(GRANT, said(UpdateState.STAGED), key, held_s=held_s, heard_s=heard_s)
    assert (why is not None) is free


def test_an_earlier_attempt_says_nothing_about_this_one() -> None:
    """A failure that is reported of the attempt before does not free this one's lock."""
    later = msgspec.structs.replace(GRANT, attempt=2)
    ended = said(UpdateState.ROLLED_BACK, attempt=1)
    assert settled(later, ended, (3, 11), held_s=5.0, heard_s=0.0) is None
