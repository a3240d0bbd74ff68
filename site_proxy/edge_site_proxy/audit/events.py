"""What a change is recorded as, before the log gives it a number, a time and a place."""

from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, Any]  # Any: JSON values only; the kind of the event decides which


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: `noun.verb` in lower case; the noun names the resource for the change feed.
        subject: the id of that resource, at most 120 characters.
        facts: JSON values; digests and ids, never secrets, never sample values.
        who: brought it about, where one transaction keeps what several have said; else whoever
            made the change.
    """

    kind: str
    subject: str
    facts: Facts = field(default_factory=dict)
    who: str | None = None
