"""Content codings: which ones we take, and whether a body really is in one, within bounds.

Nothing is kept of what was decompressed: the body travels on as it came.
"""

import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from edge_site_proxy.telemetry.errors import DamagedBodyError, EncodingError, InflatedError

KIB: Final = 1024
INFLATED_BYTES_MAX: Final = 20 * 1024 * KIB  # what the OTLP specification recommends
_STEP: Final = 64 * KIB
_GZIP: Final = 31  # zlib's way to say: a gzip header and the largest window
# Pieces that are looked at on the event loop; a body that goes on for longer goes to a thread.
QUICK_STEPS: Final = 8


class Encoding(IntEnum):
    """Content codings, as the journal's flags write them."""

    IDENTITY = 0
    GZIP = 1


ACCEPTED: Final = {encoding.name.lower(): encoding for encoding in Encoding}


def encoding_of(name: str) -> Encoding:
    """The coding called *name* in `content-encoding`.

    Raises:
        EncodingError: not one that we take.
    """
    found = ACCEPTED.get(name)
    if found is None:
        raise EncodingError(
            f"content-encoding: expected one of {', '.join(ACCEPTED)}, found {name[:40]!r}"
        )
    return found


def inflations(encoding: Encoding, body: bytes, bytes_max: int) -> Iterator[None]:
    """Decompress *body* in steps of 64 KiB and forget it; ends when all of it is sound.

    Raises:
        InflatedError: more than *bytes_max*.
        DamagedBodyError: broken, cut off, or with something behind its end.
    """
    if encoding is Encoding.IDENTITY:
        return
    inflater = zlib.decompressobj(wbits=_GZIP)
    rest, total = body, 0
    while not inflater.eof:
        try:
            piece = inflater.decompress(rest, _STEP)
        except zlib.error as error:
            raise DamagedBodyError(f"body: expected gzip, found {error}") from None
        rest = inflater.unconsumed_tail
        total += len(piece)
        if total > bytes_max:
            raise InflatedError(
                f"body: expected at most {bytes_max} bytes once decompressed, found more"
            )
        if not piece and not rest and not inflater.eof:
            raise DamagedBodyError("body: expected gzip, found it cut off")
        yield
    if inflater.unused_data:
        # Some readers take only the first member and lose the second without a word.
        raise DamagedBodyError("body: expected one gzip member, found something behind it")
