"""The reports: tables by hand, the real thing from a plant, and no formula anywhere."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.errors import NotFoundError
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.export import export_log, open_read_only, verify_folder
from edge_site_proxy.audit.reports.access import access, drift
from edge_site_proxy.audit.reports.changes import changes_of
from edge_site_proxy.audit.reports.evidence import change_of, document, page
from edge_site_proxy.audit.reports.inventory import inventory
from edge_site_proxy.audit.reports.population import duties, emergencies, in_time, population
from edge_site_proxy.audit.reports.sheet import Sheet, as_csv, as_json_lines, cell, sheet
from edge_site_proxy.audit.reports.write import (
    Question,
    Report,
    opened_export,
    write_report,
)
from edge_site_proxy.audit.verify_audit import check_folder
from edge_site_proxy.rollout.orders import Sender
from tests.unit.site_proxy.plant.plant import V1, V2, plant

START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
Facts = dict[str, Any]  # Any: JSON values


@dataclass(frozen=True)
class Told:
    """One event in short: who, which kind, about what, how many hours after the start."""

    who: str
    kind: str
    subject: str
    facts: Facts
    hours: float


def log_of(told: Sequence[Told]) -> list[AuditEvent]:
    """The same as events."""
    return [
        AuditEvent(
            sequence=number,
            at=START + timedelta(hours=each.hours),
            clock_synchronised=True,
            who=each.who,
            kind=each.kind,
            subject=each.subject,
            facts=each.facts,
            previous="",
        )
        for number, each in enumerate(told)
    ]


def approval(who: str, hours: float, **more: str) -> Told:
    """A signature under the rollout `r`."""
    facts = {"plan": ONE, "ticket": "CHG-1", "reason": "agreed", **more}
    return Told(who, "rollout.signed", "r", facts, hours)


PLANNED = Told(
    "site-proxy",
    "rollout.planned",
    "r",
    {"release": TWO, "plan": ONE, "cohorts": {"canary": ["g1"], "rest": ["g2"]}, "state": "x"},
    1,
)
ARRIVED = Told(
    "site-proxy",
    "release.arrived",
    TWO,
    {"model": "pump", "version": "2.0", "author": "ci", "signers": ["key-a"]},
    0,
)


def permit(hours: float, serial: str = "g1") -> Told:
    """The site lets *serial* activate."""
    facts = {"rollout": "r", "digest": TWO, "attempt": 1}
    return Told(f"gateway:{serial}", "permit.granted", serial, facts, hours)


def ended(verb: str, hours: float, state: str) -> Told:
    """The rollout ends."""
    return Told("site-proxy", f"rollout.{verb}", "r", {"state": state}, hours)


def only(table: Sheet) -> dict[str, Any]:  # Any: cells
    """The one row of *table*."""
    (row,) = table.rows
    return dict(row)


def test_population() -> None:
    """One row a change, with what was asked, who signed when, and how it ended."""
    events = log_of(
        [ARRIVED, PLANNED, approval("ana", 2), permit(3), ended("completed", 5, "completed")]
    )
    table = population(events, None, None)
    assert table.name == "changes"
    assert only(table) == {
        "change": "r",
        "what": "rollout",
        "kind": "",
        "model": "pump",
        "version": "2.0",
        "release": TWO,
        "plan": ONE,
        "author": "ci",
        "tickets": "CHG-1",
        "approved_by": "ana",
        "approved_at": START + timedelta(hours=2),
        "first_activation_at": START + timedelta(hours=3),
        "approved_before_activation": True,
        "gateways": 1,
        "state": "completed",
        "ended_at": START + timedelta(hours=5),
        "rollback_ordered_at": None,
        "rollback_ordered_by": "",
        "rollback_reason": "",
        "began_at": START,
        "first_event": 0,
        "last_event": 4,
    }


def test_population_of_a_rollback() -> None:
    """A change that was rolled back says by whom and why; several tickets are named once each."""
    back = Told("bob", "rollout.rollback_ordered", "r", {"reason": "hot", "state": "going"}, 5)
    told = [PLANNED, approval("ana", 2), approval("eve", 3, ticket="CHG-2", change="normal")]
    events = log_of([*told, approval("ana", 3), permit(4), permit(4, "g2"), permit(4), back])
    row = only(population(events, None, None))
    assert (row["tickets"], row["approved_by"]) == ("CHG-1, CHG-2", "ana, eve")
    assert (row["kind"], row["gateways"], row["ended_at"]) == ("normal", 2, None)
    assert row["approved_at"] == START + timedelta(hours=3)
    assert (row["rollback_ordered_at"], row["rollback_ordered_by"], row["rollback_reason"]) == (
        START + timedelta(hours=5),
        "bob",
        "hot",
    )
    assert (row["author"], row["model"], row["first_event"], row["last_event"]) == ("", "", 0, 7)


PERIODS = {
    "the whole log": (None, None, 1),
    "a period that holds the approval": (1.5, 2.5, 1),
    "a period that holds the permit alone": (2.5, 3.5, 1),
    "a period after its end": (6, 9, 0),
    "a period that ends with its first event": (None, 0, 0),
    "a period that begins with its last event": (5, None, 1),
}


@pytest.mark.parametrize(("since", "until", "rows"), PERIODS.values(), ids=PERIODS.keys())
def test_period(since: float | None, until: float | None, rows: int) -> None:
    """A change belongs to every period in which anything of it happened."""
    events = log_of(
        [ARRIVED, PLANNED, approval("ana", 2), permit(3), ended("completed", 5, "completed")]
    )
    bounds = [None if each is None else START + timedelta(hours=each) for each in (since, until)]
    assert len(population(events, *bounds).rows) == rows


ORDERS = {
    "approved first": ([PLANNED, approval("ana", 2), permit(3)], True),
    "activated first": ([PLANNED, permit(2), approval("ana", 3)], False),
    "a clock that was set back does not count": ([PLANNED, approval("ana", 9), permit(3)], True),
    "never activated": ([PLANNED, approval("ana", 2)], None),
    "never approved": ([PLANNED, permit(2)], False),
}


@pytest.mark.parametrize(("told", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_in_time(told: list[Told], *, expected: bool | None) -> None:
    """Whether the approval stood before the first activation is told by the log's order."""
    (change,) = changes_of(log_of(told))
    assert in_time(change) is expected


