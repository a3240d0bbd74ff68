"""Every kind of model, from `edge-pack` to an answer of a gateway's engine."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_core.contracts.artefact import (
    ROLE,
    SBOM_TYPE,
    LayerRole,
    ReleaseRef,
    Target,
)
from edge_core.contracts.gateway import Assignment
from edge_core.contracts.plant import SafetyClass
from edge_core.contracts.remote import REMOTE
from edge_core.features.frame import PICTURE_UNIT
from edge_core.features.outcome import read_output
from edge_core.features.window import of_picture
from edge_core.oci import BlobStore, Layout
from edge_core.trust.policy import Trust
from edge_packaging.__main__ import main
from edge_runtime.config import InferenceConfig
from edge_runtime.inference.engine import open_engine
from edge_runtime.inference.spec import EngineConfig
from edge_runtime.model import Model
from edge_runtime.update.fetch import Shelf
from edge_runtime.update.loader import Loader
from tests.simulators.good_models import GoodModel
from tests.unit.inference.backends import serving
from tests.unit.packing.kinds import KINDS, Kind
from tests.unit.packing.made import policy

pytestmark = pytest.mark.anyio

TAG = "pump-1.2.3"
UNITS = {"flow": "1", "pressure": "1", "camera": PICTURE_UNIT}


@dataclass(frozen=True, slots=True)
class Packed:
    """One kind, built, signed, verified and published."""

    kind: Kind
    layout: Layout
    trust: Trust


@pytest.fixture(scope="module", params=KINDS)
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """One kind after the other, by the command."""
    kind = KINDS[request.param]
    folder = tmp_path_factory.mktemp("kind")
    built, published, key = folder / "built", folder / "published", folder / "a.pem"
    rules = folder / "policy.toml"
    rules.write_text(policy({"a": folder / "a.pem.pub"}, 1), encoding="utf-8")
    for asked in (
        ["keygen", str(key)],
        ["build", str(kind.write(folder / "in")), "--out", str(built)],
        ["sign", str(built), TAG, "--key", str(key)],
        ["verify", str(built), TAG, "--policy", str(rules)],
        ["publish", str(built), TAG, "--to", str(published)],
    ):
        assert main(asked) == 0, asked
    return Packed(kind, Layout.open(published), Trust.load(rules))


@asynccontextmanager
async def gateway(packed: Packed, target: str, folder: Path) -> AsyncIterator[Model]:
    """What a gateway that can run *target* makes of the release: fetched, admitted, loaded."""
    index = await packed.layout.manifest(TAG)
    shelf = Shelf(
        store=BlobStore(folder / "store"),
        trust=packed.trust,
        stage="production",
        safety_class=SafetyClass.NONE,
        targets=(Target.parse(target),),
        reserve_bytes=0,
    )
    release = ReleaseRef(model="pump", version="1.2.3", release=4, digest=index.digest)
    entry = await shelf.fetch(
        packed.layout, Assignment(release=release, attempt=1, rollout="r"), ()
    )
    async with AsyncExitStack() as opened:
        url = None
        if target.split("/")[1] == REMOTE:
            foreign = await opened.enter_async_context(open_engine())
            good = GoodModel(packed.kind.content, packed.kind.signature)
            url = await opened.enter_async_context(serving(foreign, folder, good))
        engine = await opened.enter_async_context(open_engine(EngineConfig(remote=url)))
        loader = Loader(engine, shelf.store, UNITS, InferenceConfig(deadline_s=30.0, spare=False))
        evidence = await loader.smoke(entry)
        assert evidence.cases == 16
        loaded = await loader.load(entry)
        yield loaded
        loaded.worker.close()


def given(model: Model, window: NDArray[Any]) -> NDArray[Any]:  # Any: features or pictures
    """What the gateway gives the model of a window or a picture."""
    if model.signature.frame is not None:
        return model.input(of_picture(window, 0, 0))
    return model.extractor.vector(window).reshape(1, -1)


async def test_a_gateway_gets_what_the_model_gives(packed: Packed, tmp_path: Path) -> None:
    """For each target: fetched, admitted and loaded, it answers as the model itself."""
    kind = packed.kind
    for number, target in enumerate(kind.targets):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with gateway(packed, target, folder) as loaded:
            for window in kind.windows(5, 77):
                asked = given(loaded, window)
                wanted = kind.itself(asked)
                found = await loaded.worker.infer(asked)
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5, err_msg=target)
                assert read_output(kind.signature, found).label == (
                    read_output(kind.signature, wanted).label
                )


async def test_it_carries_what_its_kind_needs(packed: Packed, tmp_path: Path) -> None:
    """Drift is watched where there are tags; the card and the ML-BOM say what the model is."""
    kind = packed.kind
    index = await packed.layout.manifest(TAG)
    manifest = (await packed.layout.manifest(index.index().manifests[0].digest)).manifest()
    layers = {layer.annotations[ROLE]: layer for layer in manifest.layers}
    card = packed.layout.blobs.read(layers[LayerRole.MODEL_CARD].digest).decode()
    for words in kind.card:
        assert words in card
    assert (LayerRole.REFERENCE in layers) == (kind.signature.frame is None)
    async with gateway(packed, kind.targets[0], tmp_path) as loaded:
        pictures = kind.signature.frame is not None
        assert (loaded.monitor is None, loaded.domain is None) == (pictures, pictures)
        if loaded.domain is not None:
            features = loaded.extractor.matrix(kind.windows(40, 3))
            assert loaded.domain.share_inside(features) == 1.0
    (referrer,) = await packed.layout.referrers(index.digest, SBOM_TYPE)
    attached = (await packed.layout.manifest(referrer.digest)).manifest().layers[0]
    told = json.loads(packed.layout.blobs.read(attached.digest))["metadata"]["component"]
    parameters = told["modelCard"]["modelParameters"]
    assert parameters["task"] == kind.task
    assert parameters["outputs"][0]["format"].startswith(kind.signature.outputs[0].name)


def test_it_is_shown(packed: Packed, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` says what a release takes and gives, and lists every target with its files."""
    assert main(["show", str(packed.layout.root), TAG]) == 0
    shown = capsys.readouterr().out
    for target in packed.kind.targets:
        assert f"\n{target}\n" in shown
    assert "\ntakes " in shown
    assert "\ngives " in shown
