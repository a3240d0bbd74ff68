"""Pages that are open and what each receiver was told of them, as rows of state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog
from msgspec.structs import replace
from sqlite_utils import Database

from edge_core.contracts.api import AlarmView
from edge_site_proxy.alarms import rows
from edge_site_proxy.alarms.pages.say import Page, PageRow, Said, Verb, covers, done
from edge_site_proxy.alarms.unwritten import NOTHING, Unwritten
from edge_site_proxy.audit.events import Event
from edge_site_proxy.store import Store, StoreUnavailableError, Tx
from edge_site_proxy.store.rows import load

PAGES = "pages"
SAID = "pages_said"
SITE = "site-proxy"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ear:
    """A receiver as the queue knows it: its name, and what it can be told."""

    name: str
    speaks: frozenset[Verb]


def queue_in(tx: Tx, alarm: AlarmView, flood: AlarmView | None) -> None:
    """Within a transaction: page *alarm*, or let a page that is open speak for it too."""
    open_pages = load(tx.db, PAGES, PageRow)
    firsts = [rows.alarm_of(tx.db, page.alarm) for page in open_pages.values()]
    cause = next((each for each in firsts if covers(each, alarm, tx.at)), None)
    first = cause or flood or alarm
    event = Event("alarm.page_queued", str(alarm.id), {"page": first.id})
    tx.record(event)
    if str(first.id) not in open_pages:
        tx.put(PAGES, str(first.id), PageRow(alarm=first.id, at=tx.at), by=event)
    rows.save(tx, replace(rows.alarm_of(tx.db, alarm.id), page=first.id), event)


def pages(db: Database) -> list[Page]:
    """Every page that is open, oldest first."""
    found = load(db, PAGES, PageRow)
    made = []
    for row in found.values():
        alarm = rows.alarm_of(db, row.alarm)
        members = tuple(rows.members_of(db, row.alarm))
        made.append(Page(alarm, members, row.at or alarm.raised))
    return made


def note_in(tx: Tx, said: Iterable[Said]) -> None:
    """Within a transaction: these were taken by their receiver."""
    for each in said:
        facts = {"receiver": each.receiver, "verb": each.verb.value}
        event = Event("alarm.paged", str(each.alarm), facts)
        tx.record(event)
        tx.put(SAID, _key(each.receiver, each.alarm), each, by=event)
        rows.save(tx, replace(rows.alarm_of(tx.db, each.alarm), paged=True), event)


class PageQueue:
    """What waits to be sent, and the record of what was.

    Args:
        store: where both are kept.
        unwritten: holds what cannot be.
    """

    def __init__(self, store: Store, unwritten: Unwritten) -> None:
        self._store = store
        self._unwritten = unwritten

    async def open(self, receiver: str) -> list[tuple[Page, Said | None]]:
        """Every open page, and what *receiver* was told last about it."""
        held = self._unwritten.held

        def look(db: Database) -> list[tuple[Page, Said | None]]:
            told = load(db, SAID, Said)
            told |= {_key(*name): said for name, said in held.told.items()}
            found = held.pages(pages(db))
            return [(page, told.get(_key(receiver, page.alarm.id))) for page in found]

        return await self._store.read(look)

    async def told(self, said: Sequence[Said]) -> None:
        """These were taken by their receiver; nothing is said twice.

        What the disk refuses waits with what it refused before, so that its order stays.
        """
        if not said:
            return
        if self._unwritten.held == NOTHING:
            try:
                await self._store.change(SITE, [], lambda tx: note_in(tx, said))
            except StoreUnavailableError as error:
                log.warning("page.not_noted", reason=str(error))
            else:
                return
        self._unwritten.tell(said)

    async def close_done(self, ears: Sequence[Ear]) -> None:
        """Forget pages that are over and of which every receiver knows."""
        if await self._store.read(lambda db: bool(_done(db, ears))):
            await self._store.change(SITE, [], lambda tx: _close(tx, ears))


def _close(tx: Tx, ears: Sequence[Ear]) -> None:
    told = load(tx.db, SAID, Said)
    for number in _done(tx.db, ears):
        event = Event("alarm.page_closed", str(number), {})
        tx.record(event)
        tx.drop(PAGES, str(number), by=event)
        for key, said in told.items():
            if said.alarm == number:
                tx.drop(SAID, key, by=event)


def _done(db: Database, ears: Sequence[Ear]) -> list[int]:
    """Numbers of pages that nobody has to be told of again."""
    told = load(db, SAID, Said)
    return [
        page.alarm.id
        for page in pages(db)
        if all(done(page, told.get(_key(ear.name, page.alarm.id)), ear.speaks) for ear in ears)
        and page.over
    ]


def _key(receiver: str, number: int) -> str:
    return f"{receiver}/{number}"
