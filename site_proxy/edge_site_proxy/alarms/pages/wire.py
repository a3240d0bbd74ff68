"""What every receiver of pages shares: one POST, and what its answer means."""

import asyncio
import ssl as tls
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import aiohttp
import msgspec

from edge_site_proxy.alarms.errors import PageDelayedError, PageRefusedError
from edge_site_proxy.alarms.pages.say import Page, Verb
from edge_site_proxy.telemetry.retry import wait_asked

ANSWER_S: Final = 20.0
MEMBERS_MAX: Final = 50  # of a page's further alarms; the console has them all
_LATER: Final = frozenset({408, 425, 429})


class Wire(Protocol):
    """Carries what a receiver is to be told."""

    @property
    def speaks(self) -> frozenset[Verb]:
        """What this receiver can be told."""
        ...

    async def send(self, verb: Verb, page: Page, turn: int) -> None:
        """Return once it was accepted.

        Raises:
            PageDelayedError: not now; with the receiver's own wish when to try again.
            PageRefusedError: never as things are: a setting, a key.
        """
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """Sends JSON to one address.

    Attributes:
        session: to send with.
        now: wall clock, for a `Retry-After` that is a date.
        ssl: trust and client certificate, None for the usual.
        authorization: gives the header's value, None for none.
    """

    session: aiohttp.ClientSession
    now: Callable[[], datetime]
    ssl: tls.SSLContext | None = None
    authorization: Callable[[], str] | None = None

    async def send(self, url: str, body: object, headers: Mapping[str, str]) -> None:
        """POST *body*; redirects are not followed.

        Raises:
            PageDelayedError: nobody answered, or too busy.
            PageRefusedError: the answer is no.
        """
        sent = {"Content-Type": "application/json", **headers}
        try:
            if self.authorization is not None:
                sent["Authorization"] = self.authorization()
            async with (
                asyncio.timeout(ANSWER_S),
                self.session.post(
                    url,
                    data=msgspec.json.encode(body),
                    headers=sent,
                    allow_redirects=False,
                    ssl=True if self.ssl is None else self.ssl,
                ) as answer,
            ):
                self._judge(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PageDelayedError(str(error) or "no answer") from error

    def _judge(self, answer: aiohttp.ClientResponse) -> None:
        if 200 <= answer.status < 300:
            return
        reason = f"expected an answer below 300, found {answer.status} {answer.reason or ''}"
        if answer.status in _LATER or answer.status >= 500:
            after = wait_asked(answer.headers.get("Retry-After"), self.now())
            raise PageDelayedError(reason.strip(), after)
        raise PageRefusedError(reason.strip())


def key_of(site: str, page: Page, turn: int) -> str:
    """The same for every try of one page, so that a receiver can tell a repeat."""
    again = "" if turn == 1 else f"-{turn}"
    return f"{site}-alarm-{page.alarm.id}{again}"


def headline(page: Page) -> str:
    """One line: what, and how many more follow from it."""
    more = f" (and {len(page.members)} more)" if page.members else ""
    return f"{page.alarm.what}{more}"


def members(page: Page) -> list[dict[str, object]]:
    """Further alarms that the page speaks for, oldest first."""
    return [
        {
            "alarm": alarm.id,
            "source": alarm.source,
            "what": alarm.what,
            "state": alarm.state.value,
            "raised": alarm.raised.isoformat(),
        }
        for alarm in page.members[:MEMBERS_MAX]
    ]
