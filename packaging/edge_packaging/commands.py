"""The bodies of the subcommands: read what was asked for, do it, say what came of it."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_core.admission.admit import inspect as inspect_model
from edge_core.admission.model import Admission, ModelFile
from edge_core.command import emit, one_line, read_config, tell
from edge_core.contracts.artefact import (
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    Channel,
    Descriptor,
    ReleaseRef,
    Target,
    is_digest,
)
from edge_core.contracts.errors import RefusedError, UsageError
from edge_core.contracts.plant import SafetyClass
from edge_core.contracts.signed_plan import SignedPlan, Terms
from edge_core.oci import Layout, plan_tag
from edge_core.trust import FileSigner, Trust, document_digest
from edge_packaging import config, pipeline, publish, show, signing
from edge_packaging.inputs import read_signature

PROGRAM = "edge-pack"
VALID_DAYS = 60  # what a plant may be offline before its channel or plan counts as stale


def now() -> datetime:
    """The build machine's clock; it decides nothing but what people read."""
    return datetime.now(UTC)


async def keygen(chosen: argparse.Namespace) -> int:
    """Make a signing key; the public half goes to PATH.pub, for a site's trust policy."""
    signer = FileSigner.generate(chosen.path)
    public = Path(f"{chosen.path}.pub")
    await asyncio.to_thread(public.write_bytes, signer.public_key.to_pem())
    return _answer(
        chosen,
        {"key": str(chosen.path), "public": str(public), "hint": signer.hint},
        [f"private key {chosen.path} (mode 0600), public key {public}", f"hint {signer.hint}"],
    )


async def inspect(chosen: argparse.Namespace) -> int:
    """Put a model through the static gate; nothing of it is run."""
    contract = read_signature(chosen.signature) if chosen.signature else None
    model: Path = chosen.model
    names = [model, model.with_suffix(".bin")] if model.suffix == ".xml" else [model]
    seen = await inspect_model([ModelFile(name=p.name, path=p) for p in names], contract)
    return _answer(
        chosen,
        seen,
        [
            f"admissible: {seen.format}, {seen.nodes} nodes, {seen.weight_bytes} bytes of weights",
            *(f"  input  {t.name} {t.dtype} {t.shape}" for t in seen.inputs),
            *(f"  output {t.name} {t.dtype} {t.shape}" for t in seen.outputs),
        ],
    )


async def build(chosen: argparse.Namespace) -> int:
    """Build, validate and assemble a release, unsigned, into a layout."""
    wanted = config.read(chosen.config)
    only = [Target.parse(text) for text in chosen.only or []]
    layout = Layout.create(chosen.out)
    built = await pipeline.build(
        wanted, layout, only=only, say=lambda words: tell(PROGRAM, words), now=now
    )
    signing.keep_statement(layout, built.index.digest, built.statement)
    signing.attach_sbom(layout, built.index, built.sbom, now())
    return _answer(
        chosen,
        {"digest": built.index.digest, "tag": built.tag, "targets": built.admissions},
        [
            f"{wanted.model} {wanted.version}: {built.index.digest}",
            *(f"  {target}: {_shown(a)}" for target, a in built.admissions.items()),
            f"next: edge-pack sign {chosen.out} {built.tag} --key KEY",
        ],
    )


def _shown(admission: Admission | None) -> str:
    if admission is None:
        return "not tried here: each gateway asks its server for the smoke vectors"
    return (
        f"loads in {admission.load_ms:.0f} ms, p99 {admission.p99_us:.0f} us, "
        f"{admission.peak_rss_bytes / 2**20:.0f} MiB, "
        f"largest difference {admission.error_max:.2g}"
    )


async def sign(chosen: argparse.Namespace) -> int:
    """Sign a release that was built here."""
    layout = Layout.open(chosen.layout)
    release = await layout.manifest(chosen.tag)
    release.index()
    attached: list[Descriptor] = [
        signing.sign(layout, release, FileSigner.load(key), now()) for key in chosen.key
    ]
    return _answer(
        chosen,
        {"digest": release.digest, "bundles": [a.digest for a in attached]},
        [f"{release.digest}: {len(attached)} signature(s) attached"],
    )


