"""`edge-pack` as its users meet it: exit codes, one clear line, JSON on stdout."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_core.contracts.artefact import SBOM_TYPE, UNKNOWN
from edge_core.contracts.rollout import OnFail
from edge_core.oci import Layout, fetch_plan
from edge_core.trust import DocumentRule, Trust, verify_plan
from edge_packaging.__main__ import main
from edge_packaging.inputs import read_signature
from tests.simulators.bad_models import bad_models
from tests.unit.packing.kinds import KINDS
from tests.unit.packing.made import TARGETS, contract, policy, write_inputs

TAG = "pump-1.2.3"
OLD = "sha256:" + "0a" * 32


@dataclass(frozen=True, slots=True)
class Workshop:
    """A release that was built and signed once, for all tests that only look."""

    folder: Path
    layout: Path
    digest: str

    def policy(self, threshold: int) -> Path:
        """A policy that asks for *threshold* of the two keys."""
        path = self.folder / f"policy-{threshold}.toml"
        keys = {name: self.folder / f"{name}.pem.pub" for name in ("a", "b")}
        path.write_text(policy(keys, threshold), encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Two keys, one release for two targets, signed by the first key."""
    folder = tmp_path_factory.mktemp("workshop")
    layout = folder / "layout"
    config = write_inputs(folder / "in", targets=TARGETS)
    for name in ("a", "b"):
        assert main(["keygen", str(folder / f"{name}.pem")]) == 0
    assert main(["build", str(config), "--out", str(layout)]) == 0
    assert main(["sign", str(layout), TAG, "--key", str(folder / "a.pem")]) == 0
    listed = json.loads((layout / "index.json").read_bytes())["manifests"]
    digest = next(
        e["digest"]
        for e in listed
        if e.get("annotations", {}).get("org.opencontainers.image.ref.name") == TAG
    )
    return Workshop(folder=folder, layout=layout, digest=digest)


