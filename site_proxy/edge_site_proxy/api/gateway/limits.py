"""How much time and room one connection may take before it is closed."""

from typing import Annotated

from msgspec import Meta, Struct

KIB = 1024


class ConnectionLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Guards that uvicorn lacks: without them half a header holds a connection for ever.

    Attributes:
        head_bytes_max: request line and headers together.
        head_s: from the connection, or a request's first byte, to the end of its headers.
        body_s: from the end of the headers to the end of the body.
        keep_alive_s: an idle connection; longer than the 30 s between heartbeats, so that a
            heartbeat is no handshake.
    """

    head_bytes_max: Annotated[int, Meta(ge=1 * KIB, le=64 * KIB)] = 16 * KIB
    head_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    body_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    keep_alive_s: Annotated[int, Meta(ge=1, le=3600)] = 120
