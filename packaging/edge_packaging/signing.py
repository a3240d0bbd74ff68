"""Attaches signatures, the SBOM, channels and plans in a layout; reads back what is to be signed.

What was built is kept as an unsigned statement beside the blobs, so that several signers, on
several machines, all sign the very same bytes.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    SBOM_TYPE,
    Channel,
    Descriptor,
    Digest,
)
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.contracts.plant import SafetyClass
from edge_core.contracts.signed_plan import SignedPlan
from edge_core.oci import (
    EMPTY_BYTES,
    Fetched,
    Layout,
    bundle_manifest,
    channel_manifest,
    channel_tag,
    plan_manifest,
    plan_tag,
    sbom_manifest,
)
from edge_core.oci.disk import replace_bytes
from edge_core.trust import (
    PROVENANCE_PREDICATE,
    Signer,
    Statement,
    Trust,
    Verified,
    sign_channel,
    sign_plan,
    sign_statement,
    verify_release,
)
from edge_core.trust.strict_json import decode

BUNDLES_MAX = 64  # what a verifier looks at; a signer adds no more
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"


def statement_path(layout: Layout, index: Digest) -> Path:
    """Where the unsigned statement of a release is kept."""
    return layout.root / "statements" / f"{index.removeprefix('sha256:')}.json"


def keep_statement(layout: Layout, index: Digest, statement: Statement) -> None:
    """Keep *statement* until somebody signs it; a later build of the same index replaces it."""
    path = statement_path(layout, index)
    path.parent.mkdir(exist_ok=True)
    replace_bytes(path, statement.encode())


def attach_sbom(layout: Layout, index: Descriptor, sbom: bytes, created: datetime) -> Descriptor:
    """Attach the ML-BOM to a release."""
    layout.put_blob(EMPTY_BYTES, media_type=EMPTY_CONFIG)
    blob = layout.put_blob(sbom, media_type=SBOM_TYPE)
    return layout.put_manifest(sbom_manifest(index, blob, created=created))


def sign(layout: Layout, release: Fetched, signer: Signer, created: datetime) -> Descriptor:
    """Sign the statement of *release* and attach the bundle.

    Raises:
        NotFoundError: nothing was built here for this index, so there is nothing to say of it.
        RefusedError: the statement kept is about something else.
    """
    path = statement_path(layout, release.digest)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(
            f"{release.digest}: expected a statement in {path.parent}, found none; build it here"
        ) from None
    statement = decode(raw, Statement, what=str(path))
    if not statement.covers(release.digest):
        raise RefusedError(f"{path}: expected a statement about {release.digest}, found another")
    bundle = layout.put_blob(sign_statement(statement, signer), media_type=BUNDLE_TYPE)
    layout.put_blob(EMPTY_BYTES, media_type=EMPTY_CONFIG)
    return layout.put_manifest(
        bundle_manifest(
            release.descriptor, bundle, predicate_type=PROVENANCE_PREDICATE, created=created
        )
    )


async def bundles(layout: Layout, index: Digest) -> list[bytes]:
    """Every signature bundle that is attached to *index*."""
    found = []
    for referrer in (await layout.referrers(index, BUNDLE_TYPE))[:BUNDLES_MAX]:
        manifest = (await layout.manifest(referrer.digest)).manifest()
        found += [layout.blobs.read(layer.digest) for layer in manifest.layers]
    return found


async def verify(
    layout: Layout, reference: str, trust: Trust, *, stage: str, safety_class: SafetyClass
) -> Verified:
    """Verify a release in a layout as a site would: every byte, every signature, the policy.

    Raises:
        NotVerifiedError: names the step that failed.
        DigestMismatchError: a blob is not what its digest says.
        NotFoundError: no such release, or a blob of it is missing.
    """
    release = await layout.manifest(reference)
    for listed in release.index().manifests:
        manifest = (await layout.manifest(listed.digest)).manifest()
        for layer in (manifest.config, *manifest.layers):
            layout.blobs.verify(layer.digest)
    return verify_release(
        release.digest,
        await bundles(layout, release.digest),
        trust.rule(stage, safety_class),
        trust.keyring,
    )


def put_channel(
    layout: Layout, channel: Channel, signers: Sequence[Signer], created: datetime
) -> Descriptor:
    """Sign *channel* with each signer and put it where the site looks for it."""
    signed = _put_bundles(layout, [sign_channel(channel, signer) for signer in signers])
    return layout.put_manifest(
        channel_manifest(signed, created=created), tag=channel_tag(channel.site)
    )


def put_plan(
    layout: Layout, plan: SignedPlan, signers: Sequence[Signer], created: datetime
) -> Descriptor:
    """Sign *plan* with each signer and put it where sites look for it."""
    signed = _put_bundles(layout, [sign_plan(plan, signer) for signer in signers])
    return layout.put_manifest(
        plan_manifest(signed, created=created), tag=plan_tag(plan.release.model)
    )


def _put_bundles(layout: Layout, bundles: Sequence[bytes]) -> list[Descriptor]:
    layout.put_blob(EMPTY_BYTES, media_type=EMPTY_CONFIG)
    return [layout.put_blob(each, media_type=BUNDLE_TYPE) for each in bundles]
