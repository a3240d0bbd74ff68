"""What waits in memory while nothing can be written: the alarm about that, and who was told what.

After a restart both are begun anew. The alarm then has the same number again, if nothing else was
raised between, and so its receivers know the page for a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from edge_core.contracts.api import AlarmView
from edge_site_proxy.alarms.pages.say import Page, Said
from edge_site_proxy.rollout.records import AlarmCall


@dataclass(frozen=True, slots=True)
class Held:
    """All that waits at one moment.

    Attributes:
        alarm: as it is shown; None while the audit log can be written.
        call: what raised it.
        told: the last words to each receiver about each page, by name and number.
    """

    alarm: AlarmView | None = None
    call: AlarmCall | None = None
    told: Mapping[tuple[str, int], Said] = field(default_factory=dict)

    def alarms(self, kept: Sequence[AlarmView]) -> list[AlarmView]:
        """Those that are *kept*, and what waits: instead of an older word about it, or last."""
        if self.alarm is None:
            return list(kept)
        known = any(each.id == self.alarm.id for each in kept)
        return [self._newer(each) for each in kept] + ([] if known else [self.alarm])

    def pages(self, kept: Sequence[Page]) -> list[Page]:
        """Those that are *kept*, and one for what waits, if none of them speaks for it."""
        if self.alarm is None:
            return list(kept)
        found = [
            Page(self._newer(page.alarm), tuple(map(self._newer, page.members)), page.since)
            for page in kept
        ]
        spoken_for = any(each.id == self.alarm.id for page in kept for each in page.all)
        return found + ([] if spoken_for else [Page(self.alarm, (), self.alarm.raised)])

    def _newer(self, kept: AlarmView) -> AlarmView:
        return self.alarm if self.alarm is not None and kept.id == self.alarm.id else kept


NOTHING = Held()


class Unwritten:
    """Holds it until it is written down."""

    def __init__(self) -> None:
        self.held = NOTHING

    def since(self, key: str) -> datetime | None:
        """When the alarm *key* was raised, if it is the one that waits."""
        call, alarm = self.held.call, self.held.alarm
        return None if call is None or alarm is None or call.key != key else alarm.raised

    def notice(self, call: AlarmCall, alarm: AlarmView) -> None:
        """From here on *alarm* waits."""
        self.held = replace(self.held, call=call, alarm=alarm)

    def tell(self, said: Sequence[Said]) -> None:
        """These were taken by their receiver."""
        told = {(each.receiver, each.alarm): each for each in said}
        alarm = self.held.alarm
        if alarm is not None and any(each.alarm == alarm.id for each in said):
            alarm = msgspec.structs.replace(alarm, paged=True)
        self.held = replace(self.held, alarm=alarm, told={**self.held.told, **told})

    def forget(self, held: Held) -> None:
        """*held* is written down; nothing of it waits any more, unless more came meanwhile."""
        if self.held is held:
            self.held = NOTHING
