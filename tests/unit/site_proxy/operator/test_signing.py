"""Signing by the operator API: PINs, what was shown, who has signed, and taking it back."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_core.contracts.api import Role, WhoAmI
from edge_core.contracts.gateway import PermitRequest, UpdateState
from edge_core.contracts.rollout import (
    ChangeType,
    Hold,
    PinRule,
    Policy,
    RolloutState,
    RolloutView,
)
from edge_core.contracts.shown import PARTS, shown_digest
from edge_core.contracts.signing import PinView
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.canonical import canonical
from edge_site_proxy.rollout.why import why_not
from tests.unit.site_proxy.operator.test_api import ALL, Console, console, problem
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2

pytestmark = pytest.mark.anyio
NAME = "pump-condition-1.0.0-r1"
PIN = "271828"
STRICT = msgspec.structs.replace(
    POLICY, pin=PinRule.SAFETY, safety_waivers=2, acknowledged_within_s=3600.0
)


@dataclass
class Desk:
    """A console at a site whose policy is strict, and whoever sits at it."""

    console: Console

    def sit(self, who: str, *groups: str) -> None:
        """Somebody else takes the chair."""
        self.console.people.name = who
        self.console.people.groups = frozenset(groups) or ALL

    async def has_pin(self, who: str, pin: str = PIN) -> None:
        """*who* sits down and sets a PIN."""
        self.sit(who)
        status, raw = await self.console.post("/v1/pin", {"new": pin})
        assert (status, msgspec.json.decode(raw, type=PinView).pin_set) == (200, True)

    async def post(self, verb: str, body: dict[str, Any], name: str = NAME) -> tuple[int, bytes]:
        """An order about what is there now."""
        view = await self.console.rollout(name)
        headers = {"If-Match": view.etag}
        return await self.console.post(f"/v1/rollouts/{name}/{verb}", body, **headers)

    async def approve(self, name: str = NAME, **changes: object) -> tuple[int, bytes]:
        """Sign what is shown."""
        view = await self.console.rollout(name)
        body = {
            "ticket": "CHG-1042",
            "reason": "as agreed",
            "line": "L1",
            "plan_digest": view.plan_digest,
            "shown": shown_digest(view),
            "pin": PIN,
            **changes,
        }
        return await self.post("approve", body, name)

    async def view(self, name: str = NAME) -> RolloutView:
        """What is there now."""
        return await self.console.rollout(name)

    async def log(self) -> bytes:
        """The whole audit log."""
        store = self.console.plant.site.store
        leaves = await store.read(lambda db: audit_log.leaves_after(db, -1, 10_000))
        return b"\n".join(map(bytes, leaves))


@asynccontextmanager
async def desk(folder: Path, policy: Policy = STRICT) -> AsyncIterator[Desk]:
    """A release waits for approval at a strict site."""
    async with console(folder, policy) as here:
        await here.plant.arrive(V1)
        await here.plant.beat()
        yield Desk(here)


def databases(folder: Path) -> list[bytes]:
    """What lies in the database and beside it."""
    return [path.read_bytes() for path in folder.glob("site.db*")]


async def test_signed_with_a_pin(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Refused without, with a wrong one, and without what was shown; kept with all that it says.

    The PIN is in no log, no event and no file.
    """
    caplog.set_level(logging.DEBUG)
    async with desk(tmp_path) as here:
        assert (await here.view()).pin_needed
        status, raw = await here.approve(pin=None)
        assert (status, "expected ana's PIN" in problem(raw).message) == (422, True)
        status, raw = await here.approve()
        assert (status, "expected one to be set" in problem(raw).message) == (403, True)
        await here.has_pin("ana")
        status, raw = await here.approve(pin="161803")
        assert (status, problem(raw).error) == (403, "WrongPinError")
        status, raw = await here.approve(shown="sha256:" + "0" * 64)
        assert (status, problem(raw).error) == (409, "RolloutChangedError")
        status, raw = await here.approve()
        assert status == 200, raw
        (approval,) = (await here.view()).approvals
        assert (approval.who, approval.name, approval.pin) == ("ana", "ana", True)
        assert approval.shown == shown_digest(await here.view())
        assert b"2025" in await here.log()
        seen = [await here.log(), caplog.text.encode(), "".join(capfd.readouterr()).encode()]
    seen += databases(tmp_path)
    assert not [each for each in seen if PIN.encode() in each or b"161803" in each]


