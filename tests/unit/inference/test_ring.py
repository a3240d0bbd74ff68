"""The shared memory: what one side puts in, the other takes out, and text comes out inert."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import Dtype, TensorSpec
from edge_runtime.inference.ring import (
    RING_BYTES_MAX,
    Ring,
    SlotStatus,
    layout,
    shared_memory,
)

FEATURES = TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 5])
CODES = TensorSpec(name="codes", dtype=Dtype.INT64, shape=[3])
SCORES = TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, 2])


@given(st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_slots_are_apart(slots: int, sequence: int) -> None:
    """Both sides see the same memory, and no slot reaches into the next."""
    plan = layout([FEATURES, CODES], [SCORES], slots)
    ring, fd = Ring.create(plan)
    other = Ring(fd, plan)
    os.close(fd)
    for slot in range(slots):
        window = (np.full((1, 5), slot, np.float32), np.full(3, -slot, np.int64))
        ring.give(slot, sequence, window)
    for slot in range(slots):
        assert other.header(slot) == (sequence, 0, SlotStatus.GIVEN)
        assert other.inputs[slot][0].tolist() == [[slot] * 5]
        assert other.inputs[slot][1].tolist() == [-slot] * 3
        other.outputs[slot][0][:] = slot
    assert [ring.outputs[slot][0][0, 1] for slot in range(slots)] == list(range(slots))


def test_arrays_begin_on_cache_lines() -> None:
    """No two tensors share a line, so the two processes do not fight for it."""
    ring, fd = Ring.create(layout([FEATURES, CODES], [SCORES], 3))
    os.close(fd)
    for slot in range(3):
        for view in (*ring.inputs[slot], *ring.outputs[slot]):
            assert view.ctypes.data % 64 == 0


def test_as_many_slots_as_fit() -> None:
    """Large windows get fewer slots; a window that never fits is refused by its size."""
    wide = TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 1024, 1024])
    assert layout([wide], [SCORES], 250).slots == RING_BYTES_MAX // (4 * 1024 * 1024 + 320)
    huge = TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 65536, 65536])
    with pytest.raises(ModelRefusedError, match="one window takes 17179869"):
        layout([huge], [SCORES], 4)


@given(st.binary(max_size=400))
def test_text_is_inert(text: bytes) -> None:
    """Whatever a worker writes as its reason, one printable ASCII line comes out."""
    ring, fd = Ring.create(layout([FEATURES], [SCORES], 1))
    os.close(fd)
    ring.mark(0, 1, SlotStatus.FAILED, 0, text)
    assert ring.text(0).isascii()
    assert not ring.text(0) or ring.text(0).isprintable()


@given(st.binary(max_size=70_000))
def test_greeting_is_bounded(greeting: bytes) -> None:
    """A greeting comes out as it went in, up to its bound."""
    ring, fd = Ring.create(layout([FEATURES], [SCORES], 1))
    os.close(fd)
    ring.greet(greeting)
    assert ring.greeting() == greeting[: 64 * 1024 - 4]


@pytest.mark.parametrize("size_bytes", [0, 4096, 1 << 20])
def test_no_other_length(size_bytes: int) -> None:
    """Whoever has the memory can make it neither shorter nor longer: that would kill the other."""
    fd = shared_memory("test", 8192)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size_bytes)
    finally:
        os.close(fd)
