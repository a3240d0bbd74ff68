"""A TensorRT engine is for one GPU and one library; it is compared before it is read."""

import msgspec
import pytest

from edge_core.admission.backends.catalogue import open_backend
from edge_core.admission.backends.engine_key import EngineKey, box_key, check_key, read_key
from edge_core.admission.errors import ModelRefusedError
from tests.simulators.good_models import signature

KEY = EngineKey(gpu="Orin (nvgpu)", compute_capability="8.7", tensorrt="10.13.3")


def test_the_same_box() -> None:
    """An engine may be read where everything is as it was built for."""
    check_key(read_key(msgspec.json.encode(KEY)), KEY)


BOXES: dict[str, tuple[EngineKey | None, str]] = {
    "no GPU at all": (None, r"built for 'Orin \(nvgpu\)' \(8.7\) and TensorRT 10.13.3, found no"),
    "another GPU of the same capability": (
        msgspec.structs.replace(KEY, gpu="Orin Nano"),
        r"expected gpu 'Orin \(nvgpu\)', found 'Orin Nano'",
    ),
    "another capability": (
        msgspec.structs.replace(KEY, compute_capability="8.6"),
        "expected compute_capability '8.7', found '8.6'",
    ),
    "another library": (
        msgspec.structs.replace(KEY, tensorrt="10.13.2"),
        "expected tensorrt '10.13.3', found '10.13.2'",
    ),
}


@pytest.mark.parametrize("name", BOXES)
def test_another_box(name: str) -> None:
    """Each row is a box and the line that refuses the engine there."""
    box, says = BOXES[name]
    with pytest.raises(ModelRefusedError, match=says):
        check_key(KEY, box)


DOCUMENTS = {
    "not JSON": b"\x1b[2J",
    "a key too many": b'{"gpu":"a","compute_capability":"8.7","tensorrt":"10.1.0","by":"me"}',
    "no capability": b'{"gpu":"a","compute_capability":"8","tensorrt":"10.1.0"}',
    "no library": b'{"gpu":"a","compute_capability":"8.7"}',
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_key(name: str) -> None:
    """What is no key is refused in one inert line."""
    with pytest.raises(ModelRefusedError, match=r"^engine\.json: ") as refused:
        read_key(DOCUMENTS[name])
    assert str(refused.value).isprintable()


def test_nothing_is_deserialised_here() -> None:
    """Without a key, without a GPU and even with both an engine is refused in one line."""
    backend = open_backend("tensorrt")
    made = signature()
    with pytest.raises(ModelRefusedError, match=r"exactly one \.json"):
        backend.load({"model.engine": b"engine"}, made.inputs, made.outputs)
    files = {"model.engine": b"engine", "engine.json": msgspec.json.encode(box_key() or KEY)}
    with pytest.raises(ModelRefusedError, match=r"^tensorrt does not load it: ") as refused:
        backend.load(files, made.inputs, made.outputs)
    assert str(refused.value).isprintable()
