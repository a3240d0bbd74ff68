"""What passes between the daemon and a process that decodes: one message a datagram.

Pixels travel in shared memory beside it, and are there when `Decoded` says so.
"""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.label import Label
from edge_runtime.frames.head import Refusal

MESSAGE_BYTES_MAX = 8192
EDGE_MAX = 2**31 - 1  # of a PNG

Words = Annotated[str, Meta(max_length=500)]
Edge = Annotated[int, Meta(ge=1, le=EDGE_MAX)]
Count = Annotated[int, Meta(ge=0)]


class PictureJob(Struct, frozen=True, kw_only=True, tag=True):
    """Start one process that decodes. Descriptors beside it: memory, then its end of the line.

    Attributes:
        pixels_max: no picture has more; the memory holds three bytes for each.
        bytes_max: no file is longer.
        memory_bytes: address space beyond what it has when the library is loaded.
        cpu_s: processor time for one picture; then SIGXCPU.
        dials: whether it may use the network.
        every_s: at most one picture of a stream in so long is given.
        silence_s: a stream that gives nothing for so long has broken off.
    """

    ticket: int
    pixels_max: int
    bytes_max: int
    memory_bytes: int
    cpu_s: int
    dials: bool = False
    every_s: float = 0.0
    silence_s: float = 5.0


class Look(Struct, frozen=True, kw_only=True, tag=True):
    """Decode the file whose descriptor travels beside."""


class Dial(Struct, frozen=True, kw_only=True, tag=True):
    """Take pictures from this stream or file, and give the first one."""

    address: str
    transport: str


class More(Struct, frozen=True, kw_only=True, tag=True):
    """The picture in the memory has been taken; give the next one."""


Asked = Look | Dial | More


class Ready(Struct, frozen=True, kw_only=True, tag=True):
    """The library is loaded, and these bounds hold."""

    confined: tuple[Label, ...] = ()


class Decoded(Struct, frozen=True, kw_only=True, tag=True):
    """A picture lies in the memory, three bytes a pixel, red first; decoding took so long."""

    rows: Edge
    columns: Edge
    taken_us: Count


class Refused(Struct, frozen=True, kw_only=True, tag=True):
    """The picture, or the stream, cannot be used."""

    reason: Refusal
    words: Words


class Passed(Struct, frozen=True, kw_only=True, tag=True):
    """A stream goes on: so many were not given since the last time, and so many were damaged."""

    skipped: Count = 0
    damaged: Count = 0


class Lost(Struct, frozen=True, kw_only=True, tag=True):
    """There is no stream, or it broke off; a file that is at its end has `ended`."""

    words: Words
    ended: bool = False


Said = Ready | Decoded | Refused | Passed | Lost
