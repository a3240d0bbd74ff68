"""Every subcommand against a simulated site: text, JSON, and exit codes."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_core.contracts.api import Action
from edge_core.contracts.review import ItemState
from edge_core.contracts.rollout import RolloutState
from edgetui.__main__ import main
from edgetui.commands.parser import parser
from tests.simulators.site import Site, serve
from tests.simulators.site_data import AT

WAITING = "ro-03-awaiting-approval"


@contextmanager
def standing(socket: Path, site: Site) -> Iterator[Site]:
    """*site* served from a thread, since a subcommand has an event loop of its own."""
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def stand() -> None:
        loops.append(asyncio.get_running_loop())
        async with serve(site, socket):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    assert ready.wait(20)
    try:
        yield site
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site that is only looked at."""
    path = tmp_path_factory.mktemp("site") / "s"
    with standing(path, Site(now=lambda: AT)) as site:
        before = len(site.audit)
        yield path
        assert len(site.audit) == before


LOOKS = {
    "status": (["status"], ["NEEDS YOU", "Line 2", "unacknowledged 3", "ROLLOUTS"]),
    "gateways": (["gateways"], ["gw-0036", "SAFE MODE", "STALE"]),
    "gateway": (["gateway", "gw-0001"], ["golden", "candidate", "previous good"]),
    "rollouts": (["rollouts"], [WAITING, "rollback incomplete", "HELD: gate fail"]),
    "rollout": (["rollout", "ro-08-gated"], ["canary 1/1 HELD", "FAIL", "way back"]),
    "gates": (["gates", "ro-08-gated"], ["latency p99", "cannot tell yet"]),
    "gate-checks": (
        ["gate-checks"],
        ["blamed 1 of 20 cohorts", "promised are at most 1.0%", "FAIL", "2026-11-22"],
    ),
    "queue": (["queue"], ["cavitation", "score 0.81"]),
    "alarms": (["alarms"], ["watchdog reboot", "RB-01", "■1"]),
    "alarms of one state": (["alarms", "--state", "shelved"], ["disk 91 %", "shelved 1"]),
    "alarms in numbers": (["alarms", "--rates"], ["worst 10 min 4", "line/L1/silent", "above 10"]),
    "no maintenance": (["maintenance"], ["no line is being worked on"]),
    "audit": (["audit"], ["rollout.planned", "by=a.ruiz"]),
    "whoami": (["whoami"], ["m.keller", "edge-admin"]),
}


