"""Tensors in every datatype of the protocol, as JSON and as raw bytes, there and back."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, from_dtype

from edge_runtime.api.tensors import DATATYPES, InferRequest, RequestError, decode, encode

NUMBERS = sorted(name for name in DATATYPES if name != "object")


def tensor_of(kind: str) -> st.SearchStrategy[Any]:  # arrays
    """Finite arrays of any shape."""
    shapes = st.lists(st.integers(1, 4), max_size=4).map(tuple)
    if kind == "object":
        texts = st.text(max_size=5).map(str.encode)
        return arrays(object, shapes, elements=texts)

    return arrays(
        kind, shapes, elements=from_dtype(np.dtype(kind), allow_nan=False, allow_infinity=False)
    )


@given(st.sampled_from([*NUMBERS, "object"]).flatmap(tensor_of), st.booleans())
def test_there_and_back(array: Any, binary: bool) -> None:  # noqa: FBT001 - drawn
    """What we write of any type and shape we read as the same array."""
    asked = msgspec.json.decode(b'{"inputs":[{"name":"x","shape":[],"datatype":"X"}]}')
    asked["parameters"] = {"binary_data_output": binary}

    request = msgspec.convert(asked, InferRequest)
    written, head = encode(request, {"x": array}, ("pump", "1"))
    assert (head is not None) is binary
    body = written.replace(b'"outputs"', b'"inputs"', 1)
    length = None if head is None else head - 1
    for declared in {length, None}:
        found = decode(body, declared).tensors["x"]
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tolist() == array.tolist()


SPOILT = {
    "a length that is cut off": b"\x02\0\0",
    "an element that is cut off": b"\x02\0\0\0a",
    "a length beyond all bytes": b"\xff\xff\xff\xffab",
    "one element of two": b"\x01\0\0\0a",
    "three elements of two": b"\x01\0\0\0a" * 3,
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_elements(name: str) -> None:
    """Each row is no list of two elements of BYTES."""
    raw = SPOILT[name]
    tensor = {
        "name": "x",
        "shape": [2],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(RequestError, match="input 'x': expected"):
        decode(head + raw, len(head))