async def test_what_is_shown_can_be_rebuilt(tmp_path: Path) -> None:
    """The digest under a signature is that of the canonical JSON of the parts that are named."""
    async with desk(tmp_path) as here:
        view = await here.view()
        parts = {name: msgspec.to_builtins(getattr(view, name)) for name in PARTS}
        expected = hashlib.sha256(canonical(parts)).hexdigest()
        assert shown_digest(view) == f"sha256:{expected}"


async def test_what_is_shown_stays(tmp_path: Path) -> None:
    """It is the same after an hour and while gateways move, whatever the end at best then is."""
    async with desk(tmp_path, POLICY) as here:
        before = await here.view()
        assert before.takes_min is not None
        here.console.plant.clock.turn(3600)
        later = await here.view()
        assert before.eta is not None
        assert later.eta is not None
        assert later.eta.ends != before.eta.ends
        assert shown_digest(later) == shown_digest(before)
        status, raw = await here.approve(pin=None, shown=shown_digest(before))
        assert status == 200, raw
        moving = before
        while moving.state is not RolloutState.COMPLETED:
            await here.console.plant.beat()
            moving = await here.view()
            assert shown_digest(moving) == shown_digest(before)
        longer = msgspec.structs.replace(before, takes_min=before.takes_min + 1)
        assert shown_digest(longer) != shown_digest(before)


async def test_pins_by_the_api(tmp_path: Path) -> None:
    """Everybody sets their own; only an admin resets one, and only with a reason."""
    async with desk(tmp_path) as here:
        await here.has_pin("ana")
        _, raw = await here.console.get("/v1/whoami")
        assert msgspec.json.decode(raw, type=WhoAmI).pin_set
        status, raw = await here.console.post("/v1/pin", {"new": "314159"})
        assert (status, "expected the old one" in problem(raw).message) == (403, True)
        order = {"user": "ana", "reason": "forgot it"}
        here.sit("bob", Role.APPROVER)
        status, _ = await here.console.post("/v1/pin/reset", order)
        assert status == 403
        here.sit("root", Role.ADMIN)
        status, raw = await here.console.post("/v1/pin/reset", order)
        assert (status, msgspec.json.decode(raw, type=PinView).pin_set) == (200, False)
        here.sit("vera", Role.VIEWER)
        status, _ = await here.console.post("/v1/pin", {"new": PIN})
        assert status == 403


async def test_wrong_pins_lock(tmp_path: Path) -> None:
    """Five wrong ones by approving, and the right one has to wait; nothing was approved."""
    async with desk(tmp_path) as here:
        await here.has_pin("ana")
        for _ in range(5):
            await here.approve(pin="161803")
        status, raw = await here.approve()
        assert (status, problem(raw).exit_code) == (503, 75)
        assert (await here.view()).approvals == []
        here.console.plant.clock.turn(900)
        status, _ = await here.approve()
        assert status == 200


async def test_an_emergency(tmp_path: Path) -> None:
    """One signature now; who must still sign by when is shown; without it, held with an alarm."""
    two = msgspec.structs.replace(STRICT, approvals=2)
    async with desk(tmp_path, two) as here:
        site = here.console.plant.site
        await here.has_pin("bob")
        await here.has_pin("ana")
        status, raw = await here.approve(change=ChangeType.EMERGENCY)
        assert status == 200, raw
        view = await here.view()
        assert view.state is not RolloutState.AWAITING_APPROVAL
        assert (view.change, view.signers_needed) == (ChangeType.EMERGENCY, ["1 more approver"])
        assert view.dues[0].what == "the second signature is due"
        assert view.dues[0].at - view.approvals[0].at == timedelta(days=1)
        here.console.plant.clock.turn(86_400)
        await here.console.plant.beat()
        held = await here.view()
        assert Hold.APPROVAL in held.holds
        assert f"rollout/{NAME}/approval" in {a.source for a in await site.alarms.standing()}
        here.sit("ana")
        status, raw = await here.approve(change=ChangeType.EMERGENCY)
        assert "ana has signed already" in problem(raw).message
        here.sit("bob")
        status, raw = await here.approve(change=ChangeType.EMERGENCY)
        assert status == 200, raw
        await here.console.plant.beat()
        after = await here.view()
        assert (Hold.APPROVAL in after.holds, after.signers_needed) == (False, [])


