"""What the doctor says of a gateway: each judgement, the exit code, and the command as a whole."""

import asyncio
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_core.contracts.plant import ClockQuality
from edge_fixtures.certificates import issue
from edge_runtime.__main__ import main
from edge_runtime.bounds import MIB
from edge_runtime.commands.doctor import examined
from edge_runtime.doctor import judge, local, pictures
from edge_runtime.doctor.finding import Finding, Level, exit_code, fail, ok, warn
from edge_runtime.frames.config import FramesConfig
from tests.simulators.releases import Workshop
from tests.unit.runtime.gateways import Rig

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
GOOD = ClockQuality(synchronised=True, error_max_us=3_000)
ROOM = judge.DiskLook(
    refused="", read_only=False, free_bytes=10_000 * MIB, inodes=10**6, inodes_free=10**6
)


def looked(**fields: object) -> judge.DiskLook:
    """A disk like any other but for *fields*."""
    usual = {name: getattr(ROOM, name) for name in ROOM.__slots__}
    return judge.DiskLook(**{**usual, **fields})


def disk(look: judge.DiskLook) -> Finding:
    """The worst of what is said of a disk."""
    found = judge.disk("/data", look, 64 * MIB, 64 * MIB)
    return max(found, key=lambda each: list(Level).index(each.level))


def lasts(begins: timedelta, ends: timedelta, *, renewed: bool = False) -> Finding:
    """What is said of a certificate that begins and ends so far from now."""
    return judge.certificate("c.pem", NOW + begins, NOW + ends, NOW, renewed=renewed)


@dataclass(frozen=True, slots=True)
class Said:
    """What is judged, how, and a word that must be in what is found or advised."""

    finding: Finding
    level: Level
    word: str = ""


