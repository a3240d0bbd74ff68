"""What can go wrong with a drift reference and its charts.

EdgeError
├── BinsError                   histograms have different bins: comparing them says nothing
└── RefusedError
    ├── ReferenceRefusedError   windows too few or ill-shaped, or a reference at odds with itself
    └── StateRefusedError       a checkpoint that does not belong to this reference: start anew
"""

from edge_core.contracts.errors import EdgeError, RefusedError


class BinsError(EdgeError):
    """The bins differ, so the two histograms cannot be compared."""


class ReferenceRefusedError(RefusedError):
    """No reference can be made of these windows, or this one cannot be used."""


class StateRefusedError(RefusedError):
    """A checkpoint of other charts, or of none."""
