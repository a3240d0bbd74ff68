"""The console as a person uses it: approve, hold, label, look around."""

from functools import partial
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.api import AlarmState
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.review import ItemState
from edge_core.contracts.rollout import ChangeType, Due, Hold, Meaning, RolloutState
from tests.simulators.site import Site
from tests.simulators.site_data import AT
from tests.unit.edgetui.made import Seat, seated

pytestmark = pytest.mark.anyio
WAITING = "ro-03-awaiting-approval"


async def open_approval(seat: Seat) -> None:
    """Go to the rollout that waits, arm, and open its dialog."""
    await seat.press("f2")
    await seat.shows(f"> {WAITING}")
    await seat.press("enter")
    await seat.shows("Rollouts >")
    await seat.press("e")
    await seat.press("A")
    await seat.shows("APPROVE", "F9 sign")
    seat.clock.forward(1.0)


async def test_approve_from_end_to_end(tmp_path: Path) -> None:
    """Arm, A, line, ticket, reason, F9: the site has the approval and its audit event."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.type("Line 2\tCHG-1042\tsoak was clean")
        await seat.press("f9")
        await seat.until(lambda: seat.site.rollouts[WAITING].state is RolloutState.APPROVED)
        await seat.shows("signed, approved")
        event = seat.site.audit[-1]
        approval = seat.site.rollouts[WAITING].approvals[-1]
    assert (event.kind, event.facts["ticket"]) == ("rollout.approved", "CHG-1042")
    assert approval.reason == "soak was clean"
    assert approval.plan_digest == seat.site.rollouts[WAITING].plan_digest


async def test_approve_with_a_pin(tmp_path: Path) -> None:
    """The PIN is asked for where one is needed, shown as dots, and remembered nowhere."""
    site = Site(now=lambda: AT, pin="271828")
    site.put(
        msgspec.structs.replace(
            site.rollouts[WAITING],
            pin_needed=True,
            change=ChangeType.EMERGENCY,
            signers_needed=["1 more approver"],
            dues=[Due(what="the second signature is due", at=AT, left_s=7200.0)],
            acknowledgement_needed=True,
        )
    )
    async with seated(tmp_path, site) as seat:
        await open_approval(seat)
        await seat.shows(
            "to sign   1 more approver",
            "the second signature is due: in 2 h",
            "the shift has to acknowledge it",
            "emergency",
        )
        await seat.type("Line 2\tCHG-1042\tsoak was clean\t161803")
        await seat.press("f9")
        await seat.shows("REFUSED", "it is another one")
        assert "161803" not in seat.text()
        await seat.press("escape")
        await seat.press("A")
        await seat.shows("soak was clean")
        await seat.type("Line 2\t\t\t271828")
        await seat.press("f9")
        await seat.until(lambda: seat.site.rollouts[WAITING].state is RolloutState.APPROVED)
        approval = seat.site.rollouts[WAITING].approvals[-1]
    assert (approval.pin, approval.change) == (True, ChangeType.EMERGENCY)
    assert approval.meaning is Meaning.APPROVED


TYPES = {
    "temporary": "NOT SENT  type: expected an end of a temporary change",
    "normal 2026-12-24": "NOT SENT  type: expected an end of a temporary change",
    "urgent": "NOT SENT  type: expected normal",
    "temporary soon": "NOT SENT  type: expected normal",
}


@pytest.mark.parametrize("typed", TYPES)
async def test_a_type_that_is_none(tmp_path: Path, typed: str) -> None:
    """A temporary change has an end, and no other has."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.type("Line 2\tCHG-1042\tsoak was clean\t")
        await seat.press(*["backspace"] * len("normal"))
        await seat.type(typed)
        await seat.press("f9")
        await seat.shows(TYPES[typed])
        assert seat.site.rollouts[WAITING].state is RolloutState.AWAITING_APPROVAL