def test_order_to_one_gateway_is_a_change() -> None:
    """A rollback of one gateway is in the population, with who and why."""
    facts = {"from": ONE, "reason": "vibrates"}
    row = only(
        population(log_of([Told("bob", "gateway.rollback_ordered", "g1", facts, 1)]), None, None)
    )
    assert (row["what"], row["gateways"], row["state"]) == (
        "rollback of one gateway",
        1,
        "ordered",
    )
    assert (row["rollback_ordered_by"], row["rollback_reason"]) == ("bob", "vibrates")


def test_duties() -> None:
    """Author and approver side by side, one of whom is the same person; and each override."""
    waived = {"holds": ["gate_fail"], "waived": "canary", "reason": "the sensor was dirty"}
    events = log_of(
        [
            ARRIVED,
            PLANNED,
            approval("ana", 2),
            approval("ci", 3),
            Told("bob", "rollout.resumed", "r", waived, 4),
            Told("bob", "rollout.resumed", "r", {"holds": ["operator"], "reason": "seen"}, 5),
            Told("bob", "rollout.held", "r", {"hold": "operator", "reason": "wait"}, 6),
        ]
    )
    matrix, overrides = duties(events, None, None)
    assert (matrix.name, overrides.name) == ("duties", "overrides")
    assert [tuple(row.values()) for row in matrix.rows] == [
        ("ci", "ana", 1, False),
        ("ci", "ci", 1, True),
    ]
    hour = timedelta(hours=1)
    assert [tuple(row.values()) for row in overrides.rows] == [
        (
            "r",
            START + 4 * hour,
            "bob",
            "gate waived",
            "canary",
            "gate_fail",
            "the sensor was dirty",
            4,
        ),
        ("r", START + 5 * hour, "bob", "hold taken away", "", "operator", "seen", 5),
    ]
    (other, _) = duties(log_of([PLANNED, approval("ana", 2)]), None, None)
    assert only(other)["author"] == "(no author in the log)"
    late = START + timedelta(hours=4.5)
    assert [len(table.rows) for table in duties(events, late, None)] == [0, 1]
    assert [len(table.rows) for table in duties(events, None, late)] == [2, 1]
    assert [len(table.rows) for table in duties(events, None, START + 3 * hour)] == [1, 0]
    revoked = Told("eve", "rollout.approval_revoked", "r", {"reason": "wrong plan"}, 2)
    (_, taken) = duties(log_of([PLANNED, revoked]), None, None)
    assert tuple(only(taken).values()) == (
        "r",
        START + 2 * hour,
        "eve",
        "approval taken back",
        "",
        "",
        "wrong plan",
        1,
    )


