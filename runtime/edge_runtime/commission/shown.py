"""What the attributes of an OPC UA variable say, in plain words and values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from edge_runtime.commission.nodes import Value
from edge_runtime.sources.opcua_units import code_unit, said_of

NAME_CHARS_MAX: Final = 120  # of a browse name; real ones have under 40
TEXT_CHARS_MAX: Final = 80  # of a value that is text
ITEMS_SHOWN: Final = 4  # of an array
_ACCESS: Final = ((1, "r"), (2, "w"), (4, "h"))  # OPC 10000-3, 8.57


@dataclass(frozen=True, slots=True)
class Shown:
    """One variable; `type_id` is asyncua's node id of its data type."""

    type_id: Any = None  # Any: asyncua ships no types
    brackets: str = ""
    access: str = ""
    value: Value = None
    status: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None


def shown(answers: Mapping[str, Any]) -> Shown:  # Any: as above
    """What *answers* (type, rank, access, value, and unit and range if it has them) say."""
    value = answers.get("value")
    rank = _plain(answers.get("rank"))
    low, high = _range(_plain(answers.get("range")))
    code = None if value is None else value.StatusCode
    return Shown(
        type_id=_plain(answers.get("type")),
        brackets="[]" if isinstance(rank, int) and rank >= 0 else "",
        access=_access(_plain(answers.get("access"))),
        value=_value(_plain(value)),
        status="" if code is None or code.is_good() else clipped(code.name),
        unit=_unit(_plain(answers.get("unit"))),
        low=low,
        high=high,
    )


def address(node: Any, namespaces: Sequence[str]) -> str:  # Any: as above
    """The written form of a node id, its namespace by URI where the server names one."""
    text = str(node.to_string())
    index = int(node.NamespaceIndex)
    if index == 0 or index >= len(namespaces) or not namespaces[index] or ";" in namespaces[index]:
        return text
    return f"nsu={namespaces[index]};{text.partition(';')[2]}"


def clipped(text: object, chars_max: int = NAME_CHARS_MAX) -> str:
    """*text*, cut where it is too long for anybody to read."""
    words = str(text)
    return words if len(words) <= chars_max else words[: chars_max - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _plain(answer: Any) -> Any:  # Any: as above
    if answer is None or answer.Value is None:
        return None
    return answer.Value.Value


def _access(level: Any) -> str:  # Any: as above
    if not isinstance(level, int):
        return ""
    return "".join(letter for bit, letter in _ACCESS if level & bit)


def _value(value: Any) -> Value:  # Any: as above
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return clipped(_words(value), TEXT_CHARS_MAX)


def _words(value: Any) -> str:  # Any: as above
    """What is no number, as text."""
    match value:
        case list():
            items = ", ".join(str(_value(item)) for item in value[:ITEMS_SHOWN])
            more = f", ... {len(value)} in all" if len(value) > ITEMS_SHOWN else ""
            return f"[{items}{more}]"
        case str():
            return value
        case datetime():
            return value.isoformat()
        case bytes():
            return f"{len(value)} bytes"
    text = getattr(value, "Text", None)
    return text if isinstance(text, str) else type(value).__name__


def _unit(information: Any) -> str:  # Any: as above
    name, number = said_of(information)
    return clipped(name, 32) if name else code_unit(number)


def _range(found: Any) -> tuple[float | None, float | None]:  # Any: as above
    low, high = getattr(found, "Low", None), getattr(found, "High", None)
    if not isinstance(low, float) or not isinstance(high, float):
        return None, None
    # 0..0 and infinite ends are how servers say that they do not know.
    return (
        (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else (None, None)
    )
