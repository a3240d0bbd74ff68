"""`edge-gateway` as a person meets it: one clear line, an honest exit code, never a traceback."""

from pathlib import Path

import msgspec
import pytest

from edge_runtime.__main__ import main
from edge_runtime.config import load
from edge_runtime.startup import sole_use
from edge_runtime.update.store import RecordStore
from edge_runtime.witness import Seen
from tests.simulators.releases import Workshop
from tests.unit.runtime.test_witness import shown as shown_by_site
from tests.unit.runtime.update.made import ON_A, ON_B, A, B, record

GOOD = """
serial = "gw-1"
site = "plant"
data = "data"
trust_policy = "trust-policy.toml"
targets = ["linux-amd64/onnxruntime/fp32/b1"]

[proxy]
url = "https://127.0.0.1:1"
enrol_url = "https://127.0.0.1:2"
ca = "ca.pem"

[[sources]]
kind = "mqtt"
name = "broker"
host = "127.0.0.1"

[[tags]]
role = "flow"
unit = "bar"
source = "broker"
address = "plant#flow"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in order, with the files it names."""
    workshop = Workshop.below(tmp_path / "workshop")
    (tmp_path / "trust-policy.toml").write_text(workshop.policy())
    (tmp_path / "ca.pem").write_text("")
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD)
    return path


MISTAKES: dict[str, tuple[str, str, str]] = {
    "a key that nobody knows": ('site = "plant"', 'site = "plant"\nsiet = "x"', "siet"),
    "a key that is missing": ('serial = "gw-1"', "", "serial"),
    "a value of another type": ('targets = ["linux', 'targets = [7, "linux', "targets"),
    "a target of another form": ("onnxruntime/fp32/b1", "onnxruntime", "target"),
    "a source that is not there": ('source = "broker"', 'source = "plc"', "`$.tags[0].source`"),
    "a kind of source that is not there": ('kind = "mqtt"', 'kind = "modbus"', "modbus"),
    "a url without a scheme": ("https://127.0.0.1:1", "127.0.0.1", "url"),
    "an address of another form": ("plant#flow", "plant/flow", "topic#key"),
    "no TOML at all": ("[proxy]", "[proxy", "gateway.toml"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is a mistake in the file, and what the one line names."""
    old, new, words = MISTAKES[name]
    assert old in GOOD
    config.write_text(GOOD.replace(old, new, 1))
    assert main(["check-config", str(config)]) == 78
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_in_order(config: Path) -> None:
    """A configuration in order is 0."""
    assert main(["check-config", str(config)]) == 0


def test_plain_mqtt_ages(config: Path) -> None:
    """A broker never says that a value has ended: without a limit it lasts ten seconds."""
    assert load(config).tags[0].stale_s == 10.0
    config.write_text(GOOD + "stale_s = 2.5\n")
    assert load(config).tags[0].stale_s == 2.5
    config.write_text(
        GOOD.replace('kind = "mqtt"', 'kind = "sparkplug"').replace("plant#", "g/n#")
    )
    assert load(config).tags[0].stale_s is None


def test_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is named."""
    assert main(["check-config", str(tmp_path / "none.toml")]) == 78
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["run"], ["rollback"], ["status"], ["enrol"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "exit codes" in capsys.readouterr().out


def saved(config: Path, name: str = "record") -> RecordStore:
    """The record of the configured gateway."""
    folder = config.parent / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    return RecordStore(folder)


def test_rollback_without_the_daemon(config: Path) -> None:
    """With the daemon down the order goes into the record, for the next start."""
    saved(config).save(record(ON_B))
    assert main(["rollback", "--reason", "odd noise", "--config", str(config)]) == 0
    slots = saved(config).record.slots
    assert (slots.committed, slots.previous_good) == (A, None)
    assert B in slots.bad


def test_rollback_to_nowhere(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without another version the answer is a conflict, and the record stays."""
    before = saved(config).save(record(ON_A))
    assert main(["rollback", "--reason", "odd noise", "--config", str(config)]) == 6
    assert saved(config).record == before
    assert "no" in capsys.readouterr().err


def test_rollback_beside_a_running_daemon(config: Path) -> None:
    """A daemon that does not answer still has the folder: nothing is written behind its back."""
    saved(config).save(record(ON_B))
    with sole_use(config.parent / "data"):
        assert main(["rollback", "--reason", "odd noise", "--config", str(config)]) == 6


BOTH = (shown_by_site(5), shown_by_site(3))


def test_status_without_the_daemon(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The record is shown, and the exit code says that nobody answered."""
    saved(config).save(record(ON_B))
    (config.parent / "data" / "witness.json").write_bytes(
        msgspec.json.encode(Seen(checkpoint=shown_by_site(5), contradiction=BOTH))
    )
    assert main(["status", "--json", "--config", str(config)]) == 5
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["references"]["committed"] == B
    assert shown["daemon"] is False
    assert shown["checkpoint"] == msgspec.to_builtins(shown_by_site(5))
    assert main(["status", "--config", str(config)]) == 5
    words = capsys.readouterr().out
    assert "5 entries of the site's audit log" in words
    assert "two audit logs that contradict each other" in words


def test_enrol_without_a_token(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token that is not named is a setting to correct."""
    assert main(["enrol", "--config", str(config)]) == 78
    assert "proxy.token" in capsys.readouterr().err