SECOND = {
    "a second signature after a day": ([approval("bob", 26)], "bob", 24.0),
    "nobody signed after": ([], "", None),
    "the same person again is no second": ([approval("ana", 5)], "", None),
    "the first of two others counts": ([approval("bob", 8), approval("eve", 9)], "bob", 6.0),
}


@pytest.mark.parametrize(("later", "who", "hours"), SECOND.values(), ids=SECOND.keys())
def test_emergency(later: list[Told], who: str, hours: float | None) -> None:
    """An emergency change shows who signed after it, and how long that took."""
    told = [ARRIVED, PLANNED, approval("ana", 2, change="emergency"), permit(3), *later]
    table = emergencies(log_of(told), None, None)
    row = only(table)
    assert table.name == "emergency"
    assert (row["first_signature_by"], row["second_signature_by"]) == ("ana", who)
    assert row["hours_between"] == hours
    assert row["first_signature_at"] == START + timedelta(hours=2)
    second = None if hours is None else START + timedelta(hours=2 + hours)
    assert row["second_signature_at"] == second
    assert row["events"] == ("2, 4" if who else "2")
    assert (row["change"], row["ticket"], row["reason"]) == ("r", "CHG-1", "agreed")
    assert (row["first_activation_at"], row["state"]) == (START + timedelta(hours=3), "x")


def test_emergency_of_a_period() -> None:
    """It belongs to each period in which something of it happened, activated or not."""
    told = [PLANNED, approval("ana", 2, change="emergency"), approval("bob", 2.4)]
    events, hour = log_of(told), timedelta(hours=1)
    assert only(emergencies(events, None, None))["first_activation_at"] is None
    assert only(emergencies(events, None, None))["hours_between"] == 0.4
    assert emergencies(events, START + 3 * hour, None).rows == ()
    assert emergencies(events, None, START + 0.5 * hour).rows == ()
    assert len(emergencies(events, START + 2 * hour, START + 3 * hour).rows) == 1


def test_normal_change_is_no_emergency() -> None:
    """What was approved in the usual way is not listed."""
    told = [ARRIVED, PLANNED, approval("ana", 2, change="normal")]
    assert emergencies(log_of(told), None, None).rows == ()


def runs(serial: str, digest: str | None, hours: float, **more: object) -> Told:
    """*serial* says what decides about its asset."""
    facts = {
        "asset": f"pump-{serial}",
        "line": "L1",
        "effective": digest,
        "running": digest,
        "since": (START + timedelta(hours=hours - 0.5)).isoformat(),
        "release": {"model": "pump", "version": "2.0"} if digest else None,
        "approvals": [{"who": "ana", "ticket": "CHG-1"}],
        "clock_synchronised": True,
        **more,
    }
    return Told(f"gateway:{serial}", "gateway.reference_changed", serial, facts, hours)


