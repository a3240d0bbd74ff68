"""What can go wrong when a window is scored, one class for each thing a caller does differently.

TryAgainError
└── WorkerBusyError           every slot is taken: shed this window, count it
RefusedError
├── WindowRefusedError        the array does not fit the signature: the caller's mistake
└── WindowQuarantinedError    this window killed the worker twice: set it aside for a person
EdgeError
├── ModelFailedError          the model raised on this window, or gave NaN: no verdict
└── WorkerLostError           the worker is gone for good: fall back to another model
"""

from edge_core.contracts.errors import EdgeError, RefusedError, TryAgainError
from edge_runtime.inference.spec import Loss


class WorkerBusyError(TryAgainError):
    """Every slot of the worker holds a window that is not answered yet."""


class WindowRefusedError(RefusedError):
    """The array that was handed in does not fit the model's signature."""


class WindowQuarantinedError(RefusedError):
    """The window ended the worker twice and is not tried again."""

    def __init__(self, sequence: int, losses: tuple[Loss, ...]) -> None:
        why = ", then ".join(f"{loss.kind}: {loss.detail}" for loss in losses)
        super().__init__(f"window {sequence} ended the worker {len(losses)} times: {why}")
        self.losses = losses


class ModelFailedError(EdgeError):
    """The model gave no usable answer for this window; the worker lives on."""


class WorkerLostError(EdgeError):
    """The worker ended and is not coming back: it was closed, or it dies again and again."""

    def __init__(self, message: str, loss: Loss | None = None) -> None:
        super().__init__(message)
        self.loss = loss
