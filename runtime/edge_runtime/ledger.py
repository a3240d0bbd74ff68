"""Numbers windows for good, and counts what became of them, through any end of the process.

Eight numbers that are written in place: a killed process loses none, and a power cut at most what
the kernel had not written yet. A number that comes back after that carries another epoch, so a
window is never mistaken for another.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.contracts.gateway import WindowCounts
from edge_runtime.inplace import InPlaceFile

_FORM: Final = struct.Struct("<8sQQqQQQQ")
_MAGIC: Final = b"EDGEWIN1"
UNFINISHED_MAX: Final = 1000


class Ledger:
    """The window numbers of one gateway; use it as a context.

    Attributes:
        cut: how many numbers were ever given out; the next one is one higher.
        emitted: the highest number that came out of scoring.
        last_end_ns: source time of the last row of the last window cut.
        file: where they lie; it says what the disk does not take.
    """

    def __init__(self, path: Path) -> None:
        self.file = InPlaceFile(path, _FORM.size)
        magic, *numbers = _FORM.unpack(self.file.whole().ljust(_FORM.size, b"\0"))
        known = magic == _MAGIC and numbers[0] >= numbers[1]
        read: list[int] = numbers if known else [0] * 7
        self.cut, self.emitted, self.last_end_ns = read[:3]
        self._scored, self._no_verdict, self._dropped, self._doubled = read[3:]
        # More than that was never under way at once: such a file is damaged, not owed.
        self._dropped += max(0, self.cut - self.emitted - UNFINISHED_MAX)
        self.emitted = max(self.emitted, self.cut - UNFINISHED_MAX)
        self._skipped = 0
        self._write()

    def skip_to(self, number: int) -> None:
        """Give out only numbers above *number* from now on; what is skipped counts as nothing."""
        self._skipped = max(0, number - self.cut)
        self.cut = self.emitted = max(number, self.cut)
        self._write()

    @property
    def unfinished(self) -> range:
        """Numbers that were given out and have not come out: at a start, what a kill cut short."""
        return range(self.emitted + 1, self.cut + 1)

    def give(self, end_ns: int) -> int:
        """The number of the window that ends at *end_ns*."""
        self.cut += 1
        self.last_end_ns = end_ns
        self._write()
        return self.cut

    def out(self, number: int, *, scored: bool) -> None:
        """Window *number* came out of scoring, with a verdict or without."""
        if number <= self.emitted:
            self._doubled += 1
        else:
            self._dropped += number - self.emitted - 1
            self.emitted = number
        if scored:
            self._scored += 1
        else:
            self._no_verdict += 1
        self._write()

    @property
    def counts(self) -> WindowCounts:
        """As reported to the site; a window under way is not dropped."""
        return WindowCounts(
            cut=self.cut - self._skipped,
            scored=self._scored,
            no_verdict=self._no_verdict,
            dropped=self._dropped,
            doubled=self._doubled,
        )

    def close(self) -> None:
        """Flush and let go."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self) -> None:
        numbers = (self.cut, self.emitted, self.last_end_ns)
        counts = (self._scored, self._no_verdict, self._dropped, self._doubled)
        self.file.put(0, _FORM.pack(_MAGIC, *numbers, *counts))
