"""The static gate: every bad model is refused by name, every good one let in."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.gate import static_gate
from edge_core.admission.model import GateLimits
from edge_core.admission.openvino_topology import read_topology
from edge_core.admission.wire import walk
from tests.simulators.bad_models import bad_models
from tests.simulators.bad_pairs import BadModel, good_pair
from tests.simulators.good_models import (
    GoodModel,
    cnn,
    forest,
    forest_proto,
    mill,
    mlp,
    mlp_proto,
    open_batch,
    signature,
)

LIMITS = GateLimits()
BAD = bad_models()
GOOD = {
    "two layers": mlp(),
    "a batch that the file leaves open": open_batch(),
    "three convolutions": cnn(),
    "a forest with a label beside its scores": forest(),
    "a long chain of products": mill(50),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_is_refused(bad: BadModel) -> None:
    """What nobody should load is refused, and the line says what is wrong in inert text."""
    with pytest.raises(ModelRefusedError) as refused:
        static_gate(bad.files, signature(), LIMITS)
    line = str(refused.value)
    assert bad.says in line
    assert len(line) < 1000
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD.keys())
def test_good_is_admitted(good: GoodModel) -> None:
    """What plants run passes, and the summary is what its signature says."""
    summary = static_gate({"model.onnx": good.content}, good.signature, LIMITS)
    assert summary.inputs == good.signature.inputs
    assert summary.outputs == good.signature.outputs
    assert summary.nodes > 0


def test_pair_is_admitted() -> None:
    """An OpenVINO pair passes with its signature, and without one."""
    summary = static_gate(good_pair(), signature(), LIMITS)
    assert summary.format == "openvino"
    assert summary.operators == {"Parameter": 1, "Const": 1, "MatMul": 1, "Result": 1}
    assert static_gate(good_pair(), None, LIMITS).inputs == signature().inputs


FILES = {"one file": {"model.onnx": mlp().content}, "a pair": good_pair()}


@pytest.mark.parametrize("files", FILES.values(), ids=FILES.keys())
def test_what_was_judged_is_known_by_its_digests(files: dict[str, bytes]) -> None:
    """The summary names each file with the digest of the very bytes that were judged."""
    assert static_gate(files, signature(), LIMITS).digests == {
        name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in files.items()
    }


def test_a_file_may_have_its_full_size() -> None:
    """As many bytes as are allowed, and not one more."""
    content = mlp().content
    files = {"model.onnx": content}
    assert static_gate(files, signature(), GateLimits(file_bytes_max=len(content))).nodes > 0
    with pytest.raises(ModelRefusedError, match=f"found {len(content)}"):
        static_gate(files, signature(), GateLimits(file_bytes_max=len(content) - 1))


def test_without_signature_the_batch_is_one() -> None:
    """An open batch is resolved, so that a build knows what it has."""
    summary = static_gate({"model.onnx": open_batch().content}, None, LIMITS)
    assert summary.inputs[0].shape == [1, 8]


BOUNDS = {
    "the file": (GateLimits(file_bytes_max=100), "at most 100 bytes"),
    "the nodes": (GateLimits(nodes_max=2), "at most 2 nodes"),
    "the weights": (GateLimits(weight_bytes_max=64), "at most 64"),
    "one tensor": (GateLimits(tensor_bytes_max=32), "at most 32"),
    "the fields": (GateLimits(entries_max=10), "at most 10 protobuf fields"),
    "the names": (GateLimits(name_chars_max=3), "at most 3 printable"),
}


@pytest.mark.parametrize(("limits", "says"), BOUNDS.values(), ids=BOUNDS.keys())
def test_bounds(limits: GateLimits, says: str) -> None:
    """Each bound is a setting, and a model beyond it hears the number."""
    with pytest.raises(ModelRefusedError, match=says):
        static_gate({"model.onnx": mlp().content}, signature(), limits)


def test_a_forest_is_bounded_in_its_attributes() -> None:
    """A forest has no weights but lists of numbers, and they are bounded as weights are."""
    content = forest_proto().SerializeToString()
    with pytest.raises(ModelRefusedError, match="attribute"):
        static_gate({"m.onnx": content}, None, GateLimits(attribute_bytes_max=8))


MODEL = mlp_proto().SerializeToString()
TOPOLOGY = good_pair()["model.xml"]


@given(st.lists(st.tuples(st.integers(0, len(MODEL) - 1), st.integers(0, 255)), max_size=8))
def test_walk_survives_any_change(changes: list[tuple[int, int]]) -> None:
    """Whatever bytes change, the walk lets the file pass or refuses it; nothing else happens."""
    changed = bytearray(MODEL)
    for at, byte in changes:
        changed[at] = byte
    try:
        assert walk("m.onnx", bytes(changed), 10_000) > 0
    except ModelRefusedError:
        return


@given(st.binary(max_size=300))
def test_walk_survives_any_bytes(content: bytes) -> None:
    """Nor do arbitrary bytes do anything but be refused or pass."""
    try:
        walk("m.onnx", content, 1000)
    except ModelRefusedError:
        return


@given(st.integers(0, len(TOPOLOGY) - 1), st.binary(max_size=12))
def test_topology_survives_any_change(at: int, patch: bytes) -> None:
    """An XML file with any bytes overwritten is read or refused."""
    changed = TOPOLOGY[:at] + patch + TOPOLOGY[at + len(patch) :]
    try:
        assert read_topology("m.xml", changed, LIMITS)
    except ModelRefusedError:
        return