async def test_a_temporary_change_ends(tmp_path: Path) -> None:
    """Everywhere and over: held with an alarm until it is taken back or renewed."""
    loose = msgspec.structs.replace(STRICT, pin=PinRule.NONE, acknowledged_within_s=0.0)
    async with desk(tmp_path, loose) as here:
        plant = here.console.plant
        until = plant.clock.wall + timedelta(days=1)
        temporary = {"change": "temporary", "until": until.isoformat()}
        status, raw = await here.approve(pin=None, **temporary)
        assert status == 200, raw
        await plant.until(V1, RolloutState.COMPLETED)
        assert Hold.APPROVAL not in (await here.view()).holds
        plant.clock.turn(86_400)
        await plant.beat()
        held = await here.view()
        assert Hold.APPROVAL in held.holds
        assert "return to the release before it, or renew" in held.why
        later = {"change": "temporary", "until": (until + timedelta(days=2)).isoformat()}
        status, raw = await here.approve(pin=None, **later)
        assert status == 200, raw
        await plant.beat()
        assert (await here.view()).holds == []


async def test_the_shift_acknowledges(tmp_path: Path) -> None:
    """Gateways in a safety zone wait for the word of the shift, the others do not."""
    loose = msgspec.structs.replace(STRICT, pin=PinRule.NONE)
    async with desk(tmp_path, loose) as here:
        plant = here.console.plant
        await here.approve(pin=None)
        for _ in range(80):
            await plant.beat()
        assert (await here.view()).acknowledgement_needed
        assert plant.gateways["g5"].committed is None
        assert plant.gateways["g4"].committed == V1.digest
        assert "acknowledged by the shift" in why_not(plant.site.world, "g5")
        here.sit("ole", Role.OPERATOR)
        status, raw = await here.post("acknowledge", {"reason": "told at the handover"})
        assert status == 200, raw
        view = msgspec.json.decode(raw, type=RolloutView)
        assert (view.acknowledgement_needed, view.acknowledgements[0].who) == (False, "ole")
        await plant.until(V1, RolloutState.COMPLETED)
        assert plant.gateways["g5"].committed == V1.digest
        here.sit("lea", Role.LABELLER)
        status, _ = await here.post("acknowledge", {"reason": "told at the handover"})
        assert status == 403


async def flying(here: Desk) -> str:
    """V1 is everywhere, V2 is approved, and one gateway tries it; that one."""
    plant = here.console.plant
    await plant.bring(V1)
    await plant.arrive(V2)
    await plant.beat()
    await plant.approve(V2)
    for _ in range(200):
        for serial, gateway in plant.gateways.items():
            if gateway.state is UpdateState.TRIAL:
                return serial
        await plant.beat()
    raise AssertionError("no gateway ever tried it")


SECOND = "pump-condition-2.0.0-r2"


async def test_revoked_in_flight(tmp_path: Path) -> None:
    """No more permits, the trial runs to its own end, and who has committed stays.

    It goes on when it has been approved anew.
    """
    loose = msgspec.structs.replace(STRICT, pin=PinRule.NONE, acknowledged_within_s=0.0)
    async with desk(tmp_path, loose) as here:
        plant = here.console.plant
        serial = await flying(here)
        here.sit("ole", Role.OPERATOR)
        status, _ = await here.post("revoke", {"reason": "wrong ticket"}, SECOND)
        assert status == 403
        here.sit("olga")
        status, raw = await here.post("revoke", {"reason": "wrong ticket"}, SECOND)
        assert status == 200, raw
        view = msgspec.json.decode(raw, type=RolloutView)
        assert (view.holds, view.approvals) == ([Hold.APPROVAL], [])
        assert view.revocations[0].roll_back is False
        for _ in range(20):
            await plant.beat()
        assert plant.gateways[serial].committed == V2.digest
        assert sum(each.committed == V2.digest for each in plant.gateways.values()) == 1
        status, raw = await here.post("resume", {"reason": "never mind"}, SECOND)
        assert (status, "found approval" in problem(raw).message) == (422, True)
        status, raw = await here.approve(SECOND, pin=None)
        assert status == 200, raw
        await plant.until(V2, RolloutState.COMPLETED)