async def test_what_is_signed_besides(tmp_path: Path) -> None:
    """Acknowledge, revoke, waive, set a PIN and reset one, each by its key and its dialog."""
    async with seated(tmp_path) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("e")
        for key, title, typed, kind in (
            ("K", "ACKNOWLEDGE", "told at the handover", "rollout.acknowledge"),
            ("V", "REVOKE THE APPROVAL", "stay\twrong ticket", "rollout.revoke"),
            ("U", "RESUME", "the noise is gone", "rollout.resume"),
            ("p", "YOUR PIN", "\t271828\t271828", "pin.set"),
            ("P", "RESET A PIN", "m.keller\tforgot it", "pin.reset"),
        ):
            await seat.press(key)
            await seat.shows(title, "F9 sign")
            seat.clock.forward(1.0)
            await seat.type(typed)
            await seat.press("f9")
            await seat.until(partial(_recorded, seat.site, kind), kind)
            await seat.until(partial(_gone, seat, title), "the dialog is gone")
            await seat.press("e")
        facts = {event.kind: event.facts for event in seat.site.audit}
    assert facts["rollout.revoke"] == {"reason": "wrong ticket", "roll_back": False}


def _recorded(site: Site, kind: str) -> bool:
    return site.audit[-1].kind == kind


def _gone(seat: Seat, title: str) -> bool:
    return f"{title}  " not in seat.text() and "F9 sign" not in seat.text()


async def test_a_gate_is_waived_with_a_pin(tmp_path: Path) -> None:
    """Where a gate holds, resuming says so, who has signed, and asks for the PIN."""
    site = Site(now=lambda: AT, pin="271828")
    held = msgspec.structs.replace(
        site.rollouts[WAITING], holds=[Hold.GATE_FAIL], pin_needed=True, waivers_needed=2
    )
    site.put(held)
    async with seated(tmp_path, site) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("e")
        await seat.press("U")
        await seat.shows("WAIVE THE GATE OF", "waived by 2, signed by nobody", "your PIN")
        seat.clock.forward(1.0)
        await seat.type("seen by the owner")
        await seat.press("f9")
        await seat.shows("NOT SENT  pin: expected 6 to 12 digits")
        await seat.type("271828")
        await seat.press("f9")
        await seat.until(partial(_recorded, seat.site, "rollout.resume"), "waived")


async def test_a_pin_typed_in_two_ways(tmp_path: Path) -> None:
    """It is not set, and the dialog stays."""
    async with seated(tmp_path) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("p")
        await seat.shows("YOUR PIN", "F9 sign")
        seat.clock.forward(1.0)
        await seat.type("\t271828\t271829")
        await seat.press("f9")
        await seat.shows("REFUSED  new PIN: expected the same twice")
        assert seat.site.pin is None


async def test_an_incomplete_approval_is_not_sent(tmp_path: Path) -> None:
    """Without ticket, with another line's name or without a reason nothing leaves the console."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.press("f9")
        await seat.shows(
            "NOT SENT  line: expected the name: Line 2",
            "NOT SENT  ticket: expected a ticket",
            "NOT SENT  reason: expected 3 to 500 letters",
        )
        await seat.type("Line 1\tchg 1042\tsoak was clean")
        await seat.press("f9")
        await seat.shows("NOT SENT  line", "NOT SENT  ticket")
        assert "NOT SENT  reason" not in seat.text()
        assert seat.site.rollouts[WAITING].state is RolloutState.AWAITING_APPROVAL


async def test_enter_never_signs(tmp_path: Path) -> None:
    """Enter goes from field to field however often it is pressed; only F9 signs."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.type("Line 2\tCHG-1042\tsoak was clean")
        await seat.press("enter", "enter", "enter", "enter")
        await seat.shows("F9 sign")
        assert seat.site.rollouts[WAITING].state is RolloutState.AWAITING_APPROVAL


