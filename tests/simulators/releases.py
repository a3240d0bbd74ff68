"""Small signed releases in an image layout, as a build machine would leave them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    EMPTY_TYPE,
    Descriptor,
    Dtype,
    Feature,
    LayerRole,
    ModelSignature,
    ReleaseRef,
    SmokeCase,
    SmokeVectors,
    Statistic,
    Target,
    TensorSpec,
    Windowing,
)
from edge_core.oci import EMPTY_BYTES, Layout, bundle_manifest
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
    provenance_statement,
    sign_statement,
)
from edge_packaging.assemble import Release, Shared, assemble

MODEL = "pump-state"
ROLES = ("flow", "pressure")
TARGET = Target.parse("linux-amd64/onnxruntime/fp32/b1")
WINDOWING = Windowing(period_s=0.05, length_rows=8, stride_rows=4, gap_rows_max=4)
CLASSES = ["normal", "leak"]
_SOURCE = "git+https://git.plant.example/models/pump"
_BUILDER = "https://ci.plant.example/edge-pack"
_CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def signature(roles: tuple[str, ...] = ROLES, windowing: Windowing = WINDOWING) -> ModelSignature:
    """Two statistics a role in, two scores out."""
    features = [
        Feature(role=role, unit="bar", statistic=statistic)
        for role in roles
        for statistic in (Statistic.MEAN, Statistic.SD)
    ]
    return ModelSignature(
        inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, len(features)])],
        outputs=[TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, len(CLASSES)])],
        features=features,
        windowing=windowing,
        classes=CLASSES,
        normal_class="normal",
        safe_output="normal",
    )


@dataclass(slots=True)
class Workshop:
    """An image layout and the one key that signs into it."""

    layout: Layout
    signer: FileSigner
    releases: dict[str, ReleaseRef] = field(default_factory=dict)

    @classmethod
    def below(cls, folder: Path) -> "Workshop":
        """A new one in *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(Layout.create(folder / "layout"), FileSigner.generate(folder / "key.pem"))

    def policy(self) -> str:
        """The trust policy that accepts what is made here."""
        pem = self.signer.public_key.to_pem().decode()
        return (
            f'version = 1\n\n[[keys]]\nid = "workshop"\npem = """\n{pem}"""\n\n'
            '[[rules]]\nstage = "production"\nkeys = ["workshop"]\nthreshold = 1\n'
            f'builder_ids = ["{_BUILDER}"]\nsources = ["{_SOURCE}"]\n'
        )

    def release(
        self,
        version: str,
        *,
        number: int | None = None,
        leak: float = 0.0,
        signed: bool = True,
        made: ModelSignature | None = None,
        smoke_off: float = 0.0,
    ) -> ReleaseRef:
        """Make a release.

        Args:
            version: also its number, unless *number* says otherwise.
            number: the release number.
            leak: how much the model is in favour of the class `leak`.
            signed: whether anybody vouches for it.
            made: another signature than the usual one.
            smoke_off: how far its smoke vectors are from what the model gives.
        """
        contract = made or signature()
        content, smoke = _model(contract, leak, smoke_off)
        shared = [
            Shared(LayerRole.SIGNATURE, "signature.json", msgspec.json.encode(contract)),
            Shared(LayerRole.SMOKE, "smoke.json", msgspec.json.encode(smoke)),
        ]
        path = self.layout.root / f"{version}.onnx"
        path.write_bytes(content)
        named = Release(MODEL, version, number or int(version))
        file = ModelFile(name="model.onnx", path=path)
        index = assemble(self.layout, named, {TARGET: [file]}, shared)
        path.unlink()
        if signed:
            self._sign(index)
        found = ReleaseRef(model=MODEL, version=version, release=named.number, digest=index.digest)
        self.releases[version] = found
        return found

    def _sign(self, index: Descriptor) -> None:
        definition = BuildDefinition(
            build_type=BUILD_TYPE,
            external_parameters={},
            resolved_dependencies=[
                ResourceDescriptor(
                    name=SOURCE, uri=f"{_SOURCE}@refs/tags/v1", digest={"gitCommit": "a1" * 20}
                ),
                ResourceDescriptor(name=DATASET, uri="file:f.csv", digest={"sha256": "0b" * 32}),
            ],
        )
        run = RunDetails(builder=Builder(id=_BUILDER))
        provenance = Provenance(build_definition=definition, run_details=run)
        statement = provenance_statement(provenance, name=MODEL, digest=index.digest)
        bundle = self.layout.put_blob(
            sign_statement(statement, self.signer), media_type=BUNDLE_TYPE
        )
        self.layout.put_blob(EMPTY_BYTES, media_type=EMPTY_TYPE)
        self.layout.put_manifest(
            bundle_manifest(index, bundle, predicate_type=PROVENANCE_PREDICATE, created=_CREATED)
        )


def _model(contract: ModelSignature, leak: float, smoke_off: float) -> tuple[bytes, SmokeVectors]:
    width = len(contract.features)
    weights = np.zeros((width, len(CLASSES)), np.float32)
    weights[0] = (0.02, -0.02)
    bias = np.array([2.0 - leak, leak], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "pump",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(CLASSES)])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    opset = [helper.make_opsetid("", 21)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=10)
    row = np.linspace(0.5, 2.0, width).astype(np.float32)
    logits = (row @ weights + bias).astype(np.float64)
    scores = np.exp(logits - logits.max())
    scores = scores / scores.sum() + smoke_off
    case = SmokeCase(inputs=row.tolist(), outputs=scores.tolist())
    return proto.SerializeToString(), SmokeVectors(cases=[case])
