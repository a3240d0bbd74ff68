"""What packing refuses or cannot do.

RefusedError
├── NotBuildableError       this target cannot run this model: drop the target
└── NotReproducedError      a built target gives other values than its source: do not release
ConfigurationError
└── BuildConfigError        the build configuration or a file it names is wrong
"""

from edge_core.contracts.errors import ConfigurationError, RefusedError


class NotBuildableError(RefusedError):
    """The target's runtime has no way to run this model."""


class NotReproducedError(RefusedError):
    """What was built does not give what its source gives."""


class BuildConfigError(ConfigurationError):
    """The build configuration, or a file that it names, is wrong."""
