"""PagerDuty's Events API v2: trigger, acknowledge and resolve one incident by its dedup_key.

The format is that of developer.pagerduty.com/docs/events-api-v2-overview: 202 is taken, 400 is an
event that will never be, 429 asks to slow down.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_core.contracts.api import Priority
from edge_site_proxy.alarms.pages.say import Page, Verb
from edge_site_proxy.alarms.pages.wire import Post, headline, key_of, members

SUMMARY_MAX: Final = 1024
_SEVERITY: Final = {
    Priority.P1: "critical",
    Priority.P2: "error",
    Priority.P3: "warning",
    Priority.P4: "info",
}


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """One service of PagerDuty, or whatever speaks its Events API v2.

    Attributes:
        post: the way out.
        url: up to and without `/v2/enqueue`.
        site: whose pages these are.
        routing_key: gives the service's integration key.
    """

    post: Post
    url: str
    site: str
    routing_key: Callable[[], str]

    @property
    def speaks(self) -> frozenset[Verb]:
        """All of it."""
        return frozenset(Verb)

    async def send(self, verb: Verb, page: Page, turn: int) -> None:
        """Enqueue one event.

        Raises:
            PageDelayedError: not now.
            PageRefusedError: the event or its key is wrong.
        """
        body: dict[str, object] = {
            "routing_key": self.routing_key(),
            "event_action": verb.value,
            "dedup_key": key_of(self.site, page, turn),
        }
        if verb is Verb.TRIGGER:
            body |= self._told(page)
        await self.post.send(f"{self.url}/v2/enqueue", body, {})

    def _told(self, page: Page) -> dict[str, object]:
        alarm = page.alarm
        priority = min((each.priority for each in page.all), key=lambda each: each.value)
        told: dict[str, object] = {
            "client": "edge-mlops",
            "payload": {
                "summary": f"{self.site}: {headline(page)}"[:SUMMARY_MAX],
                "source": f"{self.site}/{alarm.source}",
                "severity": _SEVERITY[priority],
                "timestamp": alarm.raised.isoformat(),
                "component": alarm.line or self.site,
                "group": alarm.group,
                "class": alarm.kind,
                "custom_details": {
                    "alarm": alarm.id,
                    "priority": priority.value,
                    "consequence": alarm.consequence,
                    "runbook": alarm.runbook,
                    "actions": alarm.actions,
                    "members": members(page),
                },
            },
        }
        if alarm.runbook.startswith(("http://", "https://")):
            told["links"] = [{"href": alarm.runbook, "text": "runbook"}]
        return told
