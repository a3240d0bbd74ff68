"""A generic webhook: one address that takes a page as JSON."""

from dataclasses import dataclass

from edge_site_proxy.alarms.pages.say import ONCE, Page, Verb
from edge_site_proxy.alarms.pages.wire import Post, key_of, members


@dataclass(frozen=True, slots=True)
class Webhook:
    """POSTs each page once, and if asked for a second time when it is over.

    The receiver tells a repeat by the `Idempotency-Key` header, which is the same for every try
    of one page: if the answer to a first try is lost, nobody is woken twice.

    Attributes:
        post: the way out.
        url: the address.
        site: whose pages these are.
        resolve: say when a page is over, too.
    """

    post: Post
    url: str
    site: str
    resolve: bool = False

    @property
    def speaks(self) -> frozenset[Verb]:
        """Trigger, and resolve where it is asked for."""
        return ONCE | {Verb.RESOLVE} if self.resolve else ONCE

    async def send(self, verb: Verb, page: Page, turn: int) -> None:
        """POST the page.

        Raises:
            PageDelayedError: not now.
            PageRefusedError: the answer is no.
        """
        alarm = page.alarm
        body = {
            "site": self.site,
            "event": verb.value,
            "alarm": alarm.id,
            "priority": min(each.priority.value for each in page.all),
            "source": alarm.source,
            "what": alarm.what,
            "consequence": alarm.consequence,
            "runbook": alarm.runbook,
            "actions": alarm.actions,
            "raised": alarm.raised.isoformat(),
            "stands": page.stands,
            "members": members(page),
            "members_count": len(page.members),
        }
        ending = "" if verb is Verb.TRIGGER else f"-{verb.value}"
        key = key_of(self.site, page, turn) + ending
        await self.post.send(self.url, body, {"Idempotency-Key": key})
