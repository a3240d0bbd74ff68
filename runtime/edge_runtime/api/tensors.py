"""Tensors of the Open Inference Protocol, JSON and binary: bytes in, arrays out, and back.

Format: KServe Open Inference Protocol v2 with the binary tensor data extension: the JSON header
comes first, its length is in `Inference-Header-Content-Length`, raw little-endian tensors follow
in the order of the tensors that declare `binary_data_size`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edge_core.contracts.artefact import Dtype, TensorSpec
from edge_core.contracts.errors import RefusedError

DATATYPES: Final = {Dtype.FLOAT32: "FP32", Dtype.INT64: "INT64"}
TENSORS_MAX: Final = 8
ELEMENTS_MAX: Final = 1_000_000

Tensor = NDArray[np.generic]
Shape = Annotated[list[Annotated[int, Meta(ge=1, le=ELEMENTS_MAX)]], Meta(max_length=8)]


class RequestError(RefusedError):
    """The request is not one that this model can answer."""


class Parameters(Struct, frozen=True, kw_only=True):
    """The parameters that we know; others are allowed and ignored."""

    binary_data_size: Annotated[int, Meta(ge=0)] | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None


class RequestTensor(Struct, frozen=True, kw_only=True):
    """One input; `data` is flat or nested, and absent where the bytes come after the header."""

    name: Annotated[str, Meta(max_length=128)]
    shape: Shape
    datatype: Annotated[str, Meta(max_length=16)]
    parameters: Parameters = Parameters()
    data: list[Any] | None = None  # Any: flat or nested numbers, checked by numpy


class RequestedOutput(Struct, frozen=True, kw_only=True):
    """One output that the client wants."""

    name: Annotated[str, Meta(max_length=128)]
    parameters: Parameters = Parameters()


class InferRequest(Struct, frozen=True, kw_only=True):
    """The JSON part of a request."""

    inputs: Annotated[list[RequestTensor], Meta(min_length=1, max_length=TENSORS_MAX)]
    id: Annotated[str, Meta(max_length=200)] | None = None
    parameters: Parameters = Parameters()
    outputs: Annotated[list[RequestedOutput], Meta(max_length=TENSORS_MAX)] = []


@dataclass(frozen=True, slots=True)
class Infer:
    """A request that fits its model; `arrays` are in the order of the signature."""

    request: InferRequest
    arrays: tuple[Tensor, ...]


def decode(body: bytes, header_length: int | None, inputs: Sequence[TensorSpec]) -> Infer:
    """Read a request for a model with these *inputs*.

    Raises:
        RequestError: it is not of the protocol's form, or does not fit the model.
    """
    split = len(body) if header_length is None else header_length
    if not 0 < split <= len(body):
        raise RequestError(f"request: expected a JSON header of 1 to {len(body)} bytes")
    try:
        request = msgspec.json.decode(body[:split], type=InferRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"request: {ascii(str(error))[1:-1][:300]}") from None
    given = _arrays(request.inputs, body[split:])
    missing = [spec.name for spec in inputs if spec.name not in given]
    if missing or len(given) != len(inputs):
        names = ", ".join(spec.name for spec in inputs)
        raise RequestError(f"inputs: expected {names}, found {', '.join(given)}")
    return Infer(request, tuple(_fitting(given[spec.name], spec) for spec in inputs))


def _arrays(tensors: Sequence[RequestTensor], raw: bytes) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    at = 0
    for tensor in tensors:
        size = tensor.parameters.binary_data_size
        if size is None:
            found[tensor.name] = _from_json(tensor)
        else:
            found[tensor.name] = _from_bytes(tensor, raw[at : at + size], size)
            at += size
    if at != len(raw):
        raise RequestError(f"request: expected {at} bytes of tensors, found {len(raw)}")
    return found


def _from_json(tensor: RequestTensor) -> Tensor:
    try:
        flat = np.asarray(tensor.data, _dtype(tensor)).ravel()
    except (TypeError, ValueError, OverflowError):
        raise RequestError(
            f"input {tensor.name}: expected numbers, found something else"
        ) from None
    return _shaped(tensor, flat)


def _from_bytes(tensor: RequestTensor, raw: bytes, size: int) -> Tensor:
    dtype = _dtype(tensor)
    if len(raw) != size or size % dtype.itemsize:
        raise RequestError(f"input {tensor.name}: expected {size} bytes, found {len(raw)}")
    return _shaped(tensor, np.frombuffer(raw, dtype))


def _dtype(tensor: RequestTensor) -> np.dtype[np.generic]:
    for dtype, name in DATATYPES.items():
        if name == tensor.datatype:
            return np.dtype(dtype.value).newbyteorder("<")
    raise RequestError(
        f"input {tensor.name}: expected datatype {' or '.join(DATATYPES.values())}, "
        f"found {tensor.datatype!a}"
    )


def _shaped(tensor: RequestTensor, flat: Tensor) -> Tensor:
    if math.prod(tensor.shape) != flat.size:
        raise RequestError(
            f"input {tensor.name}: expected {math.prod(tensor.shape)} values for shape "
            f"{tensor.shape}, found {flat.size}"
        )
    return flat.reshape(tensor.shape)


def _fitting(array: Tensor, spec: TensorSpec) -> Tensor:
    if array.dtype != np.dtype(spec.dtype.value) or list(array.shape) != spec.shape:
        raise RequestError(
            f"input {spec.name}: expected {DATATYPES[spec.dtype]} {spec.shape}, "
            f"found {array.dtype} {list(array.shape)}"
        )
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise RequestError(f"input {spec.name}: expected finite numbers")
    return np.ascontiguousarray(array)


def encode(
    infer: Infer,
    outputs: Sequence[TensorSpec],
    arrays: Sequence[Tensor],
    model: tuple[str, str],
) -> tuple[bytes, int | None]:
    """The answer, and the length of its JSON part if tensors follow it.

    Raises:
        RequestError: an output was asked for that the model does not have.
    """
    asked = {each.name: each.parameters for each in infer.request.outputs}
    unknown = set(asked) - {spec.name for spec in outputs}
    if unknown:
        raise RequestError(f"outputs: expected names of this model, found {sorted(unknown)}")
    usual = bool(infer.request.parameters.binary_data_output)
    described: list[dict[str, Any]] = []  # Any: JSON values
    tail: list[bytes] = []
    for spec, array in zip(outputs, arrays, strict=True):
        if asked and spec.name not in asked:
            continue
        wanted = asked.get(spec.name, Parameters()).binary_data
        binary = usual if wanted is None else wanted
        tensor: dict[str, Any] = {  # Any: JSON values
            "name": spec.name,
            "datatype": DATATYPES[spec.dtype],
            "shape": list(array.shape),
        }
        if binary:
            raw = array.astype(np.dtype(spec.dtype.value).newbyteorder("<")).tobytes()
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            tensor["data"] = array.ravel().tolist()
        described.append(tensor)
    answer: dict[str, Any] = {  # Any: JSON values
        "model_name": model[0],
        "model_version": model[1],
        "outputs": described,
    }
    if infer.request.id is not None:
        answer["id"] = infer.request.id
    head = msgspec.json.encode(answer)
    return head + b"".join(tail), len(head) if tail else None
