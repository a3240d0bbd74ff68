"""What the drift monitor remembers from window to window, and its bytes for a checkpoint."""

from dataclasses import dataclass, replace
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.drift.charts import STATISTICS
from edge_core.drift.errors import StateRefusedError


class _Written(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="drift/1"
):
    """The written form: MessagePack, arrays as little-endian bytes."""

    roles: int
    charts: bytes
    rising: bytes
    last: bytes
    run: bytes
    longest: bytes
    mode: str | None
    age: int
    quiet: int
    next_number: int


@dataclass(frozen=True, slots=True)
class DriftState:
    """`charts` and `rising` have shape (2 charts, 2 sides, 5, role); the others (role,).

    `charts` are the CUSUMs, `rising` counts windows since each left zero. `last` and `run` are the
    last usable row and how long it has stood still, `longest` the longest run of the last window.
    `age` counts windows in this recipe, `quiet` windows until an alarm may come again.
    """

    charts: NDArray[np.float64]
    rising: NDArray[np.int64]
    last: NDArray[np.float32]
    run: NDArray[np.int64]
    longest: NDArray[np.int64]
    mode: str | None
    age: int
    quiet: int
    next_number: int

    @classmethod
    def empty(cls, roles: int) -> Self:
        """Before the first window."""
        shape = (2, 2, len(STATISTICS), roles)
        return cls(
            charts=np.zeros(shape),
            rising=np.zeros(shape, np.int64),
            last=np.full(roles, np.nan, np.float32),
            run=np.zeros(roles, np.int64),
            longest=np.zeros(roles, np.int64),
            mode=None,
            age=0,
            quiet=0,
            next_number=0,
        )

    def reset(self) -> Self:
        """The same with all charts at zero and no value standing still."""
        return replace(
            self,
            charts=np.zeros_like(self.charts),
            rising=np.zeros_like(self.rising),
            run=np.zeros_like(self.run),
            longest=np.zeros_like(self.longest),
        )

    def to_bytes(self) -> bytes:
        """For a checkpoint beside the window cursor; about 9 kB for 50 roles."""
        return msgspec.msgpack.encode(
            _Written(
                roles=len(self.last),
                charts=self.charts.astype("<f8").tobytes(),
                rising=self.rising.astype("<i4").tobytes(),
                last=self.last.astype("<f4").tobytes(),
                run=self.run.astype("<i8").tobytes(),
                longest=self.longest.astype("<i8").tobytes(),
                mode=self.mode,
                age=self.age,
                quiet=self.quiet,
                next_number=self.next_number,
            )
        )

    @classmethod
    def from_bytes(cls, encoded: bytes, roles: int) -> Self:
        """Read a checkpoint of charts for so many roles.

        Raises:
            StateRefusedError: it is no checkpoint, is damaged, or is of another number of roles.
        """
        try:
            written = msgspec.msgpack.decode(encoded, type=_Written)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise StateRefusedError(f"drift checkpoint: not readable: {error}") from error
        if written.roles != roles:
            raise StateRefusedError(
                f"drift checkpoint: expected {roles} roles, found {written.roles}"
            )
        shape = (2, 2, len(STATISTICS), roles)
        try:
            return cls(
                charts=np.frombuffer(written.charts, "<f8").reshape(shape).astype(np.float64),
                rising=np.frombuffer(written.rising, "<i4").reshape(shape).astype(np.int64),
                last=np.frombuffer(written.last, "<f4").reshape(roles).astype(np.float32),
                run=np.frombuffer(written.run, "<i8").reshape(roles).astype(np.int64),
                longest=np.frombuffer(written.longest, "<i8").reshape(roles).astype(np.int64),
                mode=written.mode,
                age=written.age,
                quiet=written.quiet,
                next_number=written.next_number,
            )
        except ValueError as error:
            raise StateRefusedError(f"drift checkpoint: damaged: {error}") from error
