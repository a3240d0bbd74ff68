"""The commands: what they make, what they say, and how they end."""

import json
import stat
from pathlib import Path

import pytest

from tests.unit.site_proxy.commands.sites import GATEWAY, SiteFolder


def test_init(site: SiteFolder) -> None:
    """`init` makes a site that `check-config` likes, with private keys that nobody else reads."""
    for key in ("identity/ca.key", "identity/server.key", "state/audit.key"):
        assert stat.S_IMODE((site.folder / key).stat().st_mode) == 0o600
    said = site.run("check-config", str(site.config), "--json")
    assert (said.code, json.loads(said.out)) == (0, {"ok": True, "site": "north", "gateways": 2})


def test_init_twice(site: SiteFolder) -> None:
    """A site is never overwritten."""
    before = (site.folder / "identity" / "ca.pem").read_bytes()
    said = site.run("init", str(site.folder))
    assert said.code == 6
    assert "never overwritten" in said.err
    assert (site.folder / "identity" / "ca.pem").read_bytes() == before


NAMES = {
    "a capital": (("--site", "P1"), "--site: expected a small letter"),
    "a line of TOML": (("--site", 'x"\ny = "z'), "--site: expected a small letter"),
    "longer than a label": (("--site", 41 * "x"), "at most 40"),
    "a server of no name": (("--name", ""), "--name: expected 1 to 255 characters, found 0"),
}


