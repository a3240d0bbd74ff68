"""Bounds an ONNX file before any parser sees it: depth, count and schema of its protobuf.

A schema-aware walk over field headers that never recurses and never copies. It refuses what a
parser would silently keep, merge or skip (unknown fields, groups, a second graph), so that every
later reader sees the same model. Field numbers are those of onnx.proto, IR version 14; the wire
format is described in the Protocol Buffers encoding document.
"""

from collections.abc import Iterator
from typing import Final

from edge_core.admission.errors import ModelRefusedError

DEPTH_MAX = 40  # three nested `If` with a tensor in the innermost need 17

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# "v" varint, "f" fixed32, "d" fixed64, "b" bytes or text, else a message; "*" may repeat.
_SCHEMA: Final[dict[str, dict[int, str]]] = {
    "Model": {1: "v", 2: "b", 3: "b", 4: "b", 5: "v", 6: "b", 7: "Graph"}
    | {8: "*OperatorSet", 14: "*Entry", 20: "*Training", 25: "*Function", 26: "*b"},
    "OperatorSet": {1: "b", 2: "v"},
    "Entry": {1: "b", 2: "b"},
    "Training": {1: "Graph", 2: "Graph", 3: "*Entry", 4: "*Entry"},
    "Function": {1: "b", 4: "*b", 5: "*b", 6: "*b", 7: "*Node", 8: "b", 9: "*OperatorSet"}
    | {10: "b", 11: "*Attribute", 12: "*ValueInfo", 13: "b", 14: "*Entry"},
    "Graph": {1: "*Node", 2: "b", 5: "*Tensor", 10: "b", 11: "*ValueInfo", 12: "*ValueInfo"}
    | {13: "*ValueInfo", 14: "*Annotation", 15: "*Sparse", 16: "*Entry"},
    "Annotation": {1: "b", 2: "*Entry"},
    "Node": {1: "*b", 2: "*b", 3: "b", 4: "b", 5: "*Attribute", 6: "b", 7: "b", 8: "b"}
    | {9: "*Entry", 10: "*b"},
    "Attribute": {1: "b", 2: "f", 3: "v", 4: "b", 5: "Tensor", 6: "Graph", 7: "*f", 8: "*v"}
    | {9: "*b", 10: "*Tensor", 11: "*Graph", 13: "b", 14: "Type", 15: "*Type", 20: "v"}
    | {21: "b", 22: "Sparse", 23: "*Sparse"},
    "Tensor": {1: "*v", 2: "v", 3: "Segment", 4: "*f", 5: "*v", 6: "*b", 7: "*v", 8: "b"}
    | {9: "b", 10: "*d", 11: "*v", 12: "b", 13: "*Entry", 14: "v", 16: "*Entry"},
    "Segment": {1: "v", 2: "v"},
    "Sparse": {1: "Tensor", 2: "Tensor", 3: "*v"},
    "ValueInfo": {1: "b", 2: "Type", 3: "b", 4: "*Entry"},
    "Type": {1: "TensorType", 4: "Sequence", 5: "Map", 6: "b", 7: "Opaque", 8: "TensorType"}
    | {9: "Sequence"},
    "TensorType": {1: "v", 2: "Shape"},
    "Sequence": {1: "Type"},
    "Map": {1: "v", 2: "Type"},
    "Opaque": {1: "b", 2: "b"},
    "Shape": {1: "*Dimension"},
    "Dimension": {1: "v", 2: "b", 3: "b"},
}
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
_SCALARS: Final = {"v": _VARINT, "f": _FIXED32, "d": _FIXED64, "b": _BYTES}


def walk(name: str, content: bytes, entries_max: int) -> int:
    """Check the structure of the model in *content*; the number of its fields.

    Raises:
        ModelRefusedError: not one well-formed ONNX model, or beyond the bounds.
    """
    if not content:
        raise ModelRefusedError(f"{name}: expected an ONNX model, found an empty file")
    entries = 0
    work = [("Model", 0, len(content), 1)]
    while work:
        kind, start, end, depth = work.pop()
        if depth > DEPTH_MAX:
            raise ModelRefusedError(f"{name}: expected at most {DEPTH_MAX} nested messages")
        seen: set[int] = set()
        for number, wire, at, to in _fields(name, content, start, end):
            entries += 1
            if entries > entries_max:
                raise ModelRefusedError(f"{name}: expected at most {entries_max} protobuf fields")
            below = _allowed(name, kind, number, wire, seen)
            if below is not None:
                work.append((below, at, to, depth + 1))
    return entries


def _allowed(name: str, kind: str, number: int, wire: int, seen: set[int]) -> str | None:
    """Check one field against the schema; the message it holds, if it holds one."""
    spelled = _SCHEMA[kind].get(number)
    if spelled is None:
        raise ModelRefusedError(f"{name}: {kind} has a field {number}, which ONNX does not define")
    form = spelled.removeprefix("*")
    if form == spelled:
        if number in seen:
            raise ModelRefusedError(f"{name}: {kind} holds field {number} twice, expected once")
        seen.add(number)
    scalar = _SCALARS.get(form)
    packed = form != spelled and wire == _BYTES
    if wire != (_BYTES if scalar is None else scalar) and not packed:
        raise ModelRefusedError(f"{name}: field {number} of {kind} has wire type {wire}")
    return form if scalar is None else None


def _fields(name: str, content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and where the value lies, for each field between *at* and *end*."""
    while at < end:
        tag, at = _varint(name, content, at, end)
        wire = tag & 7
        if wire == _BYTES:
            length, at = _varint(name, content, at, end)
            to = at + length
        elif wire == _VARINT:
            to = _varint(name, content, at, end)[1]
        elif wire in _WIDTHS:
            to = at + _WIDTHS[wire]
        else:
            raise ModelRefusedError(f"{name}: byte {at}: expected a protobuf field of ONNX")
        if to > end:
            raise ModelRefusedError(f"{name}: cut short: byte {at} announces more than there is")
        yield tag >> 3, wire, at, to
        at = to


def _varint(name: str, content: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ModelRefusedError(f"{name}: cut short inside a number at byte {at}")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelRefusedError(f"{name}: byte {at}: a number longer than 10 bytes")
