"""How the operator API is reached, and which Unix group gives which role."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.api import Role


class OperatorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[operator]` of the site's configuration.

    `groups` renames the group of a role where a plant's directory has other names.
    `roles_by_user` gives roles to Unix users directly: for a demo or a test on one machine.
    """

    socket: Path = Path("/run/edge-site/operator.sock")
    socket_group: str | None = None  # who may connect; what they may do is decided behind it
    groups: dict[Role, Annotated[str, Meta(min_length=1, max_length=32)]] = {}
    roles_by_user: dict[str, list[Role]] = {}