def test_a_signed_release_verifies(
    workshop: Workshop, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """One of one key has signed: exit 0, and the signer is named."""
    assert (
        main(["verify", str(workshop.layout), TAG, "--policy", str(workshop.policy(1)), "--json"])
        == 0
    )
    answer = json.loads(capsysbinary.readouterr().out)
    assert answer == {"digest": workshop.digest, "signers": ["a"]}


def test_a_threshold_that_is_not_met_refuses(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two keys are asked for and one has signed: exit 3, and the step is named."""
    assert main(["verify", str(workshop.layout), TAG, "--policy", str(workshop.policy(2))]) == 3
    assert "step 13 (threshold)" in capsys.readouterr().err


def test_show_lists_both_targets(
    workshop: Workshop, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Both targets are there, each with model, contract, reference, smoke vectors and card."""
    assert main(["show", str(workshop.layout), TAG, "--json"]) == 0
    shown = json.loads(capsysbinary.readouterr().out)
    assert set(shown["targets"]) == set(TARGETS)
    assert (shown["signatures"], shown["sboms"]) == (1, 1)
    for files in shown["targets"].values():
        roles = {f["role"] for f in files}
        assert roles == {"model", "signature", "reference", "smoke", "model-card"}


@pytest.mark.anyio
async def test_the_sbom_names_every_file(workshop: Workshop) -> None:
    """The ML-BOM is valid CycloneDX 1.6, and each layer of the release is a component of it."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - its grammars take seconds to load
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - likewise

    layout = Layout.open(workshop.layout)
    referrer = (await layout.referrers(workshop.digest, SBOM_TYPE))[0]
    raw = layout.blobs.read((await layout.manifest(referrer.digest)).manifest().layers[0].digest)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(raw.decode()) is None
    bom = json.loads(raw)
    named = {c["bom-ref"] for c in bom["components"]}
    for listed in (await layout.manifest(workshop.digest)).index().manifests:
        layers = (await layout.manifest(listed.digest)).manifest().layers
        assert {layer.digest for layer in layers} <= named
    assert bom["metadata"]["component"]["modelCard"]["considerations"]["useCases"] == [
        "To be tested."
    ]


def test_published_is_what_was_signed(workshop: Workshop, tmp_path: Path) -> None:
    """A copy in another layout has the same digest, and verifies there by itself."""
    copy = tmp_path / "copy"
    assert main(["publish", str(workshop.layout), TAG, "--to", str(copy)]) == 0
    assert main(["verify", str(copy), workshop.digest, "--policy", str(workshop.policy(1))]) == 0


def test_one_flipped_byte_is_found(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One byte of the model changed on disk: exit 3, and both digests are named."""
    copy = tmp_path / "copy"
    main(["publish", str(workshop.layout), TAG, "--to", str(copy)])
    capsys.readouterr()
    main(["show", str(copy), TAG, "--json"])
    files = json.loads(capsys.readouterr().out)["targets"][TARGETS[0]]
    (digest,) = (each["digest"] for each in files if each["role"] == "model")
    blob = copy / "blobs" / "sha256" / digest.removeprefix("sha256:")
    raw = bytearray(blob.read_bytes())
    raw[len(raw) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(raw)
    assert main(["verify", str(copy), TAG, "--policy", str(workshop.policy(1))]) == 3
    assert blob.name in capsys.readouterr().err


def test_the_same_build_gives_the_same_release(workshop: Workshop, tmp_path: Path) -> None:
    """Built again from the same files: the same digest, so nothing depends on time or chance."""
    config = write_inputs(tmp_path / "in", targets=TARGETS)
    assert main(["build", str(config), "--out", str(tmp_path / "again")]) == 0
    assert main(["show", str(tmp_path / "again"), workshop.digest]) == 0


def test_a_channel_is_published_under_the_site(
    workshop: Workshop, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The channel of a site is signed and stands where the site will look."""
    copy = tmp_path / "copy"
    main(["publish", str(workshop.layout), TAG, "--to", str(copy)])
    capsysbinary.readouterr()
    key = str(workshop.folder / "a.pem")
    asked = [
        "channel",
        str(copy),
        "--site",
        "plant",
        "--sequence",
        "7",
        "--release",
        TAG,
        "--key",
        key,
    ]
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["sequence"] == 7


TERMS = """
on_fail = "auto_rollback"
approvals = 2

[[cohorts]]
name = "canary"
share = 0.01

[[cohorts]]
name = "rest"
share = 1.0

[gate]
soak_min_s = 3600
"""


def ask_plan(
    workshop: Workshop, folder: Path, *more: str, terms: str = TERMS, sequence: str = "7"
) -> int:
    """`edge-pack plan` for the workshop's release, in a copy of its layout."""
    copy = folder / "copy"
    main(["publish", str(workshop.layout), TAG, "--to", str(copy)])
    (folder / "plan.toml").write_text(terms, encoding="utf-8")
    asked = ["plan", str(copy), str(folder / "plan.toml"), "--release", TAG]
    key = str(workshop.folder / "a.pem")
    return main([*asked, "--sequence", sequence, "--key", key, *more])


def test_a_plan_is_published_under_the_model(
    workshop: Workshop, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It is signed, stands where sites will look, and says what the file and the options said."""
    assert ask_plan(workshop, tmp_path, "--rollback", OLD, "--site", "north", "--json") == 0
    answer = json.loads(capsysbinary.readouterr().out.splitlines()[-1])
    assert (answer["sequence"], answer["tag"]) == (7, "plan-pump")
    trust = Trust.load(workshop.policy(1))
    layout = Layout.open(tmp_path / "copy")
    bundles = asyncio.run(fetch_plan(layout, "pump", layout.blobs))
    rule = DocumentRule(keys=["a"])
    signed = verify_plan(bundles, rule, trust.keyring, model="pump")
    assert (signed.digest, signed.signers) == (answer["digest"], ("a",))
    plan = signed.document
    assert (plan.release.digest, plan.rollback, plan.sites) == (workshop.digest, OLD, ["north"])
    assert (plan.terms.on_fail, plan.terms.approvals) == (OnFail.AUTO_ROLLBACK, 2)
    assert plan.terms.gate.soak_min_s == 3600.0
    assert [rule.name for rule in plan.terms.cohorts] == ["canary", "rest"]


BAD_PLANS: dict[str, tuple[int, str, str, list[str], str]] = {
    "an unknown setting": (78, TERMS.replace("approvals", "aprovals"), "7", [], "aprovals"),
    "a wrong value": (78, TERMS.replace("3600", "-1"), "7", [], "soak_min_s"),
    "no steps": (78, "approvals = 2", "7", [], "cohorts"),
    "a number below one": (3, TERMS, "0", [], "sequence"),
    "no name of a site": (3, TERMS, "7", ["--site", "North Plant"], "sites"),
    "it would have expired already": (3, TERMS, "7", ["--days", "-1"], "expected expires after"),
    "back to itself": (3, TERMS, "7", ["--rollback", TAG], "expected another release of pump"),
    "back to what is not there": (4, TERMS, "7", ["--rollback", "pump-0.0.1"], "pump-0.0.1"),
}


@pytest.mark.parametrize("name", BAD_PLANS)
def test_a_plan_that_nobody_would_accept_is_not_signed(
    name: str, workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signer is told in one line, and nothing is published."""
    code, terms, sequence, more, says = BAD_PLANS[name]
    assert ask_plan(workshop, tmp_path, *more, terms=terms, sequence=sequence) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert "plan-pump" not in asyncio.run(Layout.open(tmp_path / "copy").tags())


@dataclass(frozen=True, slots=True)
class Wrong:
    """A spoiled build: what is changed, how it ends, and what the line must say."""

    exit_code: int
    says: str
    targets: tuple[str, ...] = TARGETS[:1]
    extra: str = ""
    files: tuple[tuple[str, bytes], ...] = ()


def _signature(**changes: object) -> bytes:
    plain = msgspec.to_builtins(contract())
    return msgspec.json.encode(plain | changes)


WRONG = {
    "an unknown key is named": Wrong(78, "speling", extra='speling = "x"\n'),
    "a target nobody builds is refused": Wrong(
        3, "linux-arm64/litert", targets=("linux-arm64/litert/int8/b1",)
    ),
    "a target that makes no sense is refused": Wrong(3, "<os>-<arch>", targets=("nonsense",)),
    "a batch the contract does not have is refused": Wrong(
        3, "b1", targets=("linux-amd64/onnxruntime/fp32/b8",)
    ),
    "a target given twice is refused": Wrong(78, "twice", targets=TARGETS[:1] * 2),
    "a truncated model is refused": Wrong(3, "model.onnx", files=(("model.onnx", b"\x08"),)),
    "a hostile model is refused": Wrong(
        3,
        "model.onnx",
        files=(("model.onnx", next(iter(bad_models().values())).files.get("model.onnx", b"")),),
    ),
    "a contract that is not JSON is refused": Wrong(
        78, "signature.json", files=(("signature.json", b"{"),)
    ),
    "a contract whose classes do not fit the output is refused": Wrong(
        78,
        "output 'scores': expected [batch, 7], one score a class, found [1, 3]",
        files=(
            ("signature.json", _signature(classes=["c0", "c1", "c2", "c3", "c4", "c5", "c6"])),
        ),
    ),
    "a normal class that is none is refused": Wrong(
        78,
        "normal class: expected one of",
        files=(("signature.json", _signature(normal_class=UNKNOWN)),),
    ),
    "a safe output that is no class is refused": Wrong(
        78, "safe_output", files=(("signature.json", _signature(safe_output="panic")),)
    ),
    "windows that are no archive are refused": Wrong(
        78, "windows.npz", files=(("windows.npz", b"not an archive"),)
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_refused_in_one_line(
    wrong: Wrong, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong is named in one line, the exit code says the kind, nothing is tagged."""
    config = write_inputs(tmp_path / "in", targets=wrong.targets, extra=wrong.extra)
    for name, content in wrong.files:
        (tmp_path / "in" / name).write_bytes(content)
    assert main(["build", str(config), "--out", str(tmp_path / "out")]) == wrong.exit_code
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("edge-pack: ")
    assert wrong.says in said
    assert main(["show", str(tmp_path / "out"), TAG]) == 4


@pytest.mark.parametrize("label", ["c0", "c1", UNKNOWN])
def test_a_safe_output_is_a_class_or_not_knowing(label: str, tmp_path: Path) -> None:
    """What holds without a verdict may be a class; it may say that nobody knows."""
    path = tmp_path / "signature.json"
    path.write_bytes(_signature(safe_output=label))
    assert read_signature(path).safe_output == label


def test_only_what_is_listed_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target that the configuration does not list is refused; a release is never empty."""
    config, out = str(write_inputs(tmp_path / "in")), str(tmp_path / "out")
    assert main(["build", config, "--out", out, "--only", TARGETS[1]]) == 78
    assert f"--only {TARGETS[1]}: expected one of {TARGETS[0]}" in capsys.readouterr().err
    assert main(["show", out, TAG]) == 4


def test_windows_with_gaps_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A NaN in the validation windows would become a bar of NaN, so it is refused."""
    config = write_inputs(tmp_path / "in")
    path = tmp_path / "in" / "windows.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["normal"][3, 3, 0] = np.nan
    np.savez(path, **arrays)
    assert main(["build", str(config), "--out", str(tmp_path / "out")]) == 78
    assert "NaN" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_a_model_is_inspected_in_each_form(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either file is put through the gate against its contract, and what it declares is shown."""
    KINDS["a classification, for every runtime"].write(tmp_path)
    contract_path = str(tmp_path / "signature.json")
    assert main(["inspect", str(tmp_path / name), "--signature", contract_path]) == 0
    assert "output scores float32 [1, 3]" in capsys.readouterr().out
    (tmp_path / name).write_bytes(b"no model")
    assert main(["inspect", str(tmp_path / name)]) == 3
    assert name in capsys.readouterr().err


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """`keygen` on a path where a key is: exit 6, and the key is as it was."""
    path = tmp_path / "k.pem"
    assert main(["keygen", str(path)]) == 0
    before = path.read_bytes()
    assert main(["keygen", str(path)]) == 6
    assert path.read_bytes() == before


def test_signing_what_was_never_built_here_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    """A layout without the statement of a build has nothing to sign: exit 4."""
    copy = tmp_path / "copy"
    main(["publish", str(workshop.layout), TAG, "--to", str(copy)])
    assert main(["sign", str(copy), TAG, "--key", str(workshop.folder / "a.pem")]) == 4


@pytest.mark.parametrize(
    "command",
    ["keygen", "inspect", "build", "sign", "verify", "publish", "show", "channel", "plan"],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` answers with exit 0 and says what the command does."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"edge-pack {command}" in capsys.readouterr().out