async def test_escape_changes_nothing_and_keeps_a_draft(tmp_path: Path) -> None:
    """Leaving the dialog sends nothing; ticket and reason are there next time, the line is not."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.type("Line 2\tCHG-1042\tsoak was clean")
        await seat.press("escape")
        await seat.shows("nothing was sent")
        await seat.press("A")
        await seat.shows("CHG-1042", "soak was clean", "Line 2")
        await seat.press("f9")
        await seat.shows("NOT SENT  line")
        assert seat.site.rollouts[WAITING].state is RolloutState.AWAITING_APPROVAL


async def test_a_conflict_shows_what_changed(tmp_path: Path) -> None:
    """Somebody else was faster: nothing is done, the difference is shown and asked about."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.type("Line 2\tCHG-1042\tsoak was clean")
        now = seat.site.rollouts[WAITING]
        seat.site.put(msgspec.structs.replace(now, holds=[Hold.OPERATOR], why="mine first"))
        await seat.press("f9")
        await seat.shows("NOTHING WAS DONE", "CHANGED  state", "HELD: operator", "mine first")
        assert seat.site.rollouts[WAITING].state is RolloutState.AWAITING_APPROVAL
        await seat.press("f9")
        await seat.shows("NOT SENT  line")
        await seat.type("Line 2")
        await seat.press("f9")
        await seat.until(lambda: seat.site.rollouts[WAITING].state is RolloutState.APPROVED)


async def test_a_silent_site_blocks_approving(tmp_path: Path) -> None:
    """Once the feed is silent for too long the screen says STALE, and F9 sends nothing."""
    async with seated(tmp_path) as seat:
        await open_approval(seat)
        await seat.type("Line 2\tCHG-1042\tsoak was clean")
        seat.site.silent = True
        answered = seat.site.answered
        seat.clock.forward(3600.0)
        await seat.until(lambda: seat.desk.feed.stale, "STALE")
        await seat.press("f9")
        await seat.shows("NOT SENT", "STALE")
        assert seat.site.answered == answered
        assert seat.site.rollouts[WAITING].state is RolloutState.AWAITING_APPROVAL


async def test_a_stale_screen_opens_no_approval(tmp_path: Path) -> None:
    """On a stale screen the dialog does not even open, and the banner says since when."""
    async with seated(tmp_path) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        seat.site.silent = True
        seat.clock.forward(3600.0)
        await seat.shows("STALE", "no approving")
        await seat.press("e")
        await seat.press("A")
        await seat.shows("nothing is approved on old data")


async def test_capital_keys_are_dead_until_armed(tmp_path: Path) -> None:
    """A without e before it opens nothing and says so; a minute after arming it is dead again."""
    async with seated(tmp_path) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("A")
        await seat.shows("A is dead until you press e")
        await seat.press("e")
        await seat.shows("ARMED")
        seat.clock.forward(61.0)
        await seat.shows("VIEW ONLY")
        await seat.press("A")
        await seat.shows("A is dead until you press e")


async def test_keys_typed_ahead_do_not_answer_a_dialog(tmp_path: Path) -> None:
    """What was typed before the dialog could be seen is dropped, not put into its fields."""
    async with seated(tmp_path) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("e")
        seat.clock.hold()
        await seat.pilot.press("A", "H", "x", "x")
        seat.clock.forward(1.0)
        await seat.shows("APPROVE", "F9 sign")
        assert "xx" not in seat.text()


async def test_a_viewer_may_look_only(tmp_path: Path) -> None:
    """Without the role a key says who may; the dialog stays shut even when armed."""
    async with seated(tmp_path, Site(now=lambda: AT, may=[])) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("e")
        await seat.press("A")
        await seat.shows("your roles do not allow it")


async def test_the_other_rollout_orders(tmp_path: Path) -> None:
    """Hold, resume, cancel and rollback take a reason, then F9, and are audited."""
    orders = {"H": "hold", "U": "resume", "R": "rollback", "C": "cancel"}
    async with seated(tmp_path) as seat:
        await seat.press("f2")
        await seat.shows(f"> {WAITING}")
        await seat.press("e")
        for key, verb in orders.items():
            await seat.press(key)
            await seat.shows(f"{verb.upper()} {WAITING}")
            seat.clock.forward(1.0)
            await seat.type("line trouble")
            await seat.press("f9")
            await seat.until(partial(audited, seat, f"rollout.{verb}"))
            await seat.shows(f"{verb} done")
            assert seat.site.audit[-1].facts == {"reason": "line trouble"}
            etag = seat.site.rollouts[WAITING].etag
            await seat.until(partial(known, seat, etag), "the new state")
            seat.app.draw_now()


def known(seat: Seat, etag: str) -> bool:
    """Whether the console has the rollout as it is at the site."""
    view = seat.desk.feed.seen.rollout(WAITING)
    return view is not None and view.etag == etag


