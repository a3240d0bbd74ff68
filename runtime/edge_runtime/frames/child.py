"""A process that decodes, from the inside: bound first, then one picture after the other.

Whatever a picture does to the library happens here, where it costs that picture.
"""

import os
import resource
import time
from collections.abc import Sequence
from typing import Final

from edge_core.admission.confine import Confinement, confine
from edge_core.admission.limited import EXIT_MEMORY
from edge_runtime.errors import PictureError
from edge_runtime.frames.decode import decode, library
from edge_runtime.frames.desk import Desk, Gone
from edge_runtime.frames.head import Refusal, check_length
from edge_runtime.frames.job import Dial, Look, More, PictureJob, Ready, Refused

_WORDS_MAX: Final = 500
_PAGE_BYTES: Final = resource.getpagesize()


def live(job: PictureJob, fds: Sequence[int]) -> int:
    """Load the library, be bound, and decode until nobody asks; the exit status."""
    memory, line = fds
    library()  # before the limits: what it maps is no picture's doing
    desk = Desk(job, memory, line)
    os.close(memory)
    try:
        desk.say(Ready(confined=_bind(job)))
        while True:
            asked, given = desk.hear()
            desk.renew()
            match asked:
                case Look():
                    _look(desk, given[0])
                case Dial(address=address, transport=transport):
                    # Only what reads streams loads what reads streams.
                    from edge_runtime.frames.stream import watch  # noqa: PLC0415

                    watch(desk, address, transport)
                case More():
                    continue  # it came too late for a stream that has ended
    except Gone:
        return 0
    except MemoryError:
        return EXIT_MEMORY


def _bind(job: PictureJob) -> tuple[str, ...]:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - as it is
        mapped_bytes = int(statm.read().split()[0]) * _PAGE_BYTES
    return confine(
        Confinement(address_space_bytes=mapped_bytes + job.memory_bytes, dials=job.dials)
    )


def _look(desk: Desk, file: int) -> None:
    """Decode one file, or say why not."""
    began_ns = time.perf_counter_ns()
    with os.fdopen(file, "rb") as opened:
        raw = opened.read(desk.job.bytes_max + 1)
    try:
        check_length(len(raw), desk.job.bytes_max)  # it may have grown since the daemon looked
        picture = decode(raw, desk.job.pixels_max)
    except PictureError as error:
        desk.say(Refused(reason=Refusal(error.reason), words=str(error)[:_WORDS_MAX]))
    else:
        desk.put(picture, began_ns)
