"""Canonical JSON (RFC 8785), so that the same event has the same bytes on every machine."""

import math
from json.encoder import encode_basestring

INTEGER_MAX = 2**53 - 1  # beyond it a double is no longer exact (RFC 8785, section 3.2.2.3)


def canonical(value: object) -> bytes:
    """The one encoding of a JSON *value*: keys in UTF-16 order, ECMAScript numbers, no spaces.

    Raises:
        ValueError: *value* holds something that JSON does not, or a number it cannot carry.
    """
    return _text(value).encode()


def _text(value: object) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return encode_basestring(value)
        case int():
            return _integer(value)
        case float():
            return _number(value)
        case list() | tuple():
            return "[" + ",".join(_text(item) for item in value) + "]"
        case dict():
            return _object(value)
    raise ValueError(f"canonical JSON: expected a JSON value, found {type(value).__name__}")


def _object(members: dict[object, object]) -> str:
    keys = [key for key in members if isinstance(key, str)]
    if len(keys) != len(members):
        raise ValueError("canonical JSON: expected text as keys, found another type")
    keys.sort(key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(f"{_text(key)}:{_text(members[key])}" for key in keys) + "}"


def _integer(value: int) -> str:
    if abs(value) > INTEGER_MAX:
        raise ValueError(f"canonical JSON: expected at most 2^53 - 1, found {value}")
    return str(int(value))


def _number(value: float) -> str:
    """ECMA-262, Number::toString: Python's shortest digits, laid out by its rules."""
    if not math.isfinite(value):
        raise ValueError(f"canonical JSON: expected a finite number, found {value}")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    shift = int(exponent or 0) + len(whole)
    digits = (whole + ("" if fraction == "0" else fraction)).lstrip("0")
    shift -= len(whole + ("" if fraction == "0" else fraction)) - len(digits)
    return sign + _laid_out(digits.rstrip("0"), shift)


def _laid_out(digits: str, point: int) -> str:
    """*digits* with the decimal point after *point* of them."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = point - 1
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{tail}e{'+' if power > 0 else '-'}{abs(power)}"