HISTORY = [
    runs("g1", ONE, 0.5),
    runs("g2", ONE, 0.5),
    PLANNED,
    runs("g1", TWO, 2),
    ended("completed", 3, "completed"),
    runs("g2", TWO, 6),
    Told("gateway:g2", "gateway.safe_mode_changed", "g2", {"on": True}, 7),
    Told("ana", "rollout.rollback_ordered", "r", {"reason": "x", "state": "rolling_back"}, 8),
    runs("g1", ONE, 9, running=TWO),
]
INSTANTS = {
    "before anything": (-1, {}, set()),
    "before the rollout": (1, {"g1": ONE, "g2": ONE}, set()),
    "at the boundary of a swap, which the gateway told later": (
        1.5,
        {"g1": TWO, "g2": ONE},
        set(),
    ),
    "one gateway is late": (
        5,
        {"g1": TWO, "g2": ONE},
        {("g2", "another release than its last rollout", 2.0)},
    ),
    "everybody has it": (6.5, {"g1": TWO, "g2": TWO}, set()),
    "one is in safe mode": (7.5, {"g1": TWO, "g2": TWO}, {("g2", "safe mode", 2.0)}),
    "a worker loaded another model": (
        9,
        {"g1": ONE, "g2": TWO},
        {("g1", "its worker loaded another model", 0.5), ("g2", "safe mode", 3.5)},
    ),
}


@pytest.mark.parametrize(("hours", "there", "strange"), INSTANTS.values(), ids=INSTANTS.keys())
def test_inventory(
    hours: float, there: dict[str, str], strange: set[tuple[str, str, float]]
) -> None:
    """What was installed at an instant, and what was not as it should be, with its age."""
    installed, deviations = inventory(log_of(HISTORY), START + timedelta(hours=hours))
    assert {row["gateway"]: row["release"] for row in installed.rows} == there
    found = {(row["gateway"], row["what"], row["age_hours"]) for row in deviations.rows}
    assert found == strange


def test_inventory_row() -> None:
    """Everything an auditor asks of one box, as the log had it."""
    told = [
        Told("gateway:g1", "gateway.config_changed", "g1", {"config": "sha256:c"}, 0),
        runs("g1", ONE, 1, software="edge 1", rollout="r"),
        runs("g0", ONE, 1, clock_synchronised=False, asset="a-last"),
        Told("site-proxy", "site.started", "1", {}, 5),
        runs("g2", TWO, 6, since=START.isoformat(), approvals=None, release=None),
    ]
    at = START + timedelta(hours=2)
    installed, deviations = inventory(log_of(told), at)
    assert (installed.name, deviations.name) == ("inventory", "deviations")
    last, one, two = installed.rows
    assert (last["asset"], one["asset"], two["asset"]) == ("a-last", "pump-g1", "pump-g2")
    assert dict(one) == {
        "asset": "pump-g1",
        "line": "L1",
        "gateway": "g1",
        "model": "pump",
        "version": "2.0",
        "release": ONE,
        "since": START + timedelta(hours=0.5),
        "software": "edge 1",
        "config": "sha256:c",
        "rollout": "r",
        "tickets": "CHG-1",
        "approved_by": "ana",
        "safe_mode": False,
        "clock_synchronised": True,
        "event": 1,
    }
    assert last["clock_synchronised"] is False
    assert (two["model"], two["tickets"], two["approved_by"]) == ("", "", "")
    assert [dict(row) for row in deviations.rows] == [
        {
            "asset": "pump-g2",
            "gateway": "g2",
            "what": "a release that this site never verified",
            "expected": "",
            "found": TWO,
            "since": START,
            "age_hours": 2.0,
            "event": 4,
        }
    ]


def test_replaced_gateway() -> None:
    """Where a box was replaced the new one alone is listed, and its own settings."""
    told = [
        runs("g1", ONE, 1),
        Told("gateway:g1", "gateway.safe_mode_changed", "g1", {"on": True}, 1),
        runs("g7", TWO, 3, asset="pump-g1"),
    ]
    before, after = (
        inventory(log_of(told), START + timedelta(hours=hours))[0] for hours in (2, 4)
    )
    assert [(row["gateway"], row["safe_mode"]) for row in before.rows] == [("g1", True)]
    assert [(row["gateway"], row["safe_mode"]) for row in after.rows] == [("g7", False)]


