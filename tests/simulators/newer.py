"""A peer of a later version: it says all that one of ours does, and more."""

from typing import Any

import msgspec

STRICT = frozenset({"release", "trial"})  # what is signed elsewhere, and what no gateway may miss


def newer(message: bytes) -> bytes:
    """*message*, JSON, with a field more in each of its objects that may grow."""
    return msgspec.json.encode(_more(msgspec.json.decode(message)))


def _more(value: Any) -> Any:  # JSON values
    if isinstance(value, list):
        return [_more(each) for each in value]
    if isinstance(value, dict):
        grown = {name: each if name in STRICT else _more(each) for name, each in value.items()}
        return {"from_a_later_version": {"anything": [1]}, **grown}
    return value
