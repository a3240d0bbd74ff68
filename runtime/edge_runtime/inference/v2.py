"""What we say to a server of the Open Inference Protocol, and what may come back.

Format: KServe Open Inference Protocol v2 with the binary tensor data extension, as Triton and
OpenVINO Model Server speak it. What a server sends is foreign: every tensor must be of the
signature's name, type and shape, and every number one.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import TensorSpec
from edge_core.contracts.remote import RemoteModel
from edge_runtime.api.tensors import DATATYPES
from edge_runtime.inference.errors import ModelFailedError
from edge_runtime.inference.ring import Arrays

HEADER_LENGTH = "Inference-Header-Content-Length"
HEADER_BYTES_MAX = 64 * 1024
_JSON_BYTES_A_VALUE = 32  # a double at full length, its sign, its exponent and a comma

Outputs = tuple[NDArray[np.generic], ...]


class _Tensor(Struct, frozen=True, kw_only=True):
    name: str
    datatype: str
    shape: list[int]


class _Metadata(Struct, frozen=True, kw_only=True):
    inputs: list[_Tensor]
    outputs: list[_Tensor]


class _Parameters(Struct, frozen=True, kw_only=True):
    binary_data_size: Annotated[int, Meta(ge=0)] | None = None


class _Output(Struct, frozen=True, kw_only=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters = _Parameters()
    data: list[Any] | None = None  # Any: numbers, flat or nested, which numpy judges


class _Answer(Struct, frozen=True, kw_only=True):
    outputs: list[_Output]


def read_model(document: bytes) -> RemoteModel:
    """The `remote.json` in *document*.

    Raises:
        ModelRefusedError: it is none.
    """
    try:
        return msgspec.json.decode(document, type=RemoteModel)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelRefusedError(f"remote.json: {_inert(error)}") from None


def check_metadata(
    document: bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Whether the server's model takes and gives what the signature says.

    Raises:
        ModelRefusedError: naming the first tensor that differs.
    """
    try:
        found = msgspec.json.decode(document, type=_Metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelRefusedError(f"remote: metadata: {_inert(error)}") from None
    _check_side("input", found.inputs, inputs)
    _check_side("output", found.outputs, outputs)


def _check_side(side: str, found: list[_Tensor], wanted: Sequence[TensorSpec]) -> None:
    by_name = {each.name: each for each in found}
    for spec in wanted:
        each = by_name.get(spec.name)
        have = "none" if each is None else f"{each.datatype} {each.shape}"
        fits = each is not None and each.datatype == DATATYPES[spec.dtype]
        if each is None or not fits or not _same(each.shape, spec.shape):
            raise ModelRefusedError(
                f"remote: {side} {spec.name!a}: expected {DATATYPES[spec.dtype]} {spec.shape}, "
                f"found {have[:80]!a}"
            )


def _same(found: list[int], wanted: list[int]) -> bool:
    """Whether a shape fits; servers write -1 for what they leave open."""
    return len(found) == len(wanted) and all(
        have in {-1, want} for have, want in zip(found, wanted, strict=True)
    )


def ask(
    inputs: Sequence[TensorSpec], arrays: Arrays, outputs: Sequence[TensorSpec]
) -> tuple[bytes, int]:
    """The body of one request, and how much of it is its JSON header."""
    raw = [
        np.ascontiguousarray(each, _little(spec)).tobytes()
        for spec, each in zip(inputs, arrays, strict=True)
    ]
    header = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": DATATYPES[spec.dtype],
                "shape": spec.shape,
                "parameters": {"binary_data_size": len(tensor)},
            }
            for spec, tensor in zip(inputs, raw, strict=True)
        ],
        "outputs": [{"name": spec.name, "parameters": {"binary_data": True}} for spec in outputs],
    }
    document = msgspec.json.encode(header)
    return b"".join((document, *raw)), len(document)


def answer_bytes_max(outputs: Sequence[TensorSpec]) -> int:
    """More than any right answer takes, in binary or in JSON."""
    values = sum(int(np.prod(spec.shape)) for spec in outputs)
    return HEADER_BYTES_MAX + values * _JSON_BYTES_A_VALUE


def read_answer(body: bytes, header_length: str | None, outputs: Sequence[TensorSpec]) -> Outputs:
    """The outputs in *body*, in the order of *outputs*.

    Raises:
        ModelFailedError: not an answer, or not the signature's tensors.
    """
    split = len(body)
    if header_length is not None and header_length.isdecimal():
        split = min(split, int(header_length[:10]))
    try:
        answer = msgspec.json.decode(body[:split], type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFailedError(f"remote: answer: {_inert(error)}") from None
    by_name: dict[str, NDArray[np.generic]] = {}
    wanted = {spec.name: spec for spec in outputs}
    at = split
    for each in answer.outputs:
        size = each.parameters.binary_data_size
        spec = wanted.get(each.name)
        if spec is not None:
            by_name[each.name] = _tensor(each, spec, body[at : at + (size or 0)])
        at += size or 0
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise ModelFailedError(f"remote: expected output {missing[0]}, found none")
    return tuple(by_name[name] for name in wanted)


def _tensor(found: _Output, spec: TensorSpec, raw: bytes) -> NDArray[np.generic]:
    if found.datatype != DATATYPES[spec.dtype] or found.shape != spec.shape:
        have = f"{found.datatype} {found.shape}"
        raise ModelFailedError(
            f"output {spec.name}: expected {DATATYPES[spec.dtype]} {spec.shape}, "
            f"found {have[:80]!a}"
        )
    dtype = _little(spec)
    try:
        # Too large a number becomes infinity, which is looked for below.
        with np.errstate(over="ignore"):
            flat = np.frombuffer(raw, dtype) if found.data is None else np.array(found.data, dtype)
        values = flat.reshape(spec.shape).astype(spec.dtype.value)
    except (TypeError, ValueError, OverflowError):
        raise ModelFailedError(
            f"output {spec.name}: expected {spec.shape} numbers, found other bytes"
        ) from None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelFailedError(f"output {spec.name} holds NaN or infinity")
    return values


def _little(spec: TensorSpec) -> np.dtype[np.generic]:
    return np.dtype(spec.dtype.value).newbyteorder("<")


def _inert(error: Exception) -> str:
    return ascii(str(error))[1:-1][:200]
