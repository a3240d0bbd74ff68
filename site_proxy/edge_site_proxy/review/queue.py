"""The queue: takes windows once, hands items out for a while, keeps every label with its author.

A lease is held in memory and counted on the monotonic clock: after a restart everything is free
again, which costs at most a second look and never a label.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from edge_core.contracts.api import LabelRequest, LeaseRequest
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.review import (
    UNSURE,
    ItemState,
    LabelRecord,
    QueueSummary,
    ReviewItem,
    SuspectWindow,
)
from edge_site_proxy.audit.events import Event
from edge_site_proxy.review import tables
from edge_site_proxy.review.errors import ItemTakenError, LabelRefusedError
from edge_site_proxy.store import Store, Tx

SITE = "site-proxy"
PER_GATEWAY_MAX = 200  # open items; one noisy gateway must not crowd out the others


@dataclass(frozen=True, slots=True)
class _Lease:
    who: str
    until: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many open items there may be, and for how long."""

    open_max: int
    expire_s: float


class ReviewQueue:
    """The review queue of a site."""

    def __init__(
        self,
        store: Store,
        bounds: Bounds,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._bounds = bounds
        self._now = now
        self._monotonic = monotonic
        self._leases: dict[int, _Lease] = {}

    async def take(self, place: GatewayPlace, window: SuspectWindow) -> bool:
        """Put *window* into the queue; False if it is there already.

        Where the queue is full the oldest open items expire, and the log says which.
        """
        if await self._store.read(lambda db: tables.holds(db, window.id)):
            return False

        def mutate(tx: Tx) -> bool:
            if tables.holds(tx.db, window.id):
                return False
            line, asset = place.position.line, place.position.asset
            item = tables.insert(tx.db, window, line, asset, tx.at)
            tx.record(
                Event(
                    "review.received",
                    str(item),
                    {"window": window.id, "routing": window.routing.value, "line": line},
                )
            )
            crowd = tables.oldest_open(tx.db, place.serial, PER_GATEWAY_MAX)
            crowd += tables.oldest_open(tx.db, None, self._bounds.open_max)
            self._expire(tx, list(dict.fromkeys(crowd)), "the queue is full")
            return True

        return await self._store.change(f"gateway:{place.serial}", [], mutate)

    async def lease(self, who: str, order: LeaseRequest) -> list[ReviewItem]:
        """The next open items that nobody holds, and those that *who* holds already."""
        self._drop_leases()
        items = await self._store.read(
            lambda db: tables.select(
                db,
                state=ItemState.OPEN,
                line=order.line,
                asset=order.asset,
                limit=order.count + len(self._leases),
            )
        )
        until = self._monotonic() + order.seconds
        mine = [item for item in items if self._holder(item.item) in {None, who}][: order.count]
        for item in mine:
            self._leases[item.item] = _Lease(who, until)
        return [self._shown(item) for item in mine]

    async def label(self, item: int, who: str, request: LabelRequest) -> ReviewItem:
        """Say what a window was; saying the same again changes nothing.

        Raises:
            NoSuchItemError: no such item.
            ItemTakenError: another person holds or has labelled it, or it expired.
            LabelRefusedError: not a class of this window.
        """
        record = LabelRecord(
            label=request.label,
            who=who,
            at=self._now(),
            seconds=request.seconds,
            proposal_shown=request.proposal_shown,
        )
        known = await self._store.read(lambda db: tables.load(db, item))
        if _said(known, record):
            return known

        def mutate(tx: Tx) -> ReviewItem:
            found = tables.load(tx.db, item)
            self._check(found, record)
            labels = [*found.labels, record]
            tables.save(tx.db, item, ItemState.LABELLED, labels)
            return replace(found, state=ItemState.LABELLED, labels=labels)

        facts = {"window": known.window.id, "label": record.label, "seconds": record.seconds}
        answer = await self._store.change(
            who, [Event("review.labelled", str(item), facts)], mutate
        )
        self._leases.pop(item, None)
        return answer

    async def undo(self, item: int, who: str) -> ReviewItem:
        """Take the newest label back; it stays as history, and the item is *who*'s again.

        Raises:
            NoSuchItemError: no such item.
            ItemTakenError: the newest label is not theirs.
        """

        def mutate(tx: Tx) -> ReviewItem:
            found = tables.load(tx.db, item)
            last = _standing(found)
            if last is None or last.who != who:
                raise ItemTakenError(
                    f"queue item {item}: expected a label by {who}, "
                    f"found {'none' if last is None else f'one by {last.who}'}"
                )
            labels = [
                replace(label, undone=True) if label is last else label for label in found.labels
            ]
            tables.save(tx.db, item, ItemState.OPEN, labels)
            return replace(found, state=ItemState.OPEN, labels=labels)

        answer = await self._store.change(who, [Event("review.undone", str(item))], mutate)
        self._leases[item] = _Lease(who, self._monotonic() + 900.0)
        return self._shown(answer)

    async def items(
        self,
        state: ItemState | None,
        limit: int,
        *,
        line: str | None = None,
        asset: str | None = None,
    ) -> list[ReviewItem]:
        """Items in order of arrival; a leased one is an open one in somebody's hands."""
        self._drop_leases()
        kept = ItemState.OPEN if state is ItemState.LEASED else state
        found = await self._store.read(
            lambda db: tables.select(db, state=kept, line=line, asset=asset, limit=limit)
        )
        shown = [self._shown(item) for item in found]
        return [item for item in shown if state is None or item.state is state]

    async def summary(self) -> QueueSummary:
        """How much work there is."""
        self._drop_leases()
        return await self._store.read(lambda db: tables.summary(db, len(self._leases)))

    async def open_by_line(self) -> dict[str, int]:
        """Open items a line."""
        return await self._store.read(tables.open_by_line)

    async def expire_due(self) -> None:
        """Let go of what nobody looked at in time."""
        moment = self._now() - timedelta(seconds=self._bounds.expire_s)
        due = await self._store.read(lambda db: tables.open_before(db, moment))
        if due:
            await self._store.change(SITE, [], lambda tx: self._expire(tx, due, "too old"))

    async def export(self) -> list[bytes]:
        """JSON lines: each labelled window with what it takes to trust the label."""
        rows = await self._store.read(lambda db: list(tables.labelled(db)))
        return [line for item, digest in rows for line in _exported(item, digest)]

    def _expire(self, tx: Tx, items: list[int], why: str) -> None:
        tables.expire(tx.db, items)
        for item in items:
            tx.record(Event("review.expired", str(item), {"why": why}))

    def _check(self, found: ReviewItem, record: LabelRecord) -> None:
        if found.state is not ItemState.OPEN:
            raise ItemTakenError(
                f"queue item {found.item}: expected an open one, found {found.state.value}"
            )
        holder = self._holder(found.item)
        if holder not in {None, record.who}:
            raise ItemTakenError(f"queue item {found.item}: expected it free, {holder} has it")
        classes = [*found.window.classes, UNSURE]
        if record.label not in classes:
            raise LabelRefusedError(
                f"label {record.label!r}: expected one of {', '.join(classes)}"
            )

    def _holder(self, item: int) -> str | None:
        lease = self._leases.get(item)
        if lease is None or self._monotonic() >= lease.until:
            return None
        return lease.who

    def _drop_leases(self) -> None:
        now = self._monotonic()
        self._leases = {item: each for item, each in self._leases.items() if now < each.until}

    def _shown(self, item: ReviewItem) -> ReviewItem:
        holder = self._holder(item.item)
        if item.state is not ItemState.OPEN or holder is None:
            return item
        return replace(item, state=ItemState.LEASED, leased_by=holder)


def _standing(item: ReviewItem) -> LabelRecord | None:
    left = [label for label in item.labels if not label.undone]
    return left[-1] if left else None


def _said(item: ReviewItem, record: LabelRecord) -> bool:
    last = _standing(item)
    return last is not None and (last.who, last.label) == (record.who, record.label)


def _exported(item: ReviewItem, digest: str) -> Iterator[bytes]:
    last, window = _standing(item), item.window
    if last is None or last.label == UNSURE:
        return
    row = {
        "window": window.id,
        "window_sha256": digest,
        "gateway": window.serial,
        "line": item.line,
        "asset": item.asset,
        "digest": window.digest,
        "shadow_digest": window.shadow_digest,
        "started": window.started,
        "ended": window.ended,
        "period_s": window.period_s,
        "regime": window.regime,
        "channels": window.channels,
        "classes": window.classes,
        "routing": window.routing,
        "pi": window.inclusion_probability,
        "prediction": window.prediction,
        "shadow_prediction": window.shadow_prediction,
        "label": last.label,
        "labeller": last.who,
        "labelled": last.at,
        "seconds": last.seconds,
        "proposal_shown": last.proposal_shown,
        "history": item.labels,
    }
    yield msgspec.json.encode(row)