def audited(seat: Seat, kind: str) -> bool:
    """Whether the last event at the site is a *kind*."""
    return seat.site.audit[-1].kind == kind


async def test_gateway_orders(tmp_path: Path) -> None:
    """Roll back, safe mode and snapshot of the gateway under the cursor."""
    orders = {
        "R": "gateway.rollback_ordered",
        "S": "gateway.safe_mode",
        "N": "gateway.snapshot_ordered",
    }
    async with seated(tmp_path) as seat:
        await seat.press("f3")
        await seat.shows("> gw-0000")
        await seat.press("down")
        await seat.press("e")
        for key, kind in orders.items():
            await seat.press(key)
            await seat.shows("gw-0001", "F9 sign")
            seat.clock.forward(1.0)
            await seat.type("noise on the line")
            await seat.press("f9")
            await seat.until(partial(audited, seat, kind))
            await seat.until(lambda: "F9 sign" not in seat.text())
            assert seat.site.audit[-1].subject == "gw-0001"


async def test_a_gateway_shows_its_four_references(tmp_path: Path) -> None:
    """Golden, previous good, committed and candidate, each with its whole digest at 80 cells."""
    async with seated(tmp_path) as seat:
        await seat.press("f3")
        await seat.shows("> gw-0000")
        await seat.press("down", "enter")
        await seat.shows("Gateways > gw-0001", "golden", "previous good", "committed", "candidate")
        references = seat.site.gateways["gw-0001"].references
        assert references is not None
        for digest in (references.golden, references.candidate):
            assert digest is not None
            assert digest in seat.text()


async def test_a_filter_narrows_thousands_of_rows(tmp_path: Path) -> None:
    """5,000 gateways: the table opens at once, and a filter leaves those that match."""
    async with seated(tmp_path, Site(gateway_count=5000, now=lambda: AT)) as seat:
        await seat.press("f3")
        await seat.shows("Gateways 1/5000")
        await seat.press("slash")
        await seat.type("gw-4711")
        await seat.press("enter")
        await seat.shows("1/1  /gw-4711", "> gw-4711")
        await seat.press("escape")
        await seat.shows("/5000")


async def test_alarms_are_seen_and_shelved(tmp_path: Path) -> None:
    """Acknowledging takes a key; shelving asks for minutes and a reason."""
    async with seated(tmp_path) as seat:
        await seat.press("f4")
        await seat.shows("UNACK", "RB-01")
        await seat.press("k")
        await seat.until(lambda: seat.site.alarms[1].state is AlarmState.ACKED)
        await seat.press("home")
        await seat.press("z")
        await seat.shows("SHELVE")
        seat.clock.forward(1.0)
        await seat.type("60\tdisk on order")
        await seat.press("f9")
        await seat.until(
            lambda: sum(a.state is AlarmState.SHELVED for a in seat.site.alarms.values()) == 2
        )


async def test_ten_windows_labelled_with_an_undo(tmp_path: Path) -> None:
    """One key a window, undo goes back over windows, and the site has what was meant."""
    async with seated(tmp_path) as seat:
        await seat.press("f5")
        await seat.shows("item 1", "cavitation")
        for key in ("1", "2", "3"):
            await seat.pilot.press(key)
        await seat.pilot.press("u", "u")
        await seat.shows("item 2")
        for key in ("0", "n", "4", "enter", "1", "2", "3", "4", "0"):
            await seat.pilot.press(key)
        await seat.shows("stored 10", "sending 0")
        done = {
            number: [label.label for label in item.labels if not label.undone]
            for number, item in seat.site.items.items()
            if item.state is ItemState.LABELLED
        }
    assert done[1] == ["cavitation"]
    assert done[2] == ["normal"]
    assert done[3] == ["unsure"]
    assert done[5] == [seat.site.items[5].window.prediction]
    assert sorted(done) == list(range(1, 11))


