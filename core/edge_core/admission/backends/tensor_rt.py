"""TensorRT engines: the key is checked before a byte is deserialised.

Nothing here computes yet: a worker is confined to reading files, and a GPU's device files are
opened for writing. Until that is decided an engine is refused with that reason.
"""

from collections.abc import Mapping, Sequence

from edge_core.admission.backends.engine_key import box_key, check_key, read_key
from edge_core.admission.backends.protocol import Arrays, only
from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import TensorSpec


class TensorRt:
    """One `.engine` with its `engine.json`."""

    def __init__(self, providers: Sequence[str] = ()) -> None:
        self._asked = providers

    def load(
        self,
        files: Mapping[str, bytes],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        """See `Backend.load`; always refuses, for the first reason that holds."""
        only(files, ".engine")
        check_key(read_key(only(files, ".json")), box_key())
        raise ModelRefusedError(
            f"tensorrt does not load it: {len(inputs)} inputs and {len(outputs)} outputs would "
            "need the GPU's device files, which a confined worker may not open"
        )

    def run(self, inputs: Arrays) -> Arrays:
        """See `Backend.run`.

        Raises:
            ModelRefusedError: nothing was loaded.
        """
        raise ModelRefusedError(f"tensorrt: no engine is loaded for {len(inputs)} inputs")

    def used(self) -> Sequence[str]:
        """See `Backend.used`."""
        return []
