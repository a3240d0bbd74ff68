"""The trust policy: what loads, which rule holds, and what stops the daemon."""

import hashlib
from pathlib import Path

import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.plant import SafetyClass
from edge_core.trust import FileSigner, NotVerifiedError, Step, Trust
from edge_core.trust.policy import POLICY_BYTES_MAX

RULES = """
[[rules]]
stage = "production"
keys = ["a", "b"]
threshold = 1
builder_ids = ["https://ci"]
sources = ["git+https://repo"]

[[rules]]
stage = "production"
safety_classes = ["safety"]
keys = ["a", "b"]
threshold = 2
builder_ids = ["https://ci"]
sources = ["git+https://repo"]

[channel]
keys = ["b"]
"""


def _keys(signers: dict[str, FileSigner]) -> str:
    pem = signers["release-b"].public_key.to_pem().decode()
    return f'version = 3\nkeys = [{{id="a", path="a.pub"}}, {{id="b", pem="""{pem}"""}}]\n'


@pytest.fixture
def folder(tmp_path: Path, signers: dict[str, FileSigner]) -> Path:
    """A folder with one key file."""
    (tmp_path / "a.pub").write_bytes(signers["release-a"].public_key.to_pem())
    (tmp_path / "text").write_text("not a key")
    return tmp_path


def _load(folder: Path, text: str) -> Trust:
    (folder / "trust-policy.toml").write_text(text)
    return Trust.load(folder / "trust-policy.toml")


def test_rules_by_safety_class(folder: Path, signers: dict[str, FileSigner]) -> None:
    """The rule that names a class holds for it, the one that names none for the rest."""
    trust = _load(folder, _keys(signers) + RULES)
    assert trust.rule("production", SafetyClass.SAFETY).threshold == 2
    assert trust.rule("production", SafetyClass.NONE).threshold == 1
    assert trust.channel_rule().keys == ["b"]
    with pytest.raises(
        NotVerifiedError, match=r"expected \[plan\] in the trust policy, found none$"
    ):
        trust.plan_rule()
    assert trust.keyring.ids == {"a", "b"}
    assert trust.policy.version == 3
    raw = (folder / "trust-policy.toml").read_bytes()
    assert trust.digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"


def test_whose_plans_count(folder: Path, signers: dict[str, FileSigner]) -> None:
    """Plans have a role of their own: not the keys of releases, nor those of the channel."""
    plans = '\n[plan]\nkeys = ["a"]\n'
    trust = _load(folder, _keys(signers) + RULES + plans)
    assert (trust.plan_rule().keys, trust.plan_rule().threshold) == (["a"], 1)
    with pytest.raises(ConfigurationError, match=r"^plan: .*at most 1, found 2"):
        _load(folder, _keys(signers) + RULES + plans + "threshold = 2\n")


def test_a_policy_may_be_so_large(folder: Path, signers: dict[str, FileSigner]) -> None:
    """A file may have its full size and not a byte more."""
    text = _keys(signers) + RULES
    full = text + "#" * (POLICY_BYTES_MAX - len(text))
    assert _load(folder, full).policy.version == 3
    with pytest.raises(ConfigurationError, match=f"at most {POLICY_BYTES_MAX} bytes, found more"):
        _load(folder, full + "#")


def test_no_rule_means_no(folder: Path, signers: dict[str, FileSigner]) -> None:
    """A stage without a rule refuses everything, and so does a policy without a channel."""
    trust = _load(folder, _keys(signers) + RULES.split("[channel]", maxsplit=1)[0])
    with pytest.raises(NotVerifiedError, match="a rule for stage 'lab'") as refusal:
        trust.rule("lab", SafetyClass.NONE)
    assert refusal.value.step is Step.POLICY
    said = r"expected \[channel\] in the trust policy, found none$"
    with pytest.raises(NotVerifiedError, match=said):
        trust.channel_rule()


SPOILED = {
    "a typo": (("threshold = 2", "treshold = 2"), "treshold: no such key, expected `threshold`"),
    "a threshold nobody can meet": (("threshold = 2", "threshold = 3"), "at most 2, found 3"),
    "a threshold that one key under two entries would meet": (
        ('keys = ["a", "b"]\nthreshold = 2', 'keys = ["a", "a"]\nthreshold = 2'),
        "at most 1, found 2",
    ),
    "a key that is not there": (('keys = ["b"]', 'keys = ["c"]'), "^channel: .*found 'c'"),
    "two rules for one case": (
        ('safety_classes = ["safety"]\n', ""),
        "stage 'production' and safety class 'any other', found two",
    ),
    "a class nobody has": (('["safety"]', '["sil4"]'), "sil4"),
    "a threshold of none": (("threshold = 1", "threshold = 0"), "at least 1 .*found 0"),
    "no builder": (
        ('builder_ids = ["https://ci"]', "builder_ids = []"),
        "builder_ids: expected a list",
    ),
    "a key file that is not there": (('path="a.pub"', 'path="z.pub"'), "No such file"),
    "a key with neither": (('path="a.pub"', ""), "unexpected|Invalid|either path or pem"),
    "a key with both": (('path="a.pub"', 'path="a.pub", pem="x"'), "either path or pem"),
    "a PEM that is none": (('"a.pub"', '"text"'), "keys: 'a'.*expected a PEM public key"),
    "no TOML": (("version = 3", "version"), "trust policy"),
}


@pytest.mark.parametrize(("change", "message"), SPOILED.values(), ids=SPOILED.keys())
def test_spoiled(
    change: tuple[str, str], message: str, folder: Path, signers: dict[str, FileSigner]
) -> None:
    """A policy that could accept by accident stops the daemon with the name of the setting."""
    text = (_keys(signers) + RULES).replace(*change)
    with pytest.raises(ConfigurationError, match=message):
        _load(folder, text)


def test_one_key_under_two_ids(folder: Path, signers: dict[str, FileSigner]) -> None:
    """The same key pinned twice would meet a threshold of two alone."""
    (folder / "a.pub").write_bytes(signers["release-b"].public_key.to_pem())
    with pytest.raises(ConfigurationError, match="found one as 'a' and 'b'"):
        _load(folder, _keys(signers) + RULES)
