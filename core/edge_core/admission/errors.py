"""What admission refuses, and what it cannot do.

RefusedError
└── ModelRefusedError    the model is not admissible: never load it, show the message
EdgeError
└── AdmissionError       our own child could not be started or spoke nonsense: report it
"""

from edge_core.contracts.errors import EdgeError, RefusedError


class ModelRefusedError(RefusedError):
    """The model may not be loaded; the message names thing, expected and found."""


class AdmissionError(EdgeError):
    """The admission child itself failed, so nothing was decided about the model."""
