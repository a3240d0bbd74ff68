"""`site-proxy bundle`: carry a mirrored release on a disk, as an OCI image layout.

`export` writes one release with its signatures and the channel. `import` verifies it against this
site's trust policy and leaves it where the daemon looks at its next poll; the daemon verifies
again, and takes only what the signed channel names.
"""

import argparse
import asyncio
from pathlib import Path

from edge_core.command import emit, tell
from edge_core.contracts.errors import ConfigurationError, NotFoundError
from edge_core.oci import Layout, Offer, channel_tag, enlist, pull_release
from edge_core.trust import Trust, Verified
from edge_site_proxy import config
from edge_site_proxy.config import SiteConfig
from edge_site_proxy.mirror.rules import Rules
from edge_site_proxy.paths import StatePaths


def export(chosen: argparse.Namespace) -> int:
    """Write a mirrored release and the channel into a layout."""
    settings = config.load(chosen.config)
    source = Layout.open(StatePaths(settings.directory).mirror)
    return asyncio.run(_copy(chosen, source, chosen.to, settings))


def import_(chosen: argparse.Namespace) -> int:
    """Verify a release of a layout and leave it for the daemon."""
    settings = config.load(chosen.config)
    source = Layout.open(chosen.source)
    return asyncio.run(_copy(chosen, source, StatePaths(settings.directory).carried, settings))


async def _copy(
    chosen: argparse.Namespace, source: Layout, into: Path, settings: SiteConfig
) -> int:
    rules = _rules(settings)
    verified: list[Verified] = []

    def verify(offer: Offer) -> None:
        verified.append(rules.verify(offer))

    target = Layout.create(into)
    pulled = await pull_release(source, chosen.tag, target.blobs, verify=verify)
    await asyncio.to_thread(enlist, target, pulled, tag=chosen.tag)
    channel = await _copy_channel(source, target, settings.site)
    digest = pulled.offer.index.digest
    if chosen.json:
        signers = list(verified[0].signers)
        emit({"digest": digest, "layout": str(into), "signers": signers, "channel": channel})
    tell("site-proxy", f"{chosen.tag} ({digest}) is in {into}")
    return 0


async def _copy_channel(source: Layout, target: Layout, site: str) -> bool:
    """Copy the channel as it is: whoever takes it in verifies it."""
    try:
        found = await source.manifest(channel_tag(site))
    except NotFoundError:
        return False
    manifest = found.manifest()
    for blob in (manifest.config, *manifest.layers):
        await source.blob(blob, target.blobs.path(blob.digest))
    await asyncio.to_thread(target.put_manifest, found.raw, tag=channel_tag(site))
    return True


def _rules(settings: SiteConfig) -> Rules:
    chosen = settings.mirror
    if chosen is None:
        raise ConfigurationError(
            "mirror: expected [mirror] with a trust_policy, found none; nothing can be verified"
        )
    trust = Trust.load(chosen.trust_policy)
    return Rules(settings.site, trust, chosen.stage, chosen.safety_class)
