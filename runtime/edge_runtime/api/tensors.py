"""Tensors of the Open Inference Protocol, JSON and binary: bytes in, named arrays out, and back.

Format: KServe Open Inference Protocol v2 with the binary tensor data extension: a JSON header
comes first, raw little-endian tensors follow in the order of the tensors that declare
`binary_data_size`. `Inference-Header-Content-Length` says where the header ends; where a client
leaves it out, the header ends where its JSON does. An element of BYTES is its length as 4 bytes,
then its bytes; in JSON it is a string.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edge_core.contracts.errors import RefusedError

TENSORS_MAX: Final = 8  # as many as a signature may have
ELEMENTS_MAX: Final = 16_777_216  # of one dimension; the product is held to what the body holds

Tensor = NDArray[np.generic]
Shape = Annotated[list[Annotated[int, Meta(ge=1, le=ELEMENTS_MAX)]], Meta(max_length=8)]

_NUMPY: Final = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
DATATYPES: Final = {numpy: name for name, numpy in _NUMPY.items()}
_DTYPES: Final = {name: np.dtype(numpy) for name, numpy in _NUMPY.items()}
_LITTLE: Final = {name: dtype.newbyteorder("<") for name, dtype in _DTYPES.items()}
_ELEMENTS: Final[dict[str, Any]] = {  # Any: types, by the kind of their dtype
    "b": list[bool],
    "u": list[int],
    "i": list[int],
    "f": list[float],
    "O": list[str],
}
_FLAT: Final = {kind: msgspec.json.Decoder(of) for kind, of in _ELEMENTS.items()}
_LENGTH: Final = struct.Struct("<I")


class RequestError(RefusedError):
    """The request is not one that can be answered."""


class Parameters(Struct, frozen=True, kw_only=True):
    """The parameters that change an answer; others are allowed and ignored.

    `classification` and `shared_memory_region` are extensions that we do not offer; they are here
    to be refused, since an answer without them would not be what was asked for.
    """

    binary_data_size: Annotated[int, Meta(ge=0)] | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class RequestTensor(Struct, frozen=True, kw_only=True):
    """One input; `data` is flat or nested, and absent where the bytes come after the header."""

    name: Annotated[str, Meta(max_length=128)]
    shape: Shape
    datatype: Annotated[str, Meta(max_length=16)]
    parameters: Parameters = Parameters()
    data: msgspec.Raw = msgspec.Raw()


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
    """A well-formed request; whether it fits a model is another question."""

    request: InferRequest
    tensors: dict[str, Tensor]


_DECODER: Final = msgspec.json.Decoder(InferRequest)


def decode(body: bytes, header_length: int | None) -> Infer:
    """Read a request.

    Args:
        body: all of it.
        header_length: of its JSON, None where the client did not say.

    Raises:
        RequestError: it is not of the protocol's form.
    """
    split = len(body) if header_length is None else header_length
    if not 0 < split <= len(body):
        raise RequestError(f"request: expected a JSON header of 1 to {len(body)} bytes")
    try:
        request = _DECODER.decode(memoryview(body)[:split])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        found = _end_of_json(body) if header_length is None else split
        if found < split:
            return decode(body, found)
        raise RequestError(f"request: {_inert(error)}") from None
    return Infer(request, _tensors(request.inputs, memoryview(body)[split:]))


def _end_of_json(body: bytes) -> int:
    """Where the JSON at the start of *body* ends; all of *body* if there is none, or no more."""
    try:
        return json.JSONDecoder().raw_decode(body.decode("latin-1"))[1]
    except (ValueError, RecursionError):
        return len(body)


def _tensors(inputs: Sequence[RequestTensor], raw: memoryview) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    at = 0
    for tensor in inputs:
        dtype = _DTYPES.get(tensor.datatype)
        if dtype is None:
            raise RequestError(
                f"input {tensor.name!a}: expected datatype {', '.join(_DTYPES)}, "
                f"found {tensor.datatype!a}"
            )
        if tensor.name in found:
            raise RequestError(f"inputs: expected each once, found {tensor.name!a} twice")
        if tensor.parameters.shared_memory_region is not None:
            raise RequestError(f"input {tensor.name!a}: shared memory is not offered")
        size = tensor.parameters.binary_data_size
        if size is None:
            found[tensor.name] = _from_json(tensor, dtype)
        else:
            found[tensor.name] = _from_bytes(tensor, dtype, raw[at : at + size], size)
            at += size
    if at != len(raw):
        raise RequestError(f"request: expected {at} bytes of tensors, found {len(raw)}")
    return found


def _from_json(tensor: RequestTensor, dtype: np.dtype[np.generic]) -> Tensor:
    if not bytes(tensor.data):
        raise RequestError(f"input {tensor.name!a}: expected data or binary_data_size")
    try:
        values = _FLAT[dtype.kind].decode(tensor.data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        values = _flattened(tensor, _ELEMENTS[dtype.kind])
    if math.prod(tensor.shape) != len(values):
        raise _misshaped(tensor, len(values))
    if dtype.hasobject:
        values = [text.encode() for text in values]
    try:
        with np.errstate(over="ignore"):  # too large is infinite, and that is refused by a model
            return np.array(values, dtype).reshape(tensor.shape)
    except OverflowError as error:
        raise RequestError(f"input {tensor.name!a}: {_inert(error)}") from None


def _flattened(tensor: RequestTensor, elements: Any) -> list[Any]:  # Any: a type, its elements
    """Data that are nested as the shape says, in one list."""
    try:
        rows = msgspec.json.decode(tensor.data, type=list)
        shape = tensor.shape if rows and isinstance(rows[0], list) else []
        rows = [rows] if shape else rows
        for length in shape:
            if not all(isinstance(row, list) and len(row) == length for row in rows):
                raise _misshaped(tensor, None)
            rows = [each for row in rows for each in row]
        checked: list[Any] = msgspec.convert(rows, elements)  # Any: as above
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"input {tensor.name!a}: expected values of {tensor.datatype}: {_inert(error)}"
        ) from None
    return checked


def _from_bytes(
    tensor: RequestTensor, dtype: np.dtype[np.generic], raw: memoryview, size: int
) -> Tensor:
    count = math.prod(tensor.shape)
    if len(raw) != size:
        raise RequestError(f"input {tensor.name!a}: expected {size} bytes, found {len(raw)}")
    if dtype.hasobject:
        return _elements(tensor, raw, count)
    if size != count * dtype.itemsize:
        raise RequestError(
            f"input {tensor.name!a}: expected {count * dtype.itemsize} bytes for "
            f"{tensor.datatype} {tensor.shape}, found {size}"
        )
    array = np.frombuffer(raw, _LITTLE[tensor.datatype])
    return array.astype(dtype, copy=False).reshape(tensor.shape)


def _elements(tensor: RequestTensor, raw: memoryview, count: int) -> Tensor:
    """The elements of BYTES, each with its length before it."""
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise RequestError(f"input {tensor.name!a}: expected 4 bytes of length at {at}")
        length = _LENGTH.unpack_from(raw, at)[0]
        at += 4
        if at + length > len(raw):
            raise RequestError(f"input {tensor.name!a}: expected {length} bytes at {at}")
        found.append(bytes(raw[at : at + length]))
        at += length
    if count != len(found):
        raise _misshaped(tensor, len(found))
    return np.array(found, object).reshape(tensor.shape)


def _misshaped(tensor: RequestTensor, found: int | None) -> RequestError:
    words = "data that are nested otherwise" if found is None else str(found)
    return RequestError(
        f"input {tensor.name!a}: expected {math.prod(tensor.shape)} values for shape "
        f"{tensor.shape}, found {words}"
    )


def encode(
    request: InferRequest, outputs: Mapping[str, Tensor], model: tuple[str, str]
) -> tuple[bytes, int | None]:
    """The answer, and the length of its JSON part if tensors follow it.

    Args:
        request: what was asked.
        outputs: everything that the model gave, by name.
        model: its name and version.

    Raises:
        RequestError: an output was asked for that the model does not have.
    """
    described: list[dict[str, Any]] = []  # Any: JSON values
    tail: list[bytes] = []
    for name, binary in wanted_outputs(request, outputs).items():
        array = outputs[name]
        tensor: dict[str, Any] = {  # Any: JSON values
            "name": name,
            "datatype": DATATYPES[array.dtype.name],
            "shape": list(array.shape),
        }
        if binary:
            raw = _raw(array)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            tensor["data"] = _plain(array)
        described.append(tensor)
    answer: dict[str, Any] = {"model_name": model[0], "model_version": model[1]}  # Any: JSON
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = described
    head = msgspec.json.encode(answer)
    return b"".join((head, *tail)), len(head) if tail else None


def wanted_outputs(request: InferRequest, names: Mapping[str, object]) -> dict[str, bool]:
    """The outputs to give, in the order asked for, and whether each is wanted as raw bytes.

    Raises:
        RequestError: one is not among *names*, or is wanted in a form that is not offered.
    """
    usual = bool(request.parameters.binary_data_output)
    if not request.outputs:
        return dict.fromkeys(names, usual)
    wanted: dict[str, bool] = {}
    for each in request.outputs:
        if each.name not in names:
            raise RequestError(f"outputs: expected {', '.join(names)}, found {each.name!a}")
        if each.parameters.classification or each.parameters.shared_memory_region is not None:
            raise RequestError(
                f"output {each.name!a}: classification and shared memory are not offered"
            )
        binary = each.parameters.binary_data
        wanted[each.name] = usual if binary is None else binary
    return wanted


def _raw(array: Tensor) -> bytes:
    if array.dtype.hasobject:
        return b"".join(_LENGTH.pack(len(each)) + each for each in array.ravel().tolist())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _plain(array: Tensor) -> list[Any]:  # Any: JSON values
    values: list[Any] = array.ravel().tolist()  # Any: as above
    if array.dtype.hasobject:
        return [each.decode("utf-8", "replace") for each in values]
    return values


def _inert(error: BaseException) -> str:
    """What a library says of a client's bytes, safe to show."""
    return ascii(str(error))[1:-1][:300]
