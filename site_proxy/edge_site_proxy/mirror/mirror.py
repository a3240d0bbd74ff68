"""Polls the channel upstream; fetches, verifies and keeps what it names; tells the site.

Upstream gone: everything here stays as it is and goes on being served.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

import structlog

from edge_core.admission.errors import AdmissionError
from edge_core.contracts.api import Priority
from edge_core.contracts.artefact import INDEX_TYPE, Channel, Digest, ReleaseRef
from edge_core.contracts.errors import (
    EdgeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TryAgainError,
    UnreachableError,
)
from edge_core.oci import (
    DigestMismatchError,
    Layout,
    Offer,
    Pulled,
    Source,
    enlist,
    pull_release,
)
from edge_core.trust import (
    Accepted,
    DocumentForkedError,
    DocumentRolledBackError,
    Verified,
)
from edge_site_proxy.mirror.channels import ChannelDesk, carried_layout
from edge_site_proxy.mirror.decide import (
    Signed,
    allowed,
    check_meant,
    facts_of,
    repository_of,
    tag_of,
    targets_of,
    wanted,
)
from edge_site_proxy.mirror.gate import Gate
from edge_site_proxy.mirror.notebook import Notebook
from edge_site_proxy.mirror.plans import PlanDesk, Plans
from edge_site_proxy.mirror.rules import Rules
from edge_site_proxy.mirror.shelf import Shelf
from edge_site_proxy.site import Arrival

_log = structlog.get_logger(__name__)
_RUNBOOK = "mirror"
_LATER = (UnreachableError, TryAgainError)
_REFUSALS_SAID_MAX = 1000  # a line and an alarm once each, not at every poll
_JITTER = 0.1  # fifty sites must not ask in the same second


class Site(Protocol):
    """What is told to the site."""

    @property
    def plans(self) -> Plans:
        """Who is told of signed plans."""
        ...

    async def release_arrived(self, arrival: Arrival) -> None:
        """It may be planned; the same one twice is one."""
        ...

    async def release_refused(self, name: str, reason: str) -> None:
        """It did not verify."""
        ...

    async def raise_alarm(
        self, key: str, priority: Priority, what: str, consequence: str, runbook: str
    ) -> None:
        """Raise it, or leave it raised."""
        ...

    async def clear_alarm(self, key: str) -> None:
        """It is over; none there is fine."""
        ...


class Mirror:
    """The mirror of one site.

    Args:
        folder: of this site's image layout; made if need be.
        source: opens the upstream afresh, since a mounted folder may come and go.
        rules: what is accepted.
        gate: the static admission of model files.
        site: who is told.
        now: wall clock; decides alone whether a channel has expired.
        carried: where `bundle import` puts what somebody carried here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: Callable[[], Source],
        rules: Rules,
        gate: Gate,
        site: Site,
        now: Callable[[], datetime],
        carried: Path | None = None,
    ) -> None:
        self._layout = Layout.create(folder)
        self._notebook = Notebook(folder, rules.fingerprint)
        self._channels = ChannelDesk(self._layout, self._notebook, rules, now)
        self._plans = PlanDesk(self._layout, rules, site.plans, now)
        self._carried = carried
        self._source = source
        self._rules = rules
        self._gate = gate
        self._site = site
        self._told: set[Digest] = set()
        self._signed: dict[Digest, Signed] = {}
        self._offered: Offer | None = None
        self._said: str | None = None
        self._refusals_said: set[tuple[Digest, str]] = set()
        self.shelf = Shelf(folder)

    async def load(self) -> None:
        """Put back on the shelf what is here and verifies under the policy in force."""
        for tag in await self._layout.tags():
            try:
                if (await self._layout.manifest(tag)).media_type != INDEX_TYPE:
                    continue  # a channel, or a plan
                pulled = await self._pull(self._layout, tag, None)
            except EdgeError as error:
                _log.warning("release.withheld", tag=tag, reason=str(error))
                await self._site.release_refused(tag, str(error))
            else:
                self.shelf.put(pulled, name=repository_of(pulled.offer), tag=tag)
        kept = await self._channels.kept()
        if kept is not None:
            await self._plans.look_again(kept.channel)
            await self._tell(kept.channel)

    async def run(self, interval: timedelta, random: Random) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self.poll()
            except TryAgainError as error:
                # The database's disk is full: what is here is served, and told later.
                self._say("mirror.waiting", str(error))
            spread = 1 + random.uniform(-_JITTER, _JITTER)
            await asyncio.sleep(interval.total_seconds() * spread)

    async def poll(self) -> None:
        """Look upstream once; whatever is wrong there leaves alone what is here."""
        try:
            await self._look_at_carried()
            source = self._source()
            await self._follow(source, await self._channels.newest(source))
        except (*_LATER, NotFoundError, NotPermittedError, OSError) as error:
            self._say("mirror.waiting", str(error))
        except (DocumentRolledBackError, DocumentForkedError) as error:
            await self._alarm(
                "mirror-channel", Priority.P2, f"attack or restored upstream: {error}"
            )
        except RefusedError as error:
            await self._alarm("mirror-channel", Priority.P2, str(error))
        else:
            self._said = None
            await self._site.clear_alarm("mirror-channel")

    async def _look_at_carried(self) -> None:
        layout = None if self._carried is None else carried_layout(self._carried)
        accepted = None if layout is None else await self._channels.carried(layout)
        if layout is not None and accepted is not None:
            await self._follow(layout, accepted, carried=True)

    async def _follow(self, source: Source, accepted: Accepted, *, carried: bool = False) -> None:
        channel = accepted.channel
        if accepted.stale:
            await self._site.raise_alarm(
                "mirror-expired",
                Priority.P3,
                f"channel {channel.sequence} expired {channel.expires}",
                "no new rollout starts; models keep running and can be rolled back",
                _RUNBOOK,
            )
            return
        await self._site.clear_alarm("mirror-expired")
        refused = await asyncio.to_thread(self._notebook.refused)
        for release in wanted(channel, here=self.shelf, refused=refused):
            await self._fetch(source, release)
        # Before the releases are told of, so that none is planned without the plan that is there.
        await self._take_plans(source, channel, carried=carried)
        await self._tell(channel)

    async def _take_plans(self, source: Source, channel: Channel, *, carried: bool) -> None:
        refused = await self._plans.follow(source, channel, carried=carried)
        if not refused:
            await self._site.clear_alarm("mirror-plan")
            return
        what = "; ".join(refused)
        consequence = "that plan does not count; the one before it does, if there was one"
        await self._site.raise_alarm("mirror-plan", Priority.P2, what[:500], consequence, _RUNBOOK)

    async def _fetch(self, source: Source, release: ReleaseRef) -> None:
        try:
            pulled = await self._pull(source, release.digest, release)
            await self._gate(pulled, self._layout.blobs)
        except (NotFoundError, AdmissionError) as error:
            # Named before it was published, or not judged: neither speaks against the release.
            self._say("release.waiting", str(error))
        except RefusedError as error:
            await self._refuse(release, error)
        else:
            tag = tag_of(pulled.offer)
            await asyncio.to_thread(enlist, self._layout, pulled, tag=tag)
            self.shelf.put(pulled, name=repository_of(pulled.offer), tag=tag)
            _log.info("release.mirrored", tag=tag, digest=release.digest)

    async def _pull(self, source: Source, reference: str, meant: ReleaseRef | None) -> Pulled:
        self._offered = None

        def verify(offer: Offer) -> None:
            self._verify(offer, meant)

        return await pull_release(source, reference, self._layout.blobs, verify=verify)

    def _verify(self, offer: Offer, meant: ReleaseRef | None) -> Verified:
        rules = self._rules
        self._offered = offer
        if meant is not None:
            check_meant(meant, offer)
        verified = rules.verify(offer)
        self._signed[offer.index.digest] = Signed(offer, verified)
        return verified

    async def _tell(self, channel: Channel) -> None:
        """Announce what the channel names and the shelf has; after a crash once more."""
        for release in channel.releases:
            signed = self._signed.get(release.digest)
            known = release.digest in self._told or release.digest not in self.shelf
            if known or signed is None or not allowed(channel, release):
                continue
            rules = self._rules
            facts = facts_of(signed, stage=rules.stage, policy=rules.trust.digest)
            await self._site.release_arrived(
                Arrival(
                    release=release,
                    targets=targets_of(signed.offer),
                    signers=signed.verified.signers,
                    author=signed.verified.signers[0],
                    facts={**facts, "channel": channel.sequence},
                    sizes=self.shelf.sizes(signed.offer),
                )
            )
            self._told.add(release.digest)

    async def _refuse(self, release: ReleaseRef, error: RefusedError) -> None:
        # Bytes spoilt on the way may be right tomorrow, so that is not held against the release.
        if not isinstance(error, DigestMismatchError):
            await asyncio.to_thread(
                self._notebook.keep_refusal, release.digest, str(error), self._offered
            )
        if (release.digest, str(error)) in self._refusals_said:
            return
        if len(self._refusals_said) >= _REFUSALS_SAID_MAX:
            self._refusals_said.clear()
        self._refusals_said.add((release.digest, str(error)))
        name = f"{release.model} {release.version}"
        _log.warning("release.refused", release=name, digest=release.digest, reason=str(error))
        await self._site.release_refused(name, str(error))

    async def _alarm(self, key: str, priority: Priority, what: str) -> None:
        self._say("channel.refused", what)
        consequence = "nothing new is mirrored; what is here stays and is served"
        await self._site.raise_alarm(key, priority, what[:500], consequence, _RUNBOOK)

    def _say(self, event: str, reason: str) -> None:
        if self._said != reason:
            self._said = reason
            _log.warning(event, reason=reason)