@pytest.mark.parametrize(("command", "words"), LOOKS.values(), ids=LOOKS.keys())
def test_looking(
    command: list[str], words: list[str], socket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each page names what it is about, no line is too wide, and nothing in it is alive."""
    assert main(["--socket", str(socket), "--width", "140", *command]) == 0
    shown = capfd.readouterr().out
    assert [word for word in words if word not in shown] == []
    assert max(map(len, shown.splitlines())) <= 140
    assert not any(c in shown for c in "\x1b\x07\u202e\r")


@pytest.mark.parametrize("command", [c for c, _ in LOOKS.values()], ids=LOOKS.keys())
def test_looking_as_json(
    command: list[str], socket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With --json there is exactly one JSON document on stdout, before or after the command."""
    assert main([*command, "--json", "--socket", str(socket)]) == 0
    after = json.loads(capfd.readouterr().out)
    assert main(["--json", "--socket", str(socket), *command]) == 0
    assert json.loads(capfd.readouterr().out) == after


@pytest.mark.parametrize("screen", ["status", "rollouts", "gateways", "alarms", "queue", "audit"])
def test_plain_screens(screen: str, socket: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every screen has a twin in plain text."""
    assert main(["--socket", str(socket), "--plain", screen]) == 0
    assert capfd.readouterr().out.strip()


def test_filters(socket: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """--filter keeps the rows that contain a text; --all shows alarms that have cleared."""
    main(["--socket", str(socket), "gateways", "--filter", "GW-0007"])
    assert len(capfd.readouterr().out.splitlines()) == 2
    main(["--socket", str(socket), "alarms"])
    assert "cleared" not in capfd.readouterr().out
    main(["--socket", str(socket), "alarms", "--all"])
    assert "cleared" in capfd.readouterr().out


def test_alarms_put_aside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Out of service and back, from the shelf, dealt with; and work on a line."""
    why = ["--reason", "contractor is on it"]
    with standing(tmp_path / "s", Site(now=lambda: AT)):
        for words, said in (
            (["retire", "1", *why], "out of svc"),
            (["restore", "1", *why], "UNACK"),
            (["unshelve", "5", *why], "UNACK"),
            (["reset", "2", *why], "cleared"),
            (
                ["maintenance", "Line 1", "--minutes", "30", *why],
                "by m.keller: contractor is on it",
            ),
            (["maintenance"], "Line 1  to"),
            (["maintenance", "Line 1", "--end", *why], "on the list again"),
        ):
            assert main(["--socket", str(tmp_path / "s"), "--width", "140", *words]) == 0
            assert said in capfd.readouterr().out


REFUSED = {
    "no such gateway": (["gateway", "gw-9999"], 4, "there is no gw-9999"),
    "no such rollout": (["rollout", "ro-99"], 4, "there is no ro-99"),
    "nothing to approve": (
        ["approve", "ro-08-gated", "--ticket", "CHG-1", "--reason", "because"],
        6,
        "nothing to approve",
    ),
    "another plan": (
        ["approve", WAITING, "--ticket", "CHG-1", "--reason", "because", "--plan", "sha256:0"],
        6,
        "expected plan sha256:0",
    ),
    "another line's name": (
        ["approve", WAITING, "--ticket", "CHG-1", "--reason", "because", "--line", "Line 9"],
        3,
        "expected one of",
    ),
    "rollback of nothing": (["rollback", "--reason", "because"], 2, "expected either"),
    "maintenance without an end": (["maintenance", "Line 1"], 2, "either --minutes N or --end"),
    "maintenance without a reason": (
        ["maintenance", "Line 1", "--minutes", "5"],
        2,
        "expected --reason",
    ),
    "maintenance that is none": (
        ["maintenance", "Line 1", "--end", "--reason", "done"],
        4,
        "nobody works",
    ),
    "a label and an undo": (["label", "1", "leak", "--undo"], 2, "expected either"),
}


@pytest.mark.parametrize(("command", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(
    command: list[str],
    code: int,
    words: str,
    socket: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A refusal is one line on stderr, nothing on stdout, and the exit code of its class."""
    assert main(["--socket", str(socket), *command]) == code
    out, told = capfd.readouterr()
    assert out == ""
    assert words in told
    assert len(told.splitlines()) == 1


def test_no_site(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a site proxy the exit code is 5; the line names the socket and what is wrong."""
    assert main(["--socket", str(tmp_path / "none"), "status"]) == 5
    told = capfd.readouterr().err
    assert f"{tmp_path / 'none'}: expected an answer, found: No such file or directory;" in told


def test_no_role(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without the role every order ends with 77."""
    with standing(tmp_path / "s", Site(may=[Action.LABEL])):
        assert main(["--socket", str(tmp_path / "s"), "hold", WAITING, "--reason", "why"]) == 77
    assert "needs another role" in capfd.readouterr().err


@pytest.mark.parametrize("ticket", ["", "  ", "C" * 65])
def test_a_ticket_that_is_none(ticket: str, capfd: pytest.CaptureFixture[str]) -> None:
    """No ticket is a mistake of usage; nothing is asked of the site."""
    with pytest.raises(SystemExit) as ended:
        main(["approve", WAITING, "--ticket", ticket, "--reason", "because"])
    assert ended.value.code == 2
    assert "expected a ticket" in capfd.readouterr().err


@pytest.mark.parametrize("ticket", ["chg-1042", "CHG1042", "CHG-1042; rm"])
def test_a_ticket_of_another_form(
    ticket: str, socket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a ticket looks like is the site's to say."""
    command = ["approve", WAITING, "--ticket", ticket, "--reason", "because"]
    assert main(["--socket", str(socket), *command]) == 3
    assert f"ticket {ticket!r}: expected" in capfd.readouterr().err


def test_orders(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each order changes the site, prints what it changed, and leaves an audit event."""
    path = ["--socket", str(tmp_path / "s"), "--json"]
    with standing(tmp_path / "s", Site(now=lambda: AT)) as site:
        approve = ["approve", WAITING, "--ticket", "CHG-1042", "--reason", "soak was clean"]
        assert main([*path, *approve]) == 0
        assert json.loads(capfd.readouterr().out)["state"] == "approved"
        assert main([*path, "hold", "ro-07-soaking", "--reason", "noise"]) == 0
        assert main([*path, "resume", "ro-07-soaking", "--reason", "gone"]) == 0
        assert main([*path, "cancel", "ro-02-planned", "--reason", "not today"]) == 0
        assert main([*path, "acknowledge", "ro-07-soaking", "--reason", "all told"]) == 0
        assert main([*path, "revoke", "ro-07-soaking", "--reason", "ticket", "--roll-back"]) == 0
        assert site.audit[-1].facts["roll_back"] is True
        assert main([*path, "rollback", "ro-07-soaking", "--reason", "worse"]) == 0
        assert main([*path, "rollback", "--gateway", "gw-0003", "--reason", "worse"]) == 0
        assert main([*path, "safe-mode", "gw-0004", "on", "--reason", "noise"]) == 0
        assert main([*path, "safe-mode", "--line", "Paint", "off", "--reason", "gone"]) == 0
        assert main([*path, "snapshot", "gw-0004"]) == 0
        assert main([*path, "label", "7", "leak"]) == 0
        assert main([*path, "ack", "1"]) == 0
        assert main([*path, "shelve", "3", "--minutes", "60", "--reason", "known"]) == 0
        kinds = [event.kind for event in site.audit]
        assert site.rollouts["ro-07-soaking"].state is RolloutState.ROLLING_BACK
        assert site.gateways["gw-0004"].safe_mode
        assert site.items[7].state is ItemState.LABELLED
        assert main([*path, "label", "7", "--undo"]) == 0
        assert site.items[7].labels[0].undone
        capfd.readouterr()
        assert main([*path, "queue", "--export"]) == 0
    assert kinds[1:5] == [
        "rollout.approved",
        "rollout.hold",
        "rollout.resume",
        "rollout.cancel",
    ]


def test_help_of_everything(capfd: pytest.CaptureFixture[str]) -> None:
    """Each subcommand explains itself by its own verb."""
    root = parser()
    (commands,) = (a.choices for a in root._actions if isinstance(a.choices, dict))  # noqa: SLF001 - argparse lists its commands nowhere else
    for name in commands:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert name in capfd.readouterr().out
    with pytest.raises(SystemExit):
        main(["hold", "--help"])
    assert "Hold" in capfd.readouterr().out


def test_the_terminal_ui_needs_a_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without a terminal it says what to use instead."""
    assert main([]) == 2
    assert "--plain" in capfd.readouterr().err