@pytest.mark.parametrize(("options", "names"), NAMES.values(), ids=NAMES.keys())
def test_init_wrong(
    options: tuple[str, str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What no configuration could name is refused in one line, and nothing is made."""
    said = SiteFolder(tmp_path / "site", capsys).run("init", str(tmp_path / "site"), *options)
    assert said.code == 2
    assert names in said.err.splitlines()[-1]
    assert not (tmp_path / "site").exists()


def test_init_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever `init` takes `check-config` takes."""
    site = SiteFolder(tmp_path / "site", capsys)
    assert site.run("init", str(site.folder), "--name", 'a"b\\c').code == 0
    assert site.run("check-config", str(site.config)).code == 0


WRONG = {
    "an unknown key": ('site = "north"', 'site = "north"\nsitee = 1', "sitee"),
    "a wrong type": ("port = 0", 'port = "many"', "port"),
    "a port that is none": ("port = 0", "port = 70000", "port"),
    "a bad list of cohorts": ("share = 0.02", "share = 2.0", "share"),
    "an upstream of no kind": ('kind = "folder"', 'kind = "pigeon"', "pigeon"),
    "no TOML at all": ('site = "north"', "site = ", "site.toml"),
    "rules and a strategy": ("approvals = 1", 'approvals = 1\nstrategy = "1/9/90"', "found both"),
    "downloads in a zone that is none": (
        "[rollout.policy]",
        (
            '[[rollout.downloads.shift]]\ndays = [1]\nstart = "06:00"\nend = "14:00"\n'
            'zone = "Atlantis/North"\n\n[rollout.policy]'
        ),
        "Atlantis",
    ),
    "an inventory of another site": ('site = "north"\ndir', 'site = "south"\ndir', "south"),
    "an inventory that is not there": ("inventory.toml", "elsewhere.toml", "elsewhere.toml"),
}


@pytest.mark.parametrize(("old", "new", "names"), WRONG.values(), ids=WRONG.keys())
def test_wrong_config(old: str, new: str, names: str, site: SiteFolder) -> None:
    """A wrong setting ends with 78 and one line that names it; no traceback."""
    text = site.config.read_text()
    assert old in text
    site.config.write_text(text.replace(old, new, 1))
    said = site.run("check-config", str(site.config))
    assert said.code == 78
    assert names in said.err
    assert said.err.count("\n") == 1
    assert site.on("run").code == 78


HOOK = '[[pages]]\nkind = "webhook"\nurl = "{url}"\n'
DUTY = '[[pages]]\nkind = "pagerduty"\nrouting_key = "duty.key"\n'
SHOWN = '[[pages]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:1"\n'
PAGES = {
    "two receivers of one name": (2 * HOOK.format(url="http://127.0.0.1:1"), "webhook twice"),
    "a key that is not there": (DUTY, "duty.key: expected a private file"),
    "an alert that ends before it is repeated": (SHOWN + "hold_s = 100\n", "three times resend_s"),
    "no address": (HOOK.format(url="pager"), "url"),
    "a receiver of no kind": ('[[pages]]\nkind = "pigeon"\n', "pigeon"),
}


@pytest.mark.parametrize(("pages", "names"), PAGES.values(), ids=PAGES.keys())
def test_wrong_pages(pages: str, names: str, site: SiteFolder) -> None:
    """A receiver that could not be told is found before the daemon starts, in one line."""
    site.config.write_text(f"{site.config.read_text()}\n{pages}")
    said = site.run("check-config", str(site.config))
    assert said.code == 78
    assert names in said.err
    assert said.err.count("\n") == 1


def test_a_key_that_others_can_read(site: SiteFolder) -> None:
    """Secrets are files with mode 0600, next to the configuration that names them."""
    site.config.write_text(f"{site.config.read_text()}\n{DUTY}")
    key = site.folder / "duty.key"
    key.write_text("k")
    key.chmod(0o644)
    said = site.run("check-config", str(site.config))
    assert (said.code, "expected mode 0600, found 0644" in said.err) == (78, True)
    key.chmod(0o600)
    assert site.run("check-config", str(site.config)).code == 0


def test_page_test_finds_nobody(site: SiteFolder) -> None:
    """No receiver is 4, one that is away is 5; each is named."""
    assert site.on("page-test").code == 4
    site.config.write_text(f"{site.config.read_text()}\n{SHOWN}")
    said = site.on("page-test", "--receiver", "duty")
    assert (said.code, "found alertmanager" in said.err) == (4, True)
    said = site.on("page-test", "--json")
    assert said.code == 5
    assert "Cannot connect" in json.loads(said.out)["receivers"]["alertmanager"]
    assert "not by alertmanager" in said.err


INVENTORY = {
    "a serial twice": ("gw-102", "gw-101", "twice"),
    "a zone that is not listed": ('zone = "process"', 'zone = "other"', "other"),
    "an unknown field": ("model =", "mode =", "mode"),
    "a group of one": ("model =", 'redundancy_group = "p"\nmodel =', "found gw-101 alone"),
}


@pytest.mark.parametrize(("old", "new", "names"), INVENTORY.values(), ids=INVENTORY.keys())
def test_wrong_inventory(old: str, new: str, names: str, site: SiteFolder) -> None:
    """So does a wrong inventory."""
    path = site.folder / "inventory.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    said = site.run("check-config", str(site.config))
    assert (said.code, names in said.err) == (78, True)


def test_long_inventory(site: SiteFolder) -> None:
    """Five thousand gateways whose names are long are an inventory like any other."""
    path = site.folder / "inventory.toml"
    serials = (f"gw-{number:05}-{'x' * 50}" for number in range(5000))
    more = "".join(GATEWAY.format(serial=each, number=each[:8]) for each in serials)
    path.write_text(path.read_text() + more)
    assert path.stat().st_size > 1024 * 1024
    assert site.run("check-config", str(site.config)).code == 0


def test_exposed_key(site: SiteFolder) -> None:
    """A CA key that others can read is refused, with what to do."""
    (site.folder / "identity" / "ca.key").chmod(0o644)
    said = site.run("check-config", str(site.config))
    assert said.code == 78
    assert "chmod 600" in said.err


def test_token(site: SiteFolder) -> None:
    """A token is printed once and kept as its hash alone."""
    said = site.on("token", "--serial", "gw-101", "--json")
    token = json.loads(said.out)["token"]
    assert said.code == 0
    (drop,) = (site.folder / "state" / "drops").glob("*.json")
    assert token not in drop.read_text()
    assert json.loads(drop.read_bytes())["serial"] == "gw-101"


ENDS = {
    "a token for a gateway that nobody knows": (("token", "--serial", "gw-9"), 4, "gw-9"),
    "a revocation without a reason": (("token", "--serial", "gw-101", "--revoke"), 2, "--reason"),
    "an audit log before there is one": (("audit", "verify"), 4, "site.db"),
    "a buffer before there is one": (("wal", "stat"), 4, "wal"),
    "an instant without a zone": (
        ("audit", "what-ran", "--asset", "p", "--at", "2026-01-01T00:00:00"),
        4,
        "site.db",
    ),
    "a bundle without a policy": (("bundle", "import", "x", "/nowhere"), 4, "/nowhere"),
}


@pytest.mark.parametrize(("arguments", "code", "names"), ENDS.values(), ids=ENDS.keys())
def test_ends(arguments: tuple[str, ...], code: int, names: str, site: SiteFolder) -> None:
    """What cannot be done ends with its own code and one line that names the thing."""
    said = site.on(*arguments)
    assert said.code == code
    assert names in said.err
    assert "Traceback" not in said.err


def test_usage(site: SiteFolder) -> None:
    """A command line that makes no sense ends with 2."""
    assert site.run("fly").code == 2
    assert site.run("run", "--config").code == 2


def test_no_config(site: SiteFolder, tmp_path: Path) -> None:
    """A configuration that is not there is named."""
    said = site.run("run", "--config", str(tmp_path / "none.toml"))
    assert (said.code, "none.toml" in said.err) == (78, True)