async def test_a_hidden_proposal_is_not_accepted(tmp_path: Path) -> None:
    """Space hides what the model thinks; enter then labels nothing, and a label is blind."""
    async with seated(tmp_path) as seat:
        await seat.press("f5")
        await seat.shows("proposal  cavitation")
        await seat.press("space")
        await seat.shows("proposal hidden")
        await seat.press("enter")
        await seat.shows("the proposal is hidden")
        await seat.press("1")
        await seat.until(lambda: bool(seat.site.items[1].labels))
        assert seat.site.items[1].labels[0].proposal_shown is False


async def test_the_screen_follows_the_feed(tmp_path: Path) -> None:
    """A change at the site is on the screen without a key."""
    async with seated(tmp_path) as seat:
        now = seat.site.rollouts[WAITING]
        seat.site.put(msgspec.structs.replace(now, state=RolloutState.SOAKING))
        seat.site.touch("rollout", WAITING)
        await seat.until(lambda: "APPROVE" not in seat.text(), "no approval is needed any more")


async def test_a_frozen_screen_stays(tmp_path: Path) -> None:
    """Space holds the screen still and says so; space again lets it go on."""
    async with seated(tmp_path) as seat:
        await seat.press("space")
        await seat.shows("FROZEN")
        now = seat.site.rollouts[WAITING]
        seat.site.put(msgspec.structs.replace(now, state=RolloutState.SOAKING))
        seat.site.touch("rollout", WAITING)
        await seat.until(
            lambda: (
                (v := seat.desk.feed.seen.rollout(WAITING)) is not None
                and v.state is RolloutState.SOAKING
            )
        )
        seat.app.draw_now()
        assert "1 APPROVE" in seat.text()
        await seat.press("space")
        await seat.until(lambda: "1 APPROVE" not in seat.text())


async def test_go_to_a_thing_by_name(tmp_path: Path) -> None:
    """The palette goes to a gateway or rollout by a few letters, and does what a key does."""
    async with seated(tmp_path) as seat:
        await seat.press("ctrl+p")
        await seat.shows("Go to")
        seat.clock.forward(1.0)
        await seat.type("soaking")
        await seat.press("enter")
        await seat.shows("Rollouts >", "soaking")
        await seat.press("colon")
        await seat.shows("Go to")
        seat.clock.forward(1.0)
        await seat.type("audit")
        await seat.press("enter")
        await seat.shows("Audit")


async def test_the_number_of_what_needs_somebody_goes_there(tmp_path: Path) -> None:
    """2 on the overview opens the held rollout."""
    async with seated(tmp_path) as seat:
        await seat.press("2")
        await seat.shows("Rollouts >", "HELD: gate fail")
        await seat.press("escape")
        await seat.shows("ro-08-gated")


async def test_help_says_the_keys_of_this_screen(tmp_path: Path) -> None:
    """? lists the keys of the screen it was pressed on, and what the marks mean."""
    async with seated(tmp_path, size=(120, 60)) as seat:
        await seat.press("f4")
        await seat.press("question_mark")
        await seat.shows("Keys of alarms", "I have seen this alarm", "rtn-unk")


async def test_quit_says_what_is_not_stored(tmp_path: Path) -> None:
    """Labels that wait for the site are said before leaving; nothing else holds one back."""
    async with seated(tmp_path) as seat:
        await seat.press("f5")
        await seat.shows("item 1")
        seat.site.silent = True
        await seat.press("1")
        await seat.press("ctrl+q")
        await seat.shows("1 labels are not stored yet")
        await seat.press("ctrl+q")
    assert seat.app.return_value == 0


async def test_a_trial_shows_in_the_ladder(tmp_path: Path) -> None:
    """Committed members are counted a cohort, and hostile names stay on their line."""
    async with seated(tmp_path) as seat:
        view = seat.site.rollouts["ro-07-soaking"]
        members = [
            msgspec.structs.replace(m, state=UpdateState.COMMITTED, reason="\x1b[2J\u202egone")
            for m in view.members
        ]
        seat.site.put(msgspec.structs.replace(view, members=members))
        seat.site.touch("rollout", view.id)
        await seat.press("f2")
        await seat.press("slash")
        await seat.type("soaking")
        await seat.press("enter")
        await seat.press("enter")
        await seat.shows("early 2/2")
        assert "\x1b" not in seat.text()
        assert "\u202e" not in seat.text()