def test_every_deviation() -> None:
    """What was expected, what was found, since when."""
    told = [
        PLANNED,
        ended("completed", 2, "completed"),
        runs("g1", ONE, 1, running=TWO),
        runs("g2", None, 4),
        Told("gateway:g1", "gateway.safe_mode_changed", "g1", {"on": True}, 4.5),
        Told("gateway:g1", "gateway.safe_mode_changed", "g1", {"on": False}, 6),
    ]
    _, table = inventory(log_of(told), START + timedelta(hours=4.5))
    rows = [
        (row["gateway"], row["what"], row["expected"], row["found"], row["age_hours"])
        for row in table.rows
    ]
    assert rows == [
        ("g1", "another release than its last rollout", TWO, ONE, 2.5),
        ("g1", "its worker loaded another model", TWO, ONE, 4.0),
        ("g1", "safe mode", "", ONE, 4.0),
        ("g2", "another release than its last rollout", TWO, "", 1.0),
        ("g2", "no model", "a model", "", 1.0),
    ]


def test_rolled_back_is_expected_no_more() -> None:
    """After a rollback of the last rollout the one before it counts again, or none."""
    older = Told(
        "site-proxy", "rollout.planned", "q", {"release": ONE, "cohorts": {"all": ["g1"]}}, 0
    )
    done = Told("site-proxy", "rollout.completed", "q", {"state": "completed"}, 0.5)
    back = Told("ana", "rollout.rollback_ordered", "r", {"reason": "x"}, 3)
    never = Told("ana", "rollout.rollback_ordered", "other", {"reason": "x"}, 3)
    told = [older, done, PLANNED, ended("completed", 2, "completed"), back, never]
    _, table = inventory(log_of([*told, runs("g1", TWO, 4)]), START + timedelta(hours=5))
    assert [(row["expected"], row["found"]) for row in table.rows] == [(ONE, TWO)]
    _, table = inventory(log_of([*told[2:], runs("g1", TWO, 4)]), START + timedelta(hours=5))
    assert table.rows == ()


def test_access() -> None:
    """People, certificates and keys; not what machines do all day."""
    told = [
        Told("site-proxy", "site.started", "1", {}, 0),
        Told("gateway:g1", "gateway.update_changed", "g1", {}, 1),
        Told("gateway:g1", "gateway.enrolled", "g1", {}, 2),
        Told("ana", "alarm.acked", "3", {}, 3),
        Told("root", "audit.key_rotated", "log", {"reason": "yearly"}, 4),
    ]
    rows = access(log_of(told), None, None).rows
    assert [(row["who"], row["what"], row["reason"]) for row in rows] == [
        ("site-proxy", "site.started", ""),
        ("gateway:g1", "gateway.enrolled", ""),
        ("ana", "alarm.acked", ""),
        ("root", "audit.key_rotated", "yearly"),
    ]


def alarm(verb: str, hours: float, who: str = "site-proxy") -> Told:
    """Something about alarm 7, that g1 runs what it should not."""
    facts = {"cause": "gateway/g1/digest", "what": "g1 runs another"} if who != "ana" else {}
    return Told(who, f"alarm.{verb}", "7", facts, hours)


def test_drift() -> None:
    """From the detection over who looked at it to when it was put right; and again."""
    told = [
        alarm("raised", 1),
        alarm("acked", 2, "ana"),
        alarm("returned", 4),
        alarm("raised_again", 6),
    ]
    events, now = log_of(told), START + timedelta(hours=10)
    first, second = drift(events, None, None, now).rows
    assert (first["gateway"], first["acknowledged_by"], first["hours_open"]) == ("g1", "ana", 3.0)
    assert (second["what"], second["resolved_at"], second["hours_open"]) == (
        "g1 runs another",
        None,
        4.0,
    )
    late = START + timedelta(hours=5)
    assert len(drift(events, late, None, now).rows) == 1
    assert len(drift(events, None, late, now).rows) == 1
    other = Told("site-proxy", "alarm.raised", "8", {"cause": "gateway/g1/faults"}, 1)
    assert drift(log_of([other]), None, None, now).rows == ()


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\uff1d1", "|calc", "%0A"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_formula(text: str) -> None:
    """What a spreadsheet might calculate is text there."""
    assert cell(text)[0] not in "=+-@|%\uff1d\t " or cell(text).startswith("'")


