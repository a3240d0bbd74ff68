"""From a user id to roles, by the machine's own user and group lists, asked anew each time.

Somebody who left a group loses its rights with their next call, not with their next session.
"""

import grp
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass

from edge_core.contracts.api import ALLOWED, Action, Role
from edge_site_proxy.api.operator.errors import RoleMissingError
from edge_site_proxy.api.operator.settings import OperatorSettings


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and as what; `name` is what stands under a signature."""

    user: str
    uid: int
    roles: tuple[Role, ...]
    name: str = ""
    groups: frozenset[str] = frozenset()

    @property
    def actions(self) -> list[Action]:
        """Everything that these roles allow."""
        return [action for action in Action if ALLOWED[action] & set(self.roles)]

    def must(self, action: Action) -> None:
        """See that the caller may do *action*.

        Raises:
            RoleMissingError: they may not; the message names the roles that would do.
        """
        if not ALLOWED[action] & set(self.roles):
            enough = ", ".join(sorted(role.value for role in ALLOWED[action]))
            raise RoleMissingError(
                f"{action.value}: expected {self.user} to be in one of {enough}, "
                f"found {', '.join(self.roles) or 'none of them'}"
            )


Lookup = Callable[[int], tuple[str, frozenset[str]]]


def on_this_machine(uid: int) -> tuple[str, frozenset[str]]:
    """The name and the groups of *uid*; an unknown one is called by its number."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), frozenset()
    names = set()
    for number in os.getgrouplist(user.pw_name, user.pw_gid):
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue  # a group without a name cannot be one of ours
    return user.pw_name, frozenset(names)


def caller(uid: int, settings: OperatorSettings, lookup: Lookup) -> Caller:
    """Who *uid* is now.

    Raises:
        RoleMissingError: they have no role at all.
    """
    user, groups = lookup(uid)
    by_group = {role for role in Role if settings.groups.get(role, role.value) in groups}
    roles = by_group | set(settings.roles_by_user.get(user, []))
    if not roles:
        raise RoleMissingError(
            f"user {user}: expected a member of one of {', '.join(Role)}, found none of them"
        )
    in_order = tuple(role for role in Role if role in roles)
    return Caller(user, uid, in_order, _printed(user), groups)


def _printed(user: str) -> str:
    """The name that stands under a signature: the first part of GECOS, else the user's own."""
    try:
        full = pwd.getpwnam(user).pw_gecos.partition(",")[0].strip()
    except KeyError:
        return user
    return full[:64] or user
