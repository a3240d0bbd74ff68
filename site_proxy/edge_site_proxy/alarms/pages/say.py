"""What a receiver is to be told next about one page, from the alarms it speaks for; pure.

A page is the first alarm of one cause; those that follow from it are its members and wake nobody
a second time. What a receiver was told is kept, so a restart says nothing twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from edge_core.contracts.api import AlarmState, AlarmView
from edge_core.contracts.plant import Instant
from edge_site_proxy.alarms.life import UNSEEN

SUMMARY_AFTER = timedelta(minutes=15)  # what waited that long for its receiver is one summary
GROUP = timedelta(minutes=10)  # a cause that was seen and comes again later is a page of its own


class Verb(StrEnum):
    """What a receiver can be told; the names are those of PagerDuty's Events API v2."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


ONCE = frozenset({Verb.TRIGGER})


class PageRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page that is open: the number of its first alarm, and since when."""

    alarm: int
    at: Instant | None = None


class Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one receiver was told last about one page.

    Attributes:
        turn: how often it was triggered; more than once only after it was resolved.
        under: the page whose summary spoke for this one.
    """

    receiver: str
    alarm: int
    verb: Verb
    turn: int = 1
    under: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page with everything it speaks for.

    Attributes:
        alarm: the first-out; the page bears its number.
        members: further alarms that it speaks for, oldest first.
        since: when it was queued.
    """

    alarm: AlarmView
    members: tuple[AlarmView, ...]
    since: datetime

    @property
    def all(self) -> tuple[AlarmView, ...]:
        """First-out and members."""
        return (self.alarm, *self.members)

    @property
    def stands(self) -> bool:
        """Whether the cause of one of them is there."""
        return any(each.active and each.state is not AlarmState.CLEARED for each in self.all)

    @property
    def seen(self) -> bool:
        """Whether somebody has seen all of them."""
        return not any(each.state in UNSEEN for each in self.all)

    @property
    def over(self) -> bool:
        """Whether nothing of it is left on the list."""
        return all(each.state is AlarmState.CLEARED for each in self.all)


def next_verb(page: Page, said: Said | None, speaks: frozenset[Verb]) -> Verb | None:
    """What a receiver that *speaks* these verbs is to be told now, or None.

    An alarm that went before anybody saw it is still told; one that somebody saw and that is over
    wakes nobody.
    """
    verb = None
    if said is None:
        verb = None if page.over else Verb.TRIGGER
    elif page.stands and said.verb is Verb.RESOLVE:
        verb = Verb.TRIGGER
    elif not page.stands and said.verb is not Verb.RESOLVE:
        verb = Verb.RESOLVE
    elif page.stands and page.seen and said.verb is Verb.TRIGGER:
        verb = Verb.ACKNOWLEDGE
    return verb if verb in speaks else None


def done(page: Page, said: Said | None, speaks: frozenset[Verb]) -> bool:
    """Whether this receiver will never have to be told about *page* again."""
    spoken_for = said is not None and said.under is not None
    return page.over and (spoken_for or next_verb(page, said, speaks) is None)


def summarised(waiting: Sequence[Page], now: datetime) -> Page | None:
    """One page for all of *waiting*, if their receiver was away for long; else None."""
    if len(waiting) < 2 or now - waiting[0].since < SUMMARY_AFTER:
        return None
    first, *others = waiting
    members = (*first.members, *(alarm for page in others for alarm in page.all))
    return Page(first.alarm, members, first.since)


def covers(open_page: AlarmView, alarm: AlarmView, now: datetime) -> bool:
    """Whether the page of *open_page* speaks for the new *alarm* too: one cause, and fresh."""
    return open_page.group == alarm.group and (
        open_page.state in UNSEEN or now - open_page.raised < GROUP
    )
