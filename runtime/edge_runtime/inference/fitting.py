"""Whether a window fits a model's inputs, and the batch that one row has to fill."""

import math
from collections.abc import Sequence

import numpy as np

from edge_core.contracts.artefact import TensorSpec
from edge_runtime.inference.errors import WindowRefusedError
from edge_runtime.inference.ring import Arrays


class Fitting:
    """The inputs of one model, ready to be compared with; called for every window."""

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self._wanted = [
            (spec, tuple(spec.shape), np.dtype(spec.dtype.value), math.prod(spec.shape))
            for spec in inputs
        ]

    def fit(self, inputs: Arrays) -> Arrays:
        """*inputs* in the signature's shapes; one row fills a larger batch.

        Raises:
            WindowRefusedError: another number of inputs, type or size.
        """
        wanted = self._wanted
        if len(inputs) != len(wanted):
            raise WindowRefusedError(f"window: expected {len(wanted)} inputs, found {len(inputs)}")
        fitting = []
        for values, (spec, shape, dtype, size) in zip(inputs, wanted, strict=True):
            if values.shape == shape and values.dtype == dtype:
                fitting.append(values)
            elif values.dtype == dtype and values.size == size:
                fitting.append(values.reshape(shape))
            elif values.dtype == dtype and shape and values.size * shape[0] == size:
                fitting.append(np.broadcast_to(values.reshape(1, *shape[1:]), shape))
            else:
                raise WindowRefusedError(
                    f"window: input {spec.name}: expected {spec.dtype} {spec.shape}, found "
                    f"{values.dtype} {list(values.shape)}"
                )
        return fitting