async def test_revoked_with_everybody(tmp_path: Path) -> None:
    """Whoever takes the approval back may have everybody go back as well, in one order."""
    loose = msgspec.structs.replace(STRICT, pin=PinRule.NONE, acknowledged_within_s=0.0)
    async with desk(tmp_path, loose) as here:
        plant = here.console.plant
        await flying(here)
        here.sit("olga")
        order = {"reason": "wrong ticket", "roll_back": True}
        status, raw = await here.post("revoke", order, SECOND)
        assert status == 200, raw
        view = msgspec.json.decode(raw, type=RolloutView)
        assert (view.state, view.revocations[0].roll_back) == (RolloutState.ROLLING_BACK, True)
        await plant.until(V2, RolloutState.ROLLED_BACK)
        assert {each.effective for each in plant.gateways.values()} == {V1.digest}


async def test_a_permit_that_is_out_is_called_back(tmp_path: Path) -> None:
    """An unused permit is named in the log and not renewed, and counts until it is settled."""
    loose = msgspec.structs.replace(STRICT, pin=PinRule.NONE, acknowledged_within_s=0.0)
    async with desk(tmp_path, loose) as here:
        plant = here.console.plant
        await here.approve(pin=None)
        while plant.rollout(V1).state is not RolloutState.ACTIVATING:
            await plant.beat()
        serial = plant.rollout(V1).plan.cohorts[0].members[0]
        request = PermitRequest(digest=V1.digest, attempt=1, boot_epoch=1)
        assert (await plant.site.permit(serial, request)).granted  # and the answer is lost
        here.sit("olga")
        status, raw = await here.post("revoke", {"reason": "wrong ticket"})
        assert status == 200, raw
        assert f'"permits_cancelled":["{serial}"]'.encode() in await here.log()
        answer = await plant.site.permit(serial, request)
        assert (answer.granted, "took the approval back" in answer.reason) == (False, True)
        assert serial in plant.site.world.grants
        _, desired = await plant.site.desired(serial)
        assert desired.assignment is not None
        assert not desired.assignment.activate


async def test_two_waive_a_gate(tmp_path: Path) -> None:
    """Where a safety zone is touched the first signs, with PIN, and the second has it go on."""
    endless = msgspec.structs.replace(STRICT.gate, inferences_min=10**6)
    async with desk(tmp_path, msgspec.structs.replace(STRICT, gate=endless)) as here:
        plant = here.console.plant
        for who in ("ana", "bob", "olga"):
            await here.has_pin(who)
        here.sit("ana")
        await here.approve()
        await here.post("acknowledge", {"reason": "told at the handover"})
        await plant.until(V1, RolloutState.SOAKING)
        world = plant.site.world
        soak_max_s = world.rollouts[NAME].plan.policy.gate.soak_max_s
        plant.clock.turn(soak_max_s)
        await plant.beat([])
        assert Hold.GATE_INCONCLUSIVE in (await here.view()).holds
        shown = shown_digest(await here.view())
        body = {"reason": "the line stood still", "shown": shown, "pin": PIN}
        here.sit("bob")
        status, raw = await here.post("resume", {**body, "pin": None})
        assert (status, "expected bob's PIN" in problem(raw).message) == (422, True)
        status, raw = await here.post("resume", body)
        assert status == 200, raw
        view = msgspec.json.decode(raw, type=RolloutView)
        assert Hold.GATE_INCONCLUSIVE in view.holds
        assert ([each.who for each in view.waivers], view.waivers_needed) == (["bob"], 2)
        status, raw = await here.post("resume", body)
        assert (status, "another person" in problem(raw).message) == (422, True)
        here.sit("olga")
        status, raw = await here.post("resume", body)
        assert status == 200, raw
        assert Hold.GATE_INCONCLUSIVE not in (await here.view()).holds


async def test_two_sign_at_once(tmp_path: Path) -> None:
    """One wins; the other sees who, when and why, with what is there now. Two needed, one each."""
    loose = msgspec.structs.replace(STRICT, pin=PinRule.NONE)
    async with desk(tmp_path, loose) as here:
        view = await here.view()
        body = {
            "ticket": "CHG-1042",
            "reason": "as agreed",
            "line": "L1",
            "plan_digest": view.plan_digest,
        }
        path, headers = f"/v1/rollouts/{NAME}", {"If-Match": view.etag}
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(here.console.post(f"{path}/{verb}", order, **headers))
                for verb, order in (("approve", body), ("cancel", {"reason": "not today"}))
            ]
        results = sorted(call.result() for call in calls)
        assert [status for status, _ in results] == [200, 409]
        lost = problem(results[1][1])
        assert "ana " in lost.message
        assert lost.current is not None
        assert lost.current.last_order in lost.message
