"""Admission in a child: evidence for a good model, a named refusal for everything else."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from edge_core.admission.admit import admit, inspect
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.limited import Answered, Ended, EndKind, run_limited
from edge_core.admission.model import MIB, AdmissionLimits, ChildLimits, ModelFile
from edge_core.contracts.artefact import SmokeCase, SmokeVectors
from tests.simulators.bad_pairs import bomb_pair, good_pair
from tests.simulators.good_models import CLASSES, WIDTH, forest, mill, mlp, signature, smoke

pytestmark = pytest.mark.anyio

QUICK = AdmissionLimits(probe_runs=20)
ANY_SMOKE = SmokeVectors(
    cases=[SmokeCase(inputs=[0.0] * WIDTH, outputs=[0.3] * CLASSES)], absolute_tolerance=0.1
)


def limits(**child: float) -> AdmissionLimits:
    """Usual limits with some of the child's changed."""
    return AdmissionLimits(child=msgspec.convert(child, ChildLimits), probe_runs=20)


def pair(folder: Path, parts: dict[str, bytes]) -> tuple[ModelFile, ...]:
    """An OpenVINO pair on disk."""
    files = []
    for name, content in parts.items():
        (folder / name).write_bytes(content)
        files.append(ModelFile(name=name, path=folder / name))
    return tuple(files)


async def test_good_model_gives_evidence(tmp_path: Path) -> None:
    """A model that reproduces its smoke vectors is admitted, with figures for the record."""
    good = mlp()
    admission = await admit(good.save(tmp_path), good.signature, smoke(good), "onnxruntime", QUICK)
    assert admission.cases == 3
    assert admission.error_max < 1e-5
    assert admission.outputs_digest.startswith("sha256:")
    assert 0 < admission.p50_us <= admission.p99_us
    assert 20 * MIB < admission.peak_rss_bytes < 500 * MIB
    assert admission.summary.operators["Gemm"] == 1


async def test_two_runtimes_agree(tmp_path: Path) -> None:
    """OpenVINO runs the same gate and the same vectors, in float32 as they were recorded."""
    flat = SmokeVectors(
        cases=[SmokeCase(inputs=[1.0] * WIDTH, outputs=[3.5, 3.8333333, 4.1666665])],
        absolute_tolerance=1e-5,
    )
    admission = await admit(pair(tmp_path, good_pair()), signature(), flat, "openvino", QUICK)
    assert admission.error_max < 1e-5
    assert admission.summary.format == "openvino"


async def test_other_scores_are_refused(tmp_path: Path) -> None:
    """A model that gives other scores is not the model that was released."""
    other, good = mlp(seed=1), mlp(seed=2)
    with pytest.raises(ModelRefusedError, match=r"smoke case 0: expected scores within 0\.0001"):
        await admit(other.save(tmp_path), other.signature, smoke(good), "onnxruntime", QUICK)


TOLERANCES = {
    "a tenth of a score is the most": ([0.5, 0.5], 0.1, True),
    "more than that lets any score pass": ([0.5, 0.5], 0.11, False),
    "a large quantity is no closer than its digits": ([-2000.0], 20.0, True),
    "but not so far that any would do": ([-2000.0], 201.0, False),
    "no number is no tolerance": ([1.0], float("nan"), False),
}


@pytest.mark.parametrize(
    ("outputs", "tolerance", "fits"), TOLERANCES.values(), ids=TOLERANCES.keys()
)
def test_tolerance_is_in_the_measure_of_the_outputs(
    outputs: list[float], tolerance: float, *, fits: bool
) -> None:
    """A tolerance is bounded by what it is a tolerance of."""
    cases = [SmokeCase(inputs=[0.0], outputs=outputs)]
    with nullcontext() if fits else pytest.raises(ValueError, match="absolute_tolerance: expect"):
        SmokeVectors(cases=cases, absolute_tolerance=tolerance)


async def test_only_inspected(tmp_path: Path) -> None:
    """The gate alone needs no runtime and no smoke vectors."""
    summary = await inspect(forest().save(tmp_path))
    assert summary.operators == {"ai.onnx.ml.TreeEnsembleClassifier": 1}


async def test_another_digest_is_refused(tmp_path: Path) -> None:
    """A file that does not hash to what was recorded is not even parsed."""
    (file,) = mlp().save(tmp_path)
    wrong = ModelFile(name=file.name, path=file.path, digest="sha256:" + "0" * 64)
    with pytest.raises(ModelRefusedError, match=r"model\.onnx: expected sha256:0000"):
        await inspect([wrong])


