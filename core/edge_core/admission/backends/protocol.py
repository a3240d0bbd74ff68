"""What every runtime must do, and how its own errors are told apart."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import TensorSpec

Arrays = Sequence[NDArray[np.generic]]


class BackendPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a runtime is opened.

    Attributes:
        providers: what shall compute, in order of preference; empty is the runtime's own choice
            for the CPU. Names are the runtime's: `CPUExecutionProvider`, `GPU`, `XNNPACK`.
        backend: `module:Class` of a runtime that is not one of ours.
    """

    providers: list[str] = []
    backend: str | None = None


USUAL_PLAN = BackendPlan()


class Backend(Protocol):
    """One loaded model."""

    def load(
        self,
        files: Mapping[str, bytes],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        """Build the session from bytes by file name; inputs and outputs go by their names.

        Raises:
            ModelRefusedError: the files are not of this runtime, or it refused them.
            MemoryError: an allocation failed.
        """

    def run(self, inputs: Arrays) -> Arrays:
        """All outputs for all inputs, both in the order given to `load`."""

    def used(self) -> Sequence[str]:
        """What really computes once loaded, most work first, in the runtime's own words."""


def only(files: Mapping[str, bytes], suffix: str) -> bytes:
    """The one file with *suffix*.

    Raises:
        ModelRefusedError: there is none, or more than one.
    """
    found = [content for name, content in files.items() if PurePosixPath(name).suffix == suffix]
    if len(found) != 1:
        raise ModelRefusedError(f"model files {sorted(files)}: expected exactly one {suffix}")
    return found[0]


def refused(runtime: str, error: Exception) -> Exception:
    """A runtime's own exception as a refusal; memory stays memory, whoever ran out of it."""
    text = str(error)
    if isinstance(error, MemoryError) or out_of_memory(text):
        return MemoryError(text[:200])
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    return ModelRefusedError(f"{runtime} does not load it: {first[:200]!a}")


def out_of_memory(text: str) -> bool:
    """Whether a runtime's message says that an allocation failed."""
    return any(mark in text for mark in ("bad_alloc", "Failed to allocate", "allocate memory"))


def wanted(runtime: str, asked: Sequence[str], offered: Sequence[str]) -> list[str]:
    """Those of *asked* that are offered here, in the order asked.

    Raises:
        ModelRefusedError: none of them is.
    """
    here = [each for each in asked if each in offered]
    if not here:
        raise ModelRefusedError(
            f"{runtime}: expected one of the providers {', '.join(asked)}, "
            f"found {', '.join(offered)}"
        )
    return here
