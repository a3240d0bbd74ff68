"""Reads foreign JSON so strictly that no two parsers can disagree about what it says.

RFC 8259 leaves duplicate keys, lone surrogates, infinities and depth to the parser. Where a
signature or a digest covers the bytes, each of these is a way to show two readers two documents,
so each is refused, and the typed value is made from what was parsed here, never by a second parse.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from edge_core.contracts.errors import RefusedError

BYTES_MAX: Final = 4 * 1024 * 1024  # the largest document we take from anyone: an OCI manifest
DEPTH_MAX: Final = 32  # our deepest own document has eight levels
SHOWN_MAX: Final = 80  # characters of foreign text in one message

T = TypeVar("T")


def shown(text: str) -> str:
    """Foreign text made safe for one line of a log or a terminal: ASCII, quoted, cut short."""
    return ascii(text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "...")


def parse(
    raw: bytes, *, what: str, bytes_max: int = BYTES_MAX, depth_max: int = DEPTH_MAX
) -> Any:  # whatever JSON can say
    """The plain value of *raw*: dict, list, str, int, float, bool or None.

    Args:
        raw: UTF-8 without a byte order mark.
        what: names the document in a refusal.
        bytes_max: longest document taken.
        depth_max: deepest nesting taken; a flat object has depth 1.

    Raises:
        RefusedError: too long, too deep, not UTF-8, not JSON, a duplicate key, a number that is
            not finite, or a lone surrogate.
    """
    if len(raw) > bytes_max:
        raise RefusedError(f"{what}: expected at most {bytes_max} bytes, found {len(raw)}")
    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object(what),
            parse_constant=_refuse_constant(what),
            parse_float=_finite(what),
        )
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{what}: expected UTF-8, found {error.reason} at {error.start}"
        ) from None
    except RecursionError:
        raise RefusedError(
            f"{what}: expected at most {depth_max} levels, found far more"
        ) from None
    except ValueError as error:
        raise RefusedError(f"{what}: expected JSON, found {shown(str(error))}") from None
    _walk(document, what=what, depth_max=depth_max)
    return document


def decode(
    raw: bytes,
    kind: type[T],
    *,
    what: str,
    bytes_max: int = BYTES_MAX,
    depth_max: int = DEPTH_MAX,
) -> T:
    """*raw* as a *kind*, by way of `parse`.

    Raises:
        RefusedError: as `parse`, or the document does not fit *kind*; the message has the path.
    """
    return convert(
        parse(raw, what=what, bytes_max=bytes_max, depth_max=depth_max), kind, what=what
    )


def convert(document: object, kind: type[T], *, what: str) -> T:
    """An already parsed *document* as a *kind*.

    Raises:
        RefusedError: the document does not fit; the message has the path of the first misfit.
    """
    try:
        return msgspec.convert(document, type=kind)
    except msgspec.ValidationError as error:
        # The path in msgspec's message may quote foreign keys.
        raise RefusedError(f"{what}: {_inert(str(error))}") from None


def _inert(text: str) -> str:
    return ascii(text)[1:-1][: 3 * SHOWN_MAX]


def _object(what: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, value in pairs:
            if key in built:
                raise RefusedError(f"{what}: expected each key once, found {shown(key)} twice")
            built[key] = value
        return built

    return build


def _refuse_constant(what: str) -> Callable[[str], float]:
    def refuse(constant: str) -> float:
        raise RefusedError(f"{what}: expected finite numbers, found {constant}")

    return refuse


def _finite(what: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise RefusedError(f"{what}: expected finite numbers, found {shown(text)}")
        return value

    return number


def _walk(document: object, *, what: str, depth_max: int) -> None:
    """Refuse depth and lone surrogates; iterative, so that depth cannot exhaust our stack."""
    level: list[object] = [document]
    for depth in range(depth_max + 1):
        below: list[object] = []
        for value in level:
            if isinstance(value, str):
                _refuse_surrogates((value,), what=what)
            elif isinstance(value, dict):
                _refuse_surrogates(value, what=what)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if depth == depth_max and any(isinstance(value, dict | list) for value in level):
            raise RefusedError(f"{what}: expected at most {depth_max} levels, found more")
        level = below


def _refuse_surrogates(texts: Iterable[str], *, what: str) -> None:
    for text in texts:
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise RefusedError(f"{what}: expected Unicode text, found a lone surrogate")
