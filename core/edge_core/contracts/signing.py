"""What people sign: approvals, waivers, what they take back, and the PIN that goes with it."""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.api import Why
from edge_core.contracts.artefact import Digest
from edge_core.contracts.plant import Instant
from edge_core.contracts.rollout import ChangeType, Meaning, Ticket

Pin = Annotated[str, Meta(pattern=r"^[0-9]{6,12}$")]


User = Annotated[str, Meta(min_length=1, max_length=64)]


class ApproveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature under the plan whose digest is given.

    Attributes:
        line: typed by hand, as a second thought.
        meaning: what the signer did; only `approved` is a yes.
        change: what kind of change it is; the first signer says, the others agree.
        until: when a temporary change ends.
        role: the voice that is lent, where the site has roles.
        shown: digest of what was on the screen; needed where a PIN is.
        pin: the signer's own, where the policy asks for it; never kept.
    """

    ticket: Ticket
    reason: Why
    plan_digest: Digest
    line: Annotated[str, Meta(max_length=64)]
    meaning: Meaning = Meaning.APPROVED
    change: ChangeType = ChangeType.NORMAL
    until: Instant | None = None
    role: Annotated[str, Meta(max_length=31)] = ""
    shown: Digest | None = None
    pin: Pin | None = None


class WaiveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Go on; where a gate holds, this signs that it is waived, with `shown` and `pin`."""

    reason: Why
    shown: Digest | None = None
    pin: Pin | None = None


class RevokeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take every signature back; `roll_back` says whether committed gateways go back as well."""

    reason: Why
    roll_back: bool = False


class PinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The caller's own PIN from now on; `old` is needed where one is set."""

    new: Pin
    old: Pin | None = None


class PinResetRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take away the PIN of somebody who forgot it; they set a new one themselves."""

    user: User
    reason: Why


class PinView(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether somebody has a PIN, and for how long it is locked."""

    user: str
    pin_set: bool
    locked_s: float = 0.0
