"""The signed channel: fetched, verified, accepted only forwards, kept for days without a WAN."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import structlog

from edge_core.contracts.artefact import BUNDLE_TYPE
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.oci import (
    EMPTY,
    EMPTY_BYTES,
    Layout,
    Source,
    channel_manifest,
    channel_tag,
    fetch_channel,
)
from edge_core.trust import Accepted, DocumentRolledBackError, accept_channel, verify_channel
from edge_site_proxy.mirror.notebook import Notebook
from edge_site_proxy.mirror.rules import Rules

_log = structlog.get_logger(__name__)


class ChannelDesk:
    """Takes channels in.

    Args:
        layout: where an accepted one is kept, under the tag that upstream has it under.
        notebook: remembers the highest one.
        rules: whose signatures count.
        now: wall clock; decides alone whether a channel has expired.
    """

    def __init__(
        self, layout: Layout, notebook: Notebook, rules: Rules, now: Callable[[], datetime]
    ) -> None:
        self._layout = layout
        self._notebook = notebook
        self._rules = rules
        self._now = now

    @property
    def tag(self) -> str:
        """Under which the channel stands."""
        return channel_tag(self._rules.site)

    async def newest(self, source: Source) -> Accepted:
        """The channel of *source*, remembered on disk before anybody acts on it.

        Raises:
            DocumentRolledBackError: a lower one than seen before.
            DocumentForkedError: the one seen before, with other content.
            RefusedError: it does not verify.
            EdgeError: as `Source`.
        """
        bundles = await fetch_channel(source, self._rules.site, self._layout.blobs)
        accepted = self._accept(bundles)
        if accepted.changed:
            await asyncio.to_thread(self._keep, bundles, accepted)
            channel = accepted.channel
            _log.info("channel.accepted", sequence=channel.sequence, stale=accepted.stale)
        return accepted

    async def carried(self, source: Source) -> Accepted | None:
        """What a disk that somebody carried here has to say: its channel if newer, else ours.

        An old disk is no attack, so what it lacks is made up from the channel kept here.
        """
        try:
            return await self.newest(source)
        except (DocumentRolledBackError, NotFoundError):
            return await self.kept()

    async def kept(self) -> Accepted | None:
        """The channel accepted last, or None on a site's first day."""
        try:
            bundles = await fetch_channel(self._layout, self._rules.site, self._layout.blobs)
            return self._accept(bundles)
        except NotFoundError:
            return None
        except RefusedError as error:
            # Keys may have been taken out of the policy since.
            _log.warning("channel.withheld", reason=str(error))
            return None

    def _accept(self, bundles: Sequence[bytes]) -> Accepted:
        trust = self._rules.trust
        channel = verify_channel(
            bundles, trust.channel_rule(), trust.keyring, site=self._rules.site
        )
        return accept_channel(self._notebook.mark(), channel, self._now())

    def _keep(self, bundles: Sequence[bytes], accepted: Accepted) -> None:
        self._notebook.keep_mark(accepted.mark)
        self._layout.put_blob(EMPTY_BYTES, media_type=EMPTY.media_type)
        layers = [self._layout.put_blob(each, media_type=BUNDLE_TYPE) for each in bundles]
        raw = channel_manifest(layers, created=self._now())
        self._layout.put_manifest(raw, tag=self.tag)


def carried_layout(folder: Path) -> Layout | None:
    """The layout that `bundle import` fills, if there is one."""
    return Layout.open(folder) if (folder / "oci-layout").exists() else None