async def verify(chosen: argparse.Namespace) -> int:
    """Verify a release as a site would; exit 3 names the step that failed."""
    trust = Trust.load(chosen.policy)
    verified = await signing.verify(
        Layout.open(chosen.layout),
        chosen.tag,
        trust,
        stage=chosen.stage,
        safety_class=SafetyClass(chosen.safety_class),
    )
    return _answer(
        chosen,
        {"digest": verified.subject, "signers": list(verified.signers)},
        [f"verified {verified.subject}", f"signed by {', '.join(verified.signers)}"],
    )


async def show_release(chosen: argparse.Namespace) -> int:
    """Show what a release contains."""
    shown = await show.show(Layout.open(chosen.layout), chosen.tag)
    return _answer(chosen, shown, show.lines(shown))


async def publish_release(chosen: argparse.Namespace) -> int:
    """Publish a tag, with all that is attached to it, to a layout or to a registry."""
    layout = Layout.open(chosen.layout)
    if (chosen.to is None) == (chosen.registry is None):
        raise UsageError("publish: expected either --to LAYOUT or --registry HOST/REPOSITORY")
    if chosen.to is not None:
        digest = await publish.to_layout(layout, chosen.tag, chosen.to)
    else:
        host, slash, repository = chosen.registry.partition("/")
        if not slash:
            raise UsageError(
                f"--registry: expected HOST[:PORT]/REPOSITORY, found {chosen.registry!r}"
            )
        wanted = await publish.content(layout, chosen.tag)
        digest = await asyncio.to_thread(
            publish.to_registry,
            wanted,
            layout,
            registry=host,
            repository=repository,
            insecure=chosen.insecure,
        )
    return _answer(chosen, {"digest": digest}, [f"published {digest}"])


async def channel(chosen: argparse.Namespace) -> int:
    """Say, signed, which releases are current for a site."""
    layout = Layout.open(chosen.layout)
    at = now()
    document = Channel(
        site=chosen.site,
        sequence=chosen.sequence,
        issued=_written(at),
        expires=_written(at + timedelta(days=chosen.days)),
        releases=[await _reference(layout, tag) for tag in chosen.release],
    )
    signers = [FileSigner.load(key) for key in chosen.key]
    put = signing.put_channel(layout, document, signers, at)
    return _answer(
        chosen,
        {"digest": put.digest, "sequence": document.sequence},
        [f"channel of {document.site}, sequence {document.sequence}: {put.digest}"],
    )


async def plan(chosen: argparse.Namespace) -> int:
    """Say, signed, how a release is to be rolled out; a site may only be stricter."""
    layout = Layout.open(chosen.layout)
    terms = read_config(chosen.terms, Terms)
    release = await _reference(layout, chosen.release)
    at = now()
    document = SignedPlan(
        sequence=chosen.sequence,
        issued=_written(at),
        expires=_written(at + timedelta(days=chosen.days)),
        sites=list(chosen.site or []),
        release=release,
        rollback=await _way_back(layout, release, chosen.rollback),
        terms=terms,
    )
    put = signing.put_plan(layout, document, [FileSigner.load(key) for key in chosen.key], at)
    digest, tag = document_digest(document), plan_tag(release.model)
    return _answer(
        chosen,
        {"digest": digest, "sequence": document.sequence, "tag": tag, "manifest": put.digest},
        [
            f"plan for {release.model} {release.version}, sequence {document.sequence}: {digest}",
            f"next: edge-pack publish {chosen.layout} {tag} --registry HOST/REPOSITORY",
        ],
    )


async def _way_back(layout: Layout, release: ReleaseRef, reference: str | None) -> str | None:
    """The digest that *reference* names: a tag of the same model, or a digest as it is."""
    if reference is None or is_digest(reference):
        return reference
    back = await _reference(layout, reference)
    if back.model != release.model or back.digest == release.digest:
        raise RefusedError(
            f"--rollback {reference}: expected another release of {release.model}, found "
            f"{back.model} {back.version}"
        )
    return back.digest


async def _reference(layout: Layout, tag: str) -> ReleaseRef:
    release = await layout.manifest(tag)
    notes = release.index().annotations
    try:
        return ReleaseRef(
            model=notes[MODEL_NAME],
            version=notes[MODEL_VERSION],
            release=int(notes[RELEASE_NUMBER]),
            digest=release.digest,
        )
    except (KeyError, ValueError):
        raise RefusedError(f"{tag}: expected a release with name, version and number") from None


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(chosen: argparse.Namespace, document: object, words: Sequence[str]) -> int:
    if chosen.json:
        emit(document)
    else:
        sys.stdout.write("".join(f"{one_line(line)}\n" for line in words))
    return 0
