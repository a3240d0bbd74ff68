"""What a TensorRT engine was built for, and whether this box is that.

An engine is machine code for one GPU and one library; deserialising another's is undefined, so
both are compared before a byte of it is read. See NVIDIA's developer guide, "Compatibility".
"""

import ctypes
import importlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge_core.admission.errors import ModelRefusedError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_* of cuda.h


class EngineKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`engine.json`, beside the engine; and the same of a box."""

    gpu: Annotated[str, Meta(min_length=1, max_length=100)]
    compute_capability: Annotated[str, Meta(pattern=r"^[0-9]{1,2}\.[0-9]\Z")]
    tensorrt: Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+){2,3}\Z")]


def read_key(document: bytes) -> EngineKey:
    """The key in an `engine.json`.

    Raises:
        ModelRefusedError: it is none.
    """
    try:
        return msgspec.json.decode(document, type=EngineKey)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelRefusedError(f"engine.json: {ascii(str(error))[1:-1][:200]}") from None


def check_key(engine: EngineKey, box: EngineKey | None) -> None:
    """Whether *engine* may be deserialised on *box*; None is a box without TensorRT or GPU.

    Raises:
        ModelRefusedError: naming the first thing that differs.
    """
    if box is None:
        raise ModelRefusedError(
            f"tensorrt does not load it: built for {engine.gpu!a} "
            f"({engine.compute_capability}) and TensorRT {engine.tensorrt}, found no TensorRT "
            "with a GPU on this machine"
        )
    for what in ("gpu", "compute_capability", "tensorrt"):
        built, here = getattr(engine, what), getattr(box, what)
        if built != here:
            raise ModelRefusedError(
                f"tensorrt does not load it: expected {what} {built!a}, found {here!a}"
            )


def box_key() -> EngineKey | None:
    """Of this box's first GPU, or None without one or without TensorRT."""
    try:
        version = str(importlib.import_module("tensorrt").__version__)
        driver = ctypes.CDLL("libcuda.so.1")
    except (ImportError, OSError):
        return None
    if driver.cuInit(0) != 0:
        return None
    name = ctypes.create_string_buffer(100)
    driver.cuDeviceGetName(name, len(name), 0)
    found = []
    for attribute in (_MAJOR, _MINOR):
        number = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, 0)
        found.append(number.value)
    gpu = name.value.decode("ascii", "replace")
    return EngineKey(gpu=gpu, compute_capability=f"{found[0]}.{found[1]}", tensorrt=version)
