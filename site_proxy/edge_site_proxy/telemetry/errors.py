"""What can be wrong with a batch of telemetry.

EdgeError
└── UsageError
    ├── EncodingError      a content coding that we do not take: send gzip or none
    ├── InflatedError      more bytes than we take once decompressed: send smaller batches
    └── DamagedBodyError   not what was sent: the very same call may work
"""

from edge_core.contracts.errors import UsageError


class EncodingError(UsageError):
    """The content coding is not on the list."""


class InflatedError(UsageError):
    """The body decompresses to more than is allowed."""


class DamagedBodyError(UsageError):
    """The body is not what its checksum or its coding says."""