@given(st.text(max_size=20))
def test_any_cell(text: str) -> None:
    """Every cell is one line, no formula, and still says what was said."""
    shown = cell(text)
    assert shown.isprintable()
    assert shown.lstrip()[:1] not in {*"=+-@|%\uff1d\uff0b\uff0d\uff20"}
    assert len(shown) in {len(text), len(text) + 1}
    table = sheet("x", ["a"], [{"a": text}])
    assert list(csv.reader(io.StringIO(as_csv(table), newline=""))) == [["a"], [shown]]
    assert json.loads(as_json_lines(table)) == {"a": text}


def test_page_is_inert() -> None:
    """Whatever people and gateways wrote, a page has no markup of theirs."""
    evil = "<script>alert(1)</script>\x1b[2J\u202e"
    told = [
        Told("x", "release.arrived", TWO, {"model": evil, "author": evil, "signers": [evil]}, 0),
        PLANNED,
        approval(evil, 2, name=evil),
        permit(3),
    ]
    text = page(document(change_of(log_of(told), "r")), evil)
    assert "<script>" not in text
    assert "\x1b" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_no_such_change() -> None:
    """A change that the log does not know is said to be none."""
    with pytest.raises(NotFoundError, match="expected one of the log's 1"):
        change_of(log_of([PLANNED]), "q")


@pytest.mark.anyio
async def test_from_a_plant(tmp_path: Path) -> None:
    """Every report of a real rollout, from the database and from its export, checks itself."""
    async with plant(tmp_path) as here:
        await here.site.notary.sign()
        await here.bring(V1)
        await here.site.notary.sign()
        here.clock.turn(60)
        middle = here.clock.wall
        rollout = await here.bring(V2)
        await here.site.desk.roll_back(rollout.id, "vibrates", Sender("bob", None))
        await here.site.notary.sign()
        public = here.site.notary.public
    db = open_read_only(tmp_path / "site.db")
    export_log(db, tmp_path / "export", public)
    for report in Report:
        asked = Question(
            report,
            since=None if report is Report.CHANGE else middle,
            change=rollout.id if report is Report.CHANGE else "",
        )
        here_, there = tmp_path / f"{report}-1", tmp_path / f"{report}-2"
        wrote = write_report(db, public, here_, asked)
        with opened_export(tmp_path / "export", public) as (other, key):
            assert write_report(other, key, there, asked).rows == wrote.rows
        for path in here_.iterdir():
            assert path.read_bytes() == (there / path.name).read_bytes(), path.name
        found = check_folder(here_, None, [])
        assert found["verified"] is True
        if report is not Report.CHANGE:
            assert found["consistency"] is True
            assert verify_folder(here_).loose == 0
    changes = (tmp_path / "changes-1" / "changes.jsonl").read_text().splitlines()
    assert [json.loads(line)["version"] for line in changes] == ["2.0.0"]
    evidence = json.loads((tmp_path / "change-1" / "change.json").read_text())
    assert evidence["approved_before_activation"] is True
    assert evidence["approvals"][0]["before_first_activation"] is True
    assert {row["outcome"] for row in evidence["deployment"]} == {"succeeded"}
    assert {row["gate"] for row in evidence["gates"]} >= {"veto", "windows"}
    assert evidence["rollback"]["who"] == "bob"
    with (
        pytest.raises(LogBrokenError, match="whole log"),
        opened_export(tmp_path / "changes-1", public),
    ):
        pass
    db.close()
