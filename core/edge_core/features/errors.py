"""What can go wrong between a sample and a feature.

EdgeError
├── ColumnError            columns of our own making do not fit together
├── RowOrderError          rows came back in time: the grid and the cutter disagree
├── OutputError            a model gave something that says nothing about the window
└── RefusedError
    ├── ContractError      a model asks for something the tags of a gateway cannot supply
    └── RecordingError     recorded samples are not of the form that is read
"""

from edge_core.contracts.errors import EdgeError, RefusedError


class ColumnError(EdgeError):
    """Columns that belong together have different lengths or the wrong number of tags."""


class RowOrderError(EdgeError):
    """A row arrived that is older than one already taken."""


class OutputError(EdgeError):
    """A model's output is not a number, or not as many as its signature says."""


class ContractError(RefusedError):
    """A signature and a gateway's tag map do not fit; the message names the first feature."""


class RecordingError(RefusedError):
    """A line of a recording is not a sample; the message names the line."""
