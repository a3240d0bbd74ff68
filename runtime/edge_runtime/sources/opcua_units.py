"""What an OPC UA server says a value is measured in, and how it becomes the tag's unit; no I/O.

A server names a unit by a number and a name (OPC 10000-8, 5.6.3). The name is what people read
and what pint is asked; the number is the letters of a UN/CEFACT code and helps where the name does
not.
"""

import re
from functools import cache, lru_cache
from typing import Any, Final

from edge_runtime.errors import ExtraMissingError

UNECE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
# UN/CEFACT recommendation 20, the codes that plants use; each in pint's words.
_CODES: Final = {
    "C62": "1", "P1": "%", "CEL": "degC", "FAH": "degF", "KEL": "K",
    "BAR": "bar", "MBR": "mbar", "PAL": "Pa", "KPA": "kPa", "MPA": "MPa", "PS": "psi",
    "A97": "hPa", "AMP": "A", "4K": "mA", "VLT": "V", "2Z": "mV", "KVT": "kV",
    "WTT": "W", "KWT": "kW", "MAW": "MW", "KWH": "kWh", "HTZ": "Hz", "KHZ": "kHz", "RPM": "rpm",
    "LTR": "l", "MTQ": "m3", "L2": "l/min", "G51": "l/s", "E32": "l/h", "MQH": "m3/h",
    "MQS": "m3/s", "MTS": "m/s", "C16": "mm/s", "MSK": "m/s2", "MTR": "m", "MMT": "mm",
    "CMT": "cm", "4H": "um", "KGM": "kg", "GRM": "gram", "KGS": "kg/s", "E93": "kg/h",
    "SEC": "s", "MIN": "min", "HUR": "h", "C26": "ms", "NU": "Nm", "NEW": "N", "JOU": "J",
    "2N": "dB", "59": "ppm",
}  # fmt: skip
# What our tags and people at plants write, where pint would read something else or nothing.
_SPELLINGS: Final = {
    "g": "standard_gravity",
    "Nm": "N*m",
    "%": "percent",
    "°C": "degC",
    "°F": "degF",
    "°": "degree",
    "U": "turn",
    "µm": "um",
    "Ohm": "ohm",
}
_WHOLE: Final = {"1": "dimensionless", "U/min": "rpm", "rpm": "rpm"}
# Words of a server go no further than this: pint's parser would compute whatever it is given.
_FACTOR: Final = re.compile(
    r"(?P<symbol>[A-Za-zµμΩ°%_]{1,24})(?:\^|\*\*)?(?P<power>-?[1-4]|[²³])?$"
)
_DIVIDES: Final = re.compile(r"\s*/\s*")
_TIMES: Final = re.compile(r"\s*[*·.]\s*(?!\*)|\s+")
_SUPERSCRIPTS: Final = {"²": "2", "³": "3"}
UNIT_CHARS_MAX: Final = 40
UNITS_MAX: Final = 512  # remembered: a server may say another name every second


def code_letters(unit_id: int) -> str:
    """The UN/CEFACT code that a unit's number stands for; empty if it stands for none."""
    if not 0 < unit_id < 2**31:
        return ""
    raw = unit_id.to_bytes(4, "big").lstrip(b"\0")
    return raw.decode("ascii") if raw.isalnum() and raw.isascii() else ""


def code_unit(unit_id: int) -> str:
    """The unit that a server's number stands for, in pint's words; empty if it stands for none."""
    return _CODES.get(code_letters(unit_id), "")


def said_of(information: Any) -> tuple[str, int]:  # Any: an EUInformation, as a server has it
    """Name and number of a unit, the number 0 unless it is one of UN/CEFACT's.

    Whoever names another namespace has numbers of its own; who names none has forgotten it.
    """
    name = getattr(getattr(information, "DisplayName", None), "Text", None)
    number = getattr(information, "UnitId", None)
    space = getattr(information, "NamespaceUri", None) or UNECE
    if not isinstance(number, int) or space != UNECE:
        number = 0
    return name.strip() if isinstance(name, str) else "", number


def says_unit(name: str, unit_id: int) -> bool:
    """Whether a unit has a name, or a number that we know: servers show it as it was made."""
    return bool(name or code_unit(unit_id))


def linear(have: str, want: str, unit_id: int = 0) -> tuple[float, float] | None:
    """Factor and offset from a server's unit to a tag's, or None where there is no way.

    Args:
        have: what the server calls its unit; "" says nothing, so there is only the number.
        want: the tag's.
        unit_id: the server's number for its unit; 0 for none.
    """
    if have == want:
        return 1.0, 0.0
    code = _CODES.get(code_letters(unit_id))
    for name in (have, code):
        found = None if name is None else _linear(name, want)
        if found is not None:
            return found
    return None


@lru_cache(maxsize=UNITS_MAX)
def _linear(have: str, want: str) -> tuple[float, float] | None:
    spelled = (_spelled(have), _spelled(want))
    if None in spelled:
        return None
    registry, errors = _registry()
    # A turn is an angle only beside another angle: 60 rpm are 1 Hz, and 6.28 rad/s.
    angle = any("rad" in (each or "") for each in spelled)
    words = [each if angle or each != "rpm" else "1/min" for each in spelled]
    try:
        source, target = (registry.Unit(each) for each in words)
        at_zero, at_one = (
            float(registry.Quantity(each, source).to(target).magnitude) for each in (0.0, 1.0)
        )
    except errors:
        return None
    return at_one - at_zero, at_zero


def _spelled(unit: str) -> str | None:
    """A unit in pint's words; None if it is not symbols, powers, products and quotients."""
    unit = unit.strip()
    if not unit or len(unit) > UNIT_CHARS_MAX:
        return None
    if unit in _WHOLE:
        return _WHOLE[unit]
    quotient: list[str] = []
    for place, part in enumerate(_DIVIDES.split(unit)):
        factors = ["1" if place == 0 and part == "1" else _factor(each) for each in _product(part)]
        if None in factors:
            return None
        quotient.append("*".join(each or "" for each in factors))
    first, *below = quotient
    return "/".join([first, *(f"({each})" for each in below)])


def _product(part: str) -> list[str]:
    return [part] if "**" in part else _TIMES.split(part)


def _factor(written: str) -> str | None:
    found = _FACTOR.match(written)
    if found is None:
        return None
    symbol = _SPELLINGS.get(found["symbol"], found["symbol"])
    power = found["power"]
    return f"({symbol})" if power is None else f"({symbol})**{_SUPERSCRIPTS.get(power, power)}"


@cache
def _registry() -> tuple[Any, tuple[type[Exception], ...]]:  # Any: made by pint at run time
    try:
        import pint  # noqa: PLC0415 - half a second, and only where two units differ
    except ImportError:
        raise ExtraMissingError(
            "OPC UA units: expected the library pint, found none; install edge-mlops[gateway]"
        ) from None
    errors = (
        pint.PintError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        AssertionError,
    )
    # Words from a server reach pint's parser, which may stumble over any of them.
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=False), (
        *errors,
        SyntaxError,
        LookupError,
    )
