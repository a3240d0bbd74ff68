"""`site-proxy bundle`: carry a mirrored release on a disk, as an OCI image layout.

`export` writes one release with its signatures, the channel, and the model's signed plan. `import`
verifies the release against this site's trust policy and leaves everything where the daemon looks
at its next poll; the daemon verifies again, and takes only what the signed channel names.
"""

import argparse
import asyncio
from pathlib import Path

from edge_core.command import emit, tell
from edge_core.contracts.artefact import MODEL_NAME
from edge_core.contracts.errors import ConfigurationError, NotFoundError
from edge_core.oci import Layout, Offer, channel_tag, enlist, plan_tag, pull_release
from edge_core.trust import Trust, Verified
from edge_site_proxy import config
from edge_site_proxy.config import SiteConfig
from edge_site_proxy.mirror.rules import Rules
from edge_site_proxy.paths import StatePaths


def export(chosen: argparse.Namespace) -> int:
    """Write a mirrored release, the channel and the signed plan into a layout."""
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
    channel = await _copy_document(source, target, channel_tag(settings.site))
    model = pulled.offer.release.annotations.get(MODEL_NAME, "")
    plan = await _copy_document(source, target, plan_tag(model))
    digest = pulled.offer.index.digest
    if chosen.json:
        signers = list(verified[0].signers)
        said = {"digest": digest, "layout": str(into), "signers": signers}
        emit({**said, "channel": channel, "plan": plan})
    tell("site-proxy", f"{chosen.tag} ({digest}) is in {into}")
    return 0


async def _copy_document(source: Layout, target: Layout, tag: str) -> bool:
    """Copy a channel or a plan as it is, if it is there: whoever takes it in verifies it."""
    try:
        found = await source.manifest(tag)
    except NotFoundError:
        return False
    manifest = found.manifest()
    for blob in (manifest.config, *manifest.layers):
        await source.blob(blob, target.blobs.path(blob.digest))
    await asyncio.to_thread(target.put_manifest, found.raw, tag=tag)
    return True


def _rules(settings: SiteConfig) -> Rules:
    chosen = settings.mirror
    if chosen is None:
        raise ConfigurationError(
            "mirror: expected [mirror] with a trust_policy, found none; nothing can be verified"
        )
    trust = Trust.load(chosen.trust_policy)
    return Rules(settings.site, trust, chosen.stage, chosen.safety_class)
