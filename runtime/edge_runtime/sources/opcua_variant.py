"""What of OPC UA's encoding is left to asyncua's own reader: values of no fixed size.

Loads asyncua, so it is imported only where a source is already connected.
"""

import struct
from typing import Any

from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary
from asyncua.ua.uaerrors import UaError

from edge_runtime.errors import PayloadError


def read_variant(body: bytes, at: int) -> tuple[Any, int]:  # Any: a value of any type
    """The value of the Variant at a position, and the position behind it.

    Raises:
        PayloadError: damaged.
    """
    buffer = Buffer(body, at)
    try:
        value = variant_from_binary(buffer).Value
    except (
        UaError,
        struct.error,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise PayloadError(f"value at byte {at}: {type(error).__name__}: {error}") from None
    # A negative length leads the library's cursor backwards.
    if not at < buffer.cur_pos <= len(body):
        raise PayloadError(f"value at byte {at}: expected to end behind it")
    return value, buffer.cur_pos