JUDGED: dict[str, Said] = {
    "a clock that is kept": Said(judge.clock(GOOD, NOW), Level.OK, "3 ms"),
    "a clock that nobody keeps": Said(
        judge.clock(ClockQuality(synchronised=False, error_max_us=0), NOW), Level.WARN, "chrony"
    ),
    "a clock kept badly": Said(
        judge.clock(ClockQuality(synchronised=True, error_max_us=2_000_000), NOW), Level.WARN
    ),
    "1970": Said(judge.clock(GOOD, datetime(1970, 1, 1, tzinfo=UTC)), Level.FAIL, "1970"),
    "a server's clock beside ours": Said(judge.offset("plc", 0.4), Level.OK),
    "a server's clock a minute off": Said(judge.offset("plc", -60), Level.WARN, "60.0 s behind"),
    "a server's clock ten minutes off": Said(judge.offset("plc", 600), Level.FAIL, "ahead of"),
    "a disk with room": Said(disk(ROOM), Level.OK),
    "a disk without much room": Said(disk(looked(free_bytes=100 * MIB)), Level.WARN, "100 MiB"),
    "a full disk": Said(disk(looked(free_bytes=MIB)), Level.FAIL, "journalctl"),
    "a disk with few inodes": Said(disk(looked(inodes_free=5_000)), Level.WARN, "5,000"),
    "a disk without inodes": Said(disk(looked(inodes_free=10)), Level.FAIL, "du --inodes"),
    "a file system that counts no inodes": Said(disk(looked(inodes=0, inodes_free=0)), Level.OK),
    "a mount gone read-only": Said(disk(looked(read_only=True)), Level.FAIL, "read-only"),
    "a folder of somebody else": Said(
        disk(looked(refused="Permission denied")), Level.FAIL, "Permission denied"
    ),
    "a kernel that gave the file system up": Said(
        disk(looked(refused="Read-only file system")), Level.FAIL, "dmesg"
    ),
    "a disk that cannot flush": Said(
        disk(looked(refused="Input/output error")), Level.FAIL, "dmesg"
    ),
    "a disk to the last byte": Said(
        disk(looked(refused="No space left on device")), Level.FAIL, "journalctl"
    ),
    "memory enough": Said(judge.memory(1000 * MIB), Level.OK),
    "little memory": Said(judge.memory(100 * MIB), Level.WARN, "systemd-cgtop"),
    "no memory": Said(judge.memory(MIB), Level.FAIL),
    "a key for its owner": Said(judge.secret("k", judge.FileLook(0o100600, 0)), Level.OK),
    "a key for all": Said(judge.secret("k", judge.FileLook(0o100644, 0)), Level.FAIL, "chmod 600"),
    "a key for a group": Said(judge.secret("k", judge.FileLook(0o100640, 0)), Level.FAIL, "0640"),
    "a certificate for long": Said(lasts(-DAY, 300 * DAY), Level.OK),
    "a certificate for 29 days": Said(lasts(-DAY, 29 * DAY), Level.WARN, "replace"),
    "a certificate of yesterday": Said(lasts(-9 * DAY, -DAY), Level.FAIL, "ended 2026-11-21"),
    "a certificate of tomorrow": Said(lasts(DAY, 9 * DAY), Level.FAIL, "clock"),
    "our own, short and fresh": Said(lasts(-DAY, 6 * DAY, renewed=True), Level.OK),
    "our own, renewal long due": Said(lasts(-6 * DAY, DAY, renewed=True), Level.WARN, "renewal"),
    "our own, ended": Said(lasts(-9 * DAY, -DAY, renewed=True), Level.FAIL, "new token"),
    "a channel that is up to date": Said(judge.channel("plc", "aes256sha256rsapss"), Level.OK),
    "a deprecated channel": Said(judge.channel("plc", "basic256"), Level.WARN, "SHA-1"),
    "an open channel": Said(judge.channel("plc", "none"), Level.WARN, "anybody"),
    "all tags good": Said(judge.tags("plc", {"flow": ""})[0], Level.OK),
    "a node that is not there": Said(
        judge.tags("plc", {"flow": "BadNodeIdUnknown"})[0], Level.FAIL, "flow"
    ),
    "a broken sensor": Said(
        judge.tags("plc", {"flow": "BadSensorFailure"})[0], Level.WARN, "instrument"
    ),
    "tags that fit the model": Said(judge.contract("pump 1", ""), Level.OK),
    "tags that do not fit": Said(judge.contract("pump 1", "feature 0"), Level.FAIL, "map"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_judged(name: str) -> None:
    """Each row is what is found, how bad that is, and what must be said of it."""
    said = JUDGED[name]
    assert said.finding.level is said.level
    assert said.word in f"{said.finding.found} {said.finding.advice}"
    assert (said.finding.code != 0) is (said.level is Level.FAIL)
    assert bool(said.finding.advice) is (said.level is not Level.OK)


FINE, ODD = ok("a", "b", "c", "d"), warn("a", "b", "c", "d", "e")
CODES: dict[str, tuple[Sequence[Finding], int]] = {
    "nothing was looked at": ([], 0),
    "all in order": ([FINE], 0),
    "a warning is no failure": ([FINE, ODD], 0),
    "one failure is its own code": ([FINE, fail("a", "b", "c", "d", "e", 5)], 5),
    "a setting comes before an absence": (
        [fail("a", "b", "c", "d", "e", 5), fail("a", "b", "c", "d", "e", 78)],
        78,
    ),
    "an absence comes before a full disk": (
        [fail("a", "b", "c", "d", "e", 75), fail("a", "b", "c", "d", "e", 5)],
        5,
    ),
    "a code of no family is our own": ([fail("a", "b", "c", "d", "e", 42)], 1),
}


@pytest.mark.parametrize("name", CODES)
def test_exit_code(name: str) -> None:
    """Each row is what was found, and the exit code."""
    findings, code = CODES[name]
    assert exit_code(findings) == code


def written(folder: Path) -> Path:
    """A configuration with its files, everybody in it absent."""
    (folder / "trust-policy.toml").write_text(Workshop.below(folder / "workshop").policy())
    certificate, _ = issue(folder, "ca", "urn:ca", datetime.now(UTC))
    (folder / "ca.pem").write_text(ssl.DER_cert_to_PEM_cert(certificate.read_bytes()))
    path = folder / "gateway.toml"
    path.write_text(
        'serial = "gw-1"\nsite = "plant"\ndata = "data"\ntrust_policy = "trust-policy.toml"\n'
        'targets = ["linux-amd64/onnxruntime/fp32/b1"]\n\n'
        '[proxy]\nurl = "https://127.0.0.1:1"\nenrol_url = "https://127.0.0.1:1"\n'
        'ca = "ca.pem"\ntoken = "token"\n\n'
        '[[sources]]\nkind = "mqtt"\nname = "broker"\nhost = "127.0.0.1"\nport = 1\n\n'
        '[[tags]]\nrole = "flow"\nunit = "bar"\nsource = "broker"\naddress = "plant#flow"\n'
    )
    return path


def test_local(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --local nothing is dialled; a missing token is named with what to do about it."""
    assert main(["doctor", "--local", "--config", str(written(tmp_path))]) == 78
    said = capsys.readouterr()
    assert "FAIL  identity" in said.out
    assert "site-proxy token --serial gw-1" in said.out
    assert not any(line.split()[1] == "site" for line in said.out.splitlines())
    assert said.err.count("\n") == 1


def test_token_for_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token that everybody can read is a failure, and its mode is named."""
    path = written(tmp_path)
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o644)
    assert main(["doctor", "--local", "--json", "--config", str(path)]) == 78
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    [found] = [each for each in document["findings"] if each["level"] == "FAIL"]
    assert found["thing"].endswith("/token")
    assert found["found"] == "mode 0644"
    assert document["exit_code"] == 78
    assert "secret" not in shown.out + shown.err


def test_everybody_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Broker and site that do not answer are named, and the exit code says so."""
    path = written(tmp_path)
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    assert main(["doctor", "--config", str(path)]) == 5
    out = capsys.readouterr().out
    assert "FAIL  broker" in out
    assert "FAIL  site" in out
    assert "WARN  daemon" in out


def test_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that cannot be read is one line and 78, as everywhere."""
    path = tmp_path / "gateway.toml"
    path.write_text("serial = ")
    assert main(["doctor", "--config", str(path)]) == 78
    assert capsys.readouterr().err.count("\n") == 1


async def test_running_gateway(rig: Rig) -> None:
    """A gateway that runs a model: site, identity, trust, contract and daemon are in order."""
    rig.site.assign(rig.workshop.release("1"))
    async with rig.running() as running:
        await running.until(lambda: running.gateway.agent.record.slots.committed is not None)
        found = await examined(rig.config())
    levels = {(each.check, each.thing): each.level for each in found}
    for check in ("identity", "trust", "model", "site", "daemon"):
        assert {level for (name, _), level in levels.items() if name == check} == {Level.OK}
    assert ("model", "pump-state 1") in levels


async def test_no_model(rig: Rig) -> None:
    """Without a record there is no model to fit."""
    assert list(local.model(rig.config())) == []


async def test_key_that_does_not_belong(rig: Rig) -> None:
    """An identity that is not ours to read is a failure with its reason."""
    folder = rig.folder / "identity"
    folder.mkdir()
    pair = folder / "identity.pem"
    pair.write_text("nonsense")
    pair.chmod(0o600)
    secret, pem = local.identity(rig.config(), folder, NOW)
    assert secret.level is Level.OK
    assert pem.level is Level.FAIL
    assert "expected our key and certificate" in pem.found


def seen_by(folder: Path | None = None, video: str | None = None) -> Finding:
    """What is said of a source of pictures without dialling."""
    config = FramesConfig(name="belt", role="belt", folder=folder, video=video)
    return pictures.local(config)


def test_folder_of_pictures(tmp_path: Path) -> None:
    """A folder that is there is fine; one that is not, or is a file, is a wrong setting."""
    assert seen_by(tmp_path).level is Level.OK
    (tmp_path / "file").write_bytes(b"")
    for wrong, found in ((tmp_path / "none", "none"), (tmp_path / "file", "a file")):
        said = seen_by(wrong)
        assert (said.level, said.found, said.code) == (Level.FAIL, found, 78)


def test_video(tmp_path: Path) -> None:
    """A video file must be there; a camera's password is never shown."""
    (tmp_path / "belt.mp4").write_bytes(b"")
    assert seen_by(video=str(tmp_path / "belt.mp4")).level is Level.OK
    assert seen_by(video=str(tmp_path / "gone.mp4")).found == "none"
    said = seen_by(video="rtsp://operator:hunter2@camera.line:8554/belt")
    assert said.level is Level.OK
    assert "hunter2" not in repr(said)


async def test_camera() -> None:
    """A camera's port is asked; a folder and a file have none."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    camera = FramesConfig(name="belt", role="belt", video=f"rtsp://user:secret@127.0.0.1:{port}/b")
    async with server:
        [said] = await pictures.camera(camera)
        assert said.level is Level.OK
    [said] = await pictures.camera(camera)
    assert (said.level, said.code) == (Level.FAIL, 5)
    assert "secret" not in repr(said)
    assert await pictures.camera(FramesConfig(name="b", role="b", folder=Path())) == []
