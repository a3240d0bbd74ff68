"""Which releases of a channel to fetch, and whether what came is what the channel meant.

Values in, values out.
"""

from collections.abc import Container
from dataclasses import dataclass

from edge_core.contracts.artefact import (
    FILEPATH,
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    ROLE,
    TARGET,
    Channel,
    Descriptor,
    Digest,
    LayerRole,
    Manifest,
    ReleaseRef,
)
from edge_core.contracts.errors import RefusedError
from edge_core.oci import Offer
from edge_core.trust import Verified


@dataclass(frozen=True, slots=True)
class Signed:
    """A release that verified: what was offered, and who stands for it."""

    offer: Offer
    verified: Verified


def wanted(
    channel: Channel, *, here: Container[Digest], refused: Container[Digest]
) -> list[ReleaseRef]:
    """The releases to fetch now, in the order of the channel."""
    return [
        release
        for release in channel.releases
        if release.digest not in here
        and release.digest not in refused
        and allowed(channel, release)
    ]


def allowed(channel: Channel, release: ReleaseRef) -> bool:
    """Whether the channel still lets *release* start anywhere."""
    return release.release >= channel.lowest_release.get(release.model, 0)


def check_meant(release: ReleaseRef, offer: Offer) -> None:
    """Hold what came to what the channel says it is.

    Raises:
        RefusedError: another digest, name, version or number; the message names the first.
    """
    found = offer.release.annotations
    for what, expected, actual in (
        ("digest", release.digest, offer.index.digest),
        ("model", release.model, found.get(MODEL_NAME)),
        ("version", release.version, found.get(MODEL_VERSION)),
        ("release number", str(release.release), found.get(RELEASE_NUMBER)),
    ):
        if actual != expected:
            raise RefusedError(
                f"release {release.model} {release.version}: expected {what} {expected!r} as the "
                f"channel says, found {str(actual)[:100]!r}"
            )


def tag_of(offer: Offer) -> str:
    """The tag a release bears here: the same that the packager gives it."""
    version = offer.release.annotations.get(MODEL_VERSION, "")
    return f"{repository_of(offer)}-{version}".replace("/", "-").replace("+", "_")


def repository_of(offer: Offer) -> str:
    """The repository a release stands in: its model's name, which the signed index says."""
    return offer.release.annotations.get(MODEL_NAME, "")


def targets_of(offer: Offer) -> tuple[str, ...]:
    """The written targets that a release lists."""
    entries = offer.release.manifests
    return tuple(entry.annotations[TARGET] for entry in entries if TARGET in entry.annotations)


def layers_of(manifest: Manifest, role: LayerRole) -> list[tuple[str, Descriptor]]:
    """File name and descriptor of each layer that plays *role*."""
    return [
        (layer.annotations.get(FILEPATH, ""), layer)
        for layer in manifest.layers
        if layer.annotations.get(ROLE) == role.value
    ]


def facts_of(signed: Signed, *, stage: str, policy: Digest) -> dict[str, object]:
    """What the audit log records of an accepted release; JSON values only."""
    provenance = signed.verified.provenance
    facts: dict[str, object] = {
        "stage": stage,
        "policy": policy,
        "statements": list(signed.verified.statements),
    }
    if provenance is not None:
        facts["builder"] = provenance.run_details.builder.id
        facts["source"] = provenance.source_uri or ""
        facts["commit"] = provenance.dependency_digest("source", "gitCommit") or ""
        facts["data_set"] = provenance.dependency_digest("dataset", "sha256") or ""
    return facts
