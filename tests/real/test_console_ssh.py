"""The console as an engineer meets it: ssh into the site, in a terminal of 80x24, and work."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
MISSING = [name for name in ("tmux", "ssh", "ssh-keygen") if shutil.which(name) is None]
MISSING += [] if SSHD else ["sshd"]
MISSING += [] if os.geteuid() == 0 else ["root, to run sshd"]
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"missing: {', '.join(MISSING)}; apt-get install openssh-server tmux",
    ),
]
WAIT_S = 90.0
STEP_S = 0.1
WAITING = "ro-03-awaiting-approval"
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/hostkey
AuthorizedKeysFile {folder}/id.pub
PidFile {folder}/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


def until(holds: Callable[[], bool], tell: Callable[[], str]) -> None:
    """Wait until *holds*, or fail with what *tell* says."""
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, tell()
        time.sleep(STEP_S)


@dataclass(frozen=True)
class Host:
    """A site's host: its operator socket, and an ssh daemon in front of it."""

    folder: Path
    port: int

    def ssh(self, environment: str = "") -> str:
        """The command line that runs the console there."""
        remote = f"env EDGE_SOCKET={self.folder}/s {environment} {sys.executable} -m edgetui"
        return (
            f"ssh -tt -p {self.port} -i {self.folder}/id -o StrictHostKeyChecking=accept-new"
            f" -o UserKnownHostsFile={self.folder}/known -o LogLevel=ERROR"
            f" root@127.0.0.1 '{remote}'"
        )

    def ask(self, *command: str) -> object:
        """What a subcommand answers."""
        done = subprocess.run(
            [sys.executable, "-m", "edgetui", "--json", "--socket", f"{self.folder}/s", *command],
            check=True,
            capture_output=True,
        )
        answer: object = json.loads(done.stdout)
        return answer


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A simulated site and a real sshd, both on this machine alone."""
    folder = tmp_path_factory.mktemp("host")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    for name in ("hostkey", "id"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    config = folder / "sshd_config"
    config.write_text(CONFIG.format(port=port, folder=folder), encoding="utf-8")
    Path("/run/sshd").mkdir(exist_ok=True)
    assert SSHD is not None
    daemon = [SSHD, "-D", "-f", str(config), "-E", str(folder / "sshd.log")]
    site = [sys.executable, "-m", "tests.simulators.site", "--socket", str(folder / "s")]
    with subprocess.Popen(daemon) as sshd, subprocess.Popen(site, stdout=subprocess.PIPE) as sim:
        try:
            assert sim.stdout is not None
            assert sim.stdout.readline() == b"ready\n"
            yield Host(folder, port)
        finally:
            sshd.terminate()
            sim.send_signal(signal.SIGTERM)


@dataclass(frozen=True)
class Pane:
    """A tmux window of 80x24 with one command in it."""

    server: str

    def tmux(self, *command: str) -> str:
        """Run one tmux command."""
        done = subprocess.run(
            ["tmux", "-L", self.server, *command], check=True, capture_output=True
        )
        return done.stdout.decode(errors="replace")

    def text(self) -> str:
        """What the window shows."""
        return self.tmux("capture-pane", "-p", "-t", "t")

    def styled(self) -> str:
        """The same with its colours."""
        return self.tmux("capture-pane", "-p", "-e", "-t", "t")

    def shows(self, *words: str) -> None:
        """Wait until all *words* are in the window."""
        until(
            lambda: all(word in self.text() for word in words),
            lambda: f"waited for {words}; the window:\n{self.text()}",
        )

    def press(self, *keys: str) -> None:
        """Press keys by their tmux names."""
        self.tmux("send-keys", "-t", "t", *keys)

    def insist(self, key: str, words: str) -> None:
        """Press *key* until *words* are there: a dialog is deaf while nobody can have seen it."""

        def pressed() -> bool:
            self.press(key)
            return words in self.text()

        until(pressed, lambda: f"pressed {key} for {words}; the window:\n{self.text()}")

    def type(self, text: str) -> None:
        """Type letters as they are."""
        self.tmux("send-keys", "-t", "t", "-l", text)


@contextmanager
def pane(name: str, command: str) -> Iterator[Pane]:
    """A window that runs *command* and then says its exit code."""
    window = Pane(f"edge-{name}-{os.getpid()}")
    line = f"{command}; echo EXIT=$?; exec sleep 600"
    window.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-s", "t", line)
    window.tmux("set-option", "-g", "status", "off")
    window.tmux("resize-window", "-t", "t", "-x", "80", "-y", "24")
    try:
        yield window
    finally:
        window.tmux("kill-server")


def test_approve_over_ssh(host: Host) -> None:
    """Overview, gateways, rollouts, arm, approve: the site has it, and leaving ends with 0."""
    with pane("approve", host.ssh()) as window:
        window.shows("NEEDS YOU", "Line 2", "FEED ok")
        window.press("F3")
        window.shows("Gateways", "> gw-0000", "SAFE MODE", "STALE")
        window.press("F2")
        window.shows(f"> {WAITING}")
        window.press("A")
        window.shows("A is dead until you press e")
        window.press("e")
        window.shows("ARMED")
        window.press("A")
        window.shows("APPROVE", "F9 sign", "plan")
        window.insist("F9", "NOT SENT  ticket")
        fill_in(window, "Line 2", "CHG-1042", "soak was clean")
        window.press("F9")
        window.shows("signed, approved")
        seen = host.ask("rollout", WAITING)
        assert isinstance(seen, dict)
        assert seen["state"] == "approved"
        assert seen["approvals"][-1]["ticket"] == "CHG-1042"
        window.press("C-q")
        window.shows("EXIT=0")


def fill_in(window: Pane, *answers: str) -> None:
    """Type into the fields, one after the other, each seen before the next."""
    for number, answer in enumerate(answers):
        if number:
            window.press("Tab")
        window.type(answer)
        window.shows(answer)


def test_without_colour_on_a_vt100(host: Host) -> None:
    """With NO_COLOR on a vt100 the same facts are there in words, ASCII only and uncoloured."""
    with pane("vt100", host.ssh("NO_COLOR=1 TERM=vt100")) as window:
        window.shows("NEEDS YOU", "FEED ok", "DECIDE", "HELD: gate")
        window.press("F4")
        window.shows("UNACK", "acked", "rtn-unk", "shelved", "[1]", "[2]", "[3]")
        window.press("F3")
        window.shows("> gw-0000", "STALE", "SAFE MODE", "not enrolled")
        assert window.text().isascii()
        styles = window.styled()
        assert not any(f"\x1b[{code}m" in styles for code in (*range(31, 38), *range(41, 48)))
        window.press("C-q")
        window.shows("EXIT=0")


def test_a_lost_connection_ends_the_console(host: Host) -> None:
    """When the ssh client is killed, nothing of the console is left running at the site."""
    with pane("lost", host.ssh("EDGE_MARK=lost")) as window:
        window.shows("NEEDS YOU")
        until(lambda: bool(marked()), lambda: "the console was never seen running")
        client = int(window.tmux("list-panes", "-t", "t", "-F", "#{pane_pid}"))
        children = Path(f"/proc/{client}/task/{client}/children").read_text(encoding="utf-8")
        os.kill(int(children.split()[0]), signal.SIGKILL)
        until(lambda: not marked(), lambda: f"still running: {marked()}")


def marked() -> list[int]:
    """Consoles of the test above that are running."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended, or is another's
        if b"EDGE_MARK=lost" in environment and b"edgetui" in command:
            found.append(int(process.name))
    return found