async def test_slow_model_is_ended(tmp_path: Path) -> None:
    """A model that computes without end costs its limit of wall time and no more."""
    slow = mill(4000, width=1024)
    with pytest.raises(ModelRefusedError, match="gave no answer within 2 s"):
        await admit(slow.save(tmp_path), signature(), ANY_SMOKE, "onnxruntime", limits(wall_s=2.0))


async def test_busy_model_is_ended(tmp_path: Path) -> None:
    """The kernel counts its CPU time as well."""
    slow = mill(4000, width=1024)
    with pytest.raises(ModelRefusedError, match=r"CPU|SIGKILL"):
        await admit(slow.save(tmp_path), signature(), ANY_SMOKE, "onnxruntime", limits(cpu_s=2))


async def test_large_model_is_ended(tmp_path: Path) -> None:
    """A model that needs more memory than it may have is refused for that."""
    large = mill(4, width=3000)
    with pytest.raises(ModelRefusedError, match="needs more than 230686720 bytes"):
        await admit(
            large.save(tmp_path),
            signature(),
            ANY_SMOKE,
            "onnxruntime",
            limits(address_space_bytes=220 * MIB),
        )


async def test_bomb_that_no_reader_sees_is_ended(tmp_path: Path) -> None:
    """OpenVINO computes shapes anew: a size hidden in a constant is stopped by the limits."""
    files = pair(tmp_path, bomb_pair())
    assert (await inspect(files)).operators["Tile"] == 1
    with pytest.raises(ModelRefusedError):
        await admit(files, signature(), ANY_SMOKE, "openvino", QUICK)


async def test_crash_is_named(tmp_path: Path) -> None:
    """A child that dies of a signal is a refusal with that signal's name."""
    slow = mill(4000, width=1024)
    async with asyncio.TaskGroup() as group:
        attempt = group.create_task(
            refusal(slow.save(tmp_path), limits(wall_s=20.0)), name="attempt"
        )
        os.kill(await first_child(), signal.SIGSEGV)
    assert "SIGSEGV" in attempt.result()


async def refusal(files: tuple[ModelFile, ...], bounds: AdmissionLimits) -> str:
    """The line that refuses *files*."""
    with pytest.raises(ModelRefusedError) as refused:
        await admit(files, signature(), ANY_SMOKE, "onnxruntime", bounds)
    return str(refused.value)


def children() -> set[int]:
    """The processes that this one has started and that live."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in listed.split()}


async def first_child() -> int:
    """The admission child, as soon as there is one and it is past its start."""
    while True:
        for pid in children():
            if b"edge_core.admission.child" in command_of(pid):
                return pid
        await asyncio.sleep(0)


def command_of(pid: int) -> bytes:
    """The command line of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    """The caller's deadline ends the child with it; nothing runs on unseen."""
    slow = mill(4000, width=1024)
    before = children()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await admit(slow.save(tmp_path), signature(), ANY_SMOKE, "onnxruntime", QUICK)
    assert children() <= before


PATHS = {
    "a folder": "something else",
    "a pipe": "something else",
    "nothing": "No such file",
}


@pytest.mark.parametrize(("kind", "says"), PATHS.items(), ids=PATHS.keys())
async def test_only_plain_files(tmp_path: Path, kind: str, says: str) -> None:
    """What is no plain file is refused at once, without waiting for it."""
    path = tmp_path / "model.onnx"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    with pytest.raises(ModelRefusedError, match=says):
        await inspect([ModelFile(name="model.onnx", path=path)])


async def test_unknown_runtime(tmp_path: Path) -> None:
    """A runtime that this machine does not know is named with those it knows."""
    good = mlp()
    with pytest.raises(ModelRefusedError, match="expected one of onnxruntime, openvino"):
        await admit(good.save(tmp_path), good.signature, smoke(good), "caffe", QUICK)


async def test_flood_is_cut() -> None:
    """A child that talks without end is cut off at its bound."""
    outcome = await run_limited("this", b"", [], ChildLimits(answer_bytes=10))
    assert isinstance(outcome, Ended)
    assert outcome.kind is EndKind.FLOOD


async def test_status_without_answer() -> None:
    """A child that leaves with an error has not answered, whatever it printed."""
    outcome = await run_limited("no_such_module", b"", [], ChildLimits())
    assert outcome == Ended(EndKind.EXIT, "ended with status 1 and no answer")
    assert isinstance(await run_limited("this", b"", [], ChildLimits()), Answered)


def test_parent_loads_no_runtime() -> None:
    """Who asks for admission imports neither onnx nor a runtime."""
    code = (
        "import sys, edge_core.admission.admit\n"
        "print([m for m in ('onnx', 'onnxruntime', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
