"""An upstream that a test fills and spoils: signed releases and channels in an image layout."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_core.contracts.api import Priority
from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    FILEPATH,
    MODEL_MANIFEST_TYPE,
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    ROLE,
    TARGET,
    WEIGHT_TYPE,
    Channel,
    Index,
    LayerRole,
    Manifest,
    ReleaseRef,
)
from edge_core.contracts.plant import SafetyClass
from edge_core.contracts.rollout import CohortRule
from edge_core.contracts.signed_plan import SignedPlan, Terms
from edge_core.oci import (
    EMPTY,
    EMPTY_BYTES,
    Layout,
    bundle_manifest,
    channel_manifest,
    channel_tag,
    encode_document,
    plan_manifest,
    plan_tag,
)
from edge_core.trust import (
    BUILD_TYPE,
    DATASET,
    PROVENANCE_PREDICATE,
    SOURCE,
    BuildDefinition,
    Builder,
    FileSigner,
    Provenance,
    ResourceDescriptor,
    RunDetails,
    Seen,
    Signed,
    Trust,
    provenance_statement,
    refuse_step_back,
    sign_channel,
    sign_plan,
    sign_statement,
)
from edge_site_proxy.mirror.gate import admit_any
from edge_site_proxy.mirror.mirror import Mirror
from edge_site_proxy.mirror.rules import Rules
from edge_site_proxy.site import Arrival

AT = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)
MODEL = "pump-condition"
BUILDER = "https://ci.example/edge-pack"
REPOSITORY = "git+https://git.example/models"
WEIGHTS = b"weights " * 100


@dataclass
class Upstream:
    """A layout, the keys that sign in it, and the policy that trusts them."""

    folder: Path
    releases: list[ReleaseRef] = field(default_factory=list)
    sequence: int = 0

    def __post_init__(self) -> None:
        """Make keys and an empty layout."""
        self.signer = FileSigner.generate(self.folder / "good.key")
        self.stranger = FileSigner.generate(self.folder / "stranger.key")
        self.root = self.folder / "upstream"
        self.layout = Layout.create(self.root)
        self.layout.put_blob(EMPTY_BYTES, media_type=EMPTY.media_type)

    def trust(self, *signers: FileSigner) -> Trust:
        """A policy that takes one signature of any of *signers*, the good one by default."""
        keys = {f"key-{n}": each for n, each in enumerate(signers or (self.signer,))}
        pems = {name: each.public_key.to_pem() for name, each in keys.items()}
        entries = "".join(f'[[keys]]\nid = "{name}"\npath = "{name}"\n' for name in keys)
        policy = f"""
version = 1
{entries}
[[rules]]
stage = "production"
keys = {list(keys)}
threshold = 1
builder_ids = ["{BUILDER}"]
sources = ["{REPOSITORY}"]

[channel]
keys = {list(keys)}

[plan]
keys = {list(keys)}
"""
        return Trust.parse(policy.encode(), read_key=lambda name: pems[name])

    def publish(
        self, version: str, number: int, *, signer: FileSigner | None = None, signed: bool = True
    ) -> ReleaseRef:
        """Put a release there, and name it in the next channel."""
        content = WEIGHTS + version.encode()
        layer = self.layout.put_blob(
            content,
            media_type=WEIGHT_TYPE,
            annotations={FILEPATH: "model.onnx", ROLE: LayerRole.MODEL.value},
        )
        manifest = Manifest(artifact_type=MODEL_MANIFEST_TYPE, config=EMPTY, layers=[layer])
        entry = msgspec.structs.replace(
            self.layout.put_manifest(encode_document(manifest)),
            annotations={TARGET: "linux-amd64/onnxruntime/fp32/b1"},
        )
        annotations = {
            MODEL_NAME: MODEL,
            MODEL_VERSION: version,
            RELEASE_NUMBER: str(number),
        }
        raw = encode_document(Index(manifests=[entry], annotations=annotations))
        subject = self.layout.put_manifest(raw, tag=f"{MODEL}-{version}")
        if signed:
            bundle = sign_statement(
                provenance_statement(provenance(), name=MODEL, digest=subject.digest),
                signer or self.signer,
            )
            attached = self.layout.put_blob(bundle, media_type=BUNDLE_TYPE)
            self.layout.put_manifest(
                bundle_manifest(subject, attached, predicate_type=PROVENANCE_PREDICATE, created=AT)
            )
        release = ReleaseRef(model=MODEL, version=version, release=number, digest=subject.digest)
        self.releases.append(release)
        return release

    def weights(self, version: str) -> Path:
        """The file of a release's model upstream."""
        digest = hashlib.sha256(WEIGHTS + version.encode()).hexdigest()
        return self.root / "blobs" / "sha256" / digest

    def channel(
        self,
        *,
        sequence: int | None = None,
        releases: Sequence[ReleaseRef] | None = None,
        expires: dt.timedelta = dt.timedelta(days=30),
        signer: FileSigner | None = None,
        lowest: dict[str, int] | None = None,
    ) -> None:
        """Sign a channel over everything published and put it where the site looks."""
        self.sequence = self.sequence + 1 if sequence is None else sequence
        document = Channel(
            site="north",
            sequence=self.sequence,
            issued=(AT - dt.timedelta(days=60)).isoformat(),
            expires=(AT + expires).isoformat(),
            releases=list(self.releases if releases is None else releases),
            lowest_release=lowest or {},
        )
        bundle = sign_channel(document, signer or self.signer)
        layer = self.layout.put_blob(bundle, media_type=BUNDLE_TYPE)
        self.layout.put_manifest(channel_manifest([layer], created=AT), tag=channel_tag("north"))

    def plan(
        self,
        release: ReleaseRef,
        sequence: int,
        *,
        signer: FileSigner | None = None,
        sites: Sequence[str] = (),
    ) -> SignedPlan:
        """Sign a plan for *release* and put it where sites look."""
        document = SignedPlan(
            sequence=sequence,
            issued=(AT - dt.timedelta(days=1)).isoformat(),
            expires=(AT + dt.timedelta(days=30)).isoformat(),
            sites=list(sites),
            release=release,
            terms=Terms(cohorts=[CohortRule(name="all", share=1.0)]),
        )
        layer = self.layout.put_blob(
            sign_plan(document, signer or self.signer), media_type=BUNDLE_TYPE
        )
        raw = plan_manifest([layer], created=AT)
        self.layout.put_manifest(raw, tag=plan_tag(release.model))
        return document


def provenance() -> Provenance:
    """How every release came to be."""
    return Provenance(
        build_definition=BuildDefinition(
            build_type=BUILD_TYPE,
            external_parameters={},
            resolved_dependencies=[
                ResourceDescriptor(name=SOURCE, uri=REPOSITORY, digest={"gitCommit": "a1" * 20}),
                ResourceDescriptor(name=DATASET, uri="file:x", digest={"sha256": "0b" * 32}),
            ],
        ),
        run_details=RunDetails(builder=Builder(id=BUILDER)),
    )


@dataclass
class PlanEar:
    """Whoever keeps plans, noting what it is told; it goes forward only, as the site does."""

    newest: Signed[SignedPlan] | None = None
    told: list[int] = field(default_factory=list)
    withdrawn: dict[str, str] = field(default_factory=dict)

    async def arrived(self, signed: Signed[SignedPlan]) -> None:
        """Note it."""
        if self.newest is not None:
            before = Seen(self.newest.document.sequence, self.newest.digest)
            refuse_step_back("plan", before, Seen(signed.document.sequence, signed.digest))
        self.newest = signed
        self.told.append(signed.document.sequence)

    async def withheld(self, model: str, reason: str) -> None:
        """Note it."""
        self.withdrawn[model] = reason


@dataclass
class Ear:
    """A site that notes what it is told."""

    arrived: list[Arrival] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    alarms: dict[str, str] = field(default_factory=dict)
    plans: PlanEar = field(default_factory=PlanEar)

    @property
    def versions(self) -> list[str]:
        """Versions that arrived."""
        return [each.release.version for each in self.arrived]

    async def release_arrived(self, arrival: Arrival) -> None:
        """Note it."""
        self.arrived.append(arrival)

    async def release_refused(self, name: str, reason: str) -> None:
        """Note it."""
        self.refused.append((name, reason))

    async def raise_alarm(
        self, key: str, priority: Priority, what: str, consequence: str, runbook: str
    ) -> None:
        """Note it."""
        assert priority is not Priority.P1
        assert consequence
        assert runbook
        self.alarms[key] = what

    async def clear_alarm(self, key: str) -> None:
        """Forget it."""
        self.alarms.pop(key, None)


def mirror_of(upstream: Upstream, ear: Ear, trust: Trust | None = None) -> Mirror:
    """The site's mirror of *upstream*; made again it is as after a restart."""
    return Mirror(
        upstream.folder / "mirror",
        source=lambda: Layout.open(upstream.root),
        rules=Rules("north", trust or upstream.trust(), "production", SafetyClass.NONE),
        gate=admit_any,
        site=ear,
        now=lambda: AT,
        carried=upstream.folder / "carried",
    )
