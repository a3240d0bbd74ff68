"""Reads what a build is made from: the contract, and the windows it was validated on."""

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import UNKNOWN, ModelSignature
from edge_core.contracts.frame import FrameInput
from edge_core.features.contract import check_signature as check_alone
from edge_core.features.errors import ContractError
from edge_core.features.frame import tensor
from edge_core.features.statistics import Extractor
from edge_packaging.errors import BuildConfigError

WINDOWS_BYTES_MAX = 1024 * 1024 * 1024  # of the archive, and of what the model is given of it
SIGNATURE_BYTES_MAX = 1024 * 1024
MIXED = "?"  # how an archive writes the mode of a window in which the recipe changed
# The last is what a single array, which is no archive, gives.
_NO_ARCHIVE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    TypeError,
)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of tags, float32, in the units of the signature.

    Attributes:
        normal: shape (window, row, role), consecutive tumbling windows of normal running.
        modes: the recipe of each normal window; None where it changed inside the window.
        trained: shape (window, row, role), every class and every recipe the model has seen.
    """

    normal: NDArray[np.float32]
    modes: list[str | None]
    trained: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Held:
    """What a model was validated on.

    Attributes:
        rows: shape (window, ...): the first row of the model's input for each window, in its type.
        windows: where the rows are from, and what normal looked like; None for pictures.
        recorded: shape (window, value): what the model gave for each row where it runs; None
            where nobody wrote that down.
    """

    rows: NDArray[Any]  # Any: of the input's type
    windows: Windows | None
    recorded: NDArray[np.float32] | None


def read_bytes(path: Path, *, what: str, bytes_max: int) -> bytes:
    """The bytes of a file that the configuration names.

    Raises:
        BuildConfigError: not readable, or longer than *bytes_max*.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise BuildConfigError(f"{what} {path}: expected a file, found {error.strerror}") from None
    if len(raw) > bytes_max:
        raise BuildConfigError(f"{what} {path}: expected at most {bytes_max} bytes, found more")
    return raw


def read_signature(path: Path) -> ModelSignature:
    """The contract with the feature pipeline.

    Raises:
        BuildConfigError: not readable, or not a signature; the message says where.
    """
    raw = read_bytes(path, what="signature", bytes_max=SIGNATURE_BYTES_MAX)
    try:
        signature = msgspec.json.decode(raw, type=ModelSignature)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BuildConfigError(f"signature {path}: {error}") from None
    check_signature(signature, path)
    return signature


def check_signature(signature: ModelSignature, path: Path) -> None:
    """What the type alone cannot say: a gateway could use it, and its classes are of one list.

    Raises:
        BuildConfigError: names what does not fit.
    """
    classes = set(signature.classes)
    if len(classes) < len(signature.classes):
        raise BuildConfigError(f"signature {path}: classes: expected each once, found one twice")
    allowed = classes | {UNKNOWN}
    if signature.safe_output not in allowed:
        raise BuildConfigError(
            f"signature {path}: safe_output: expected one of {sorted(allowed)}, "
            f"found {signature.safe_output!r}"
        )
    try:
        check_alone(signature)
    except ContractError as error:
        raise BuildConfigError(f"signature {path}: {error}") from None
    wide = math.prod(signature.inputs[0].shape[1:])
    if signature.frame is None and wide != len(signature.features):
        raise BuildConfigError(
            f"signature {path}: inputs: expected [batch, {len(signature.features)}], one row of "
            f"features, found {signature.inputs[0].shape}"
        )


def read_held(path: Path, signature: ModelSignature) -> Held:
    """The validation windows, from a NumPy archive.

    A model of windows has the arrays `normal`, `modes` and `trained` (see `Windows`); a model of
    pictures has `pictures`, uint8 of shape (picture, row, column, 3), red first. Either may have
    `outputs`, shape (window, ...): what the model gave for each of `trained` or `pictures`.

    Raises:
        BuildConfigError: not such an archive, or of another shape than the signature's.
    """
    names = ("normal", "modes", "trained") if signature.frame is None else ("pictures",)
    arrays = _arrays(path, names)
    windows = None
    if signature.frame is None:
        windows = _windows(path, arrays, signature)
        shape = signature.inputs[0].shape[1:]
        rows = Extractor(signature).matrix(windows.trained).reshape(-1, *shape)
    else:
        rows = _tensors(path, arrays["pictures"], signature.frame)
    recorded = None
    if "outputs" in arrays:
        recorded = _recorded(path, arrays["outputs"], len(rows), signature)
    return Held(rows=rows, windows=windows, recorded=recorded)


def _arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Those of *names*, and `outputs` if it is there."""
    if not path.is_file() or path.stat().st_size > WINDOWS_BYTES_MAX:
        raise BuildConfigError(f"windows {path}: expected a NumPy archive up to 1 GiB, found none")
    try:
        with np.load(path, allow_pickle=False) as archive:
            also = [name for name in ("outputs",) if name in archive]
            return {name: archive[name] for name in (*names, *also)}
    except _NO_ARCHIVE as error:
        listed = ", ".join(f"`{name}`" for name in names)
        raise BuildConfigError(
            f"windows {path}: expected arrays {listed}, found: {error}"
        ) from None


def _windows(path: Path, arrays: Mapping[str, NDArray[Any]], signature: ModelSignature) -> Windows:
    normal = _numbers(f"windows {path}: normal", arrays["normal"])
    trained = _numbers(f"windows {path}: trained", arrays["trained"])
    modes = [str(mode) for mode in arrays["modes"].reshape(-1).astype(np.str_)]
    for name, values in (("normal", normal), ("trained", trained)):
        _check_shape(f"windows {path}: {name}", values, signature)
    if len(modes) != len(normal):
        raise BuildConfigError(
            f"windows {path}: modes: expected {len(normal)}, one a window, found {len(modes)}"
        )
    return Windows(
        normal=normal, modes=[None if m == MIXED else m for m in modes], trained=trained
    )


def _check_shape(what: str, values: NDArray[np.float32], signature: ModelSignature) -> None:
    rows, roles = signature.windowing.length_rows, len(signature.roles)
    if values.shape[1:] != (rows, roles) or not len(values):
        raise BuildConfigError(
            f"{what}: expected shape (window, {rows}, {roles}), found {values.shape}"
        )


def _numbers(what: str, values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype.kind not in "biuf":
        raise BuildConfigError(f"{what}: expected numbers, found {values.dtype}")
    with np.errstate(over="ignore"):  # too large a number becomes infinity, and that is refused
        numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BuildConfigError(f"{what}: expected finite values, found NaN or infinity")
    return numbers


def _tensors(path: Path, pictures: NDArray[Any], frame: FrameInput) -> NDArray[Any]:
    """Pictures as the gateway gives them to the model, shape (picture, ...)."""
    fits = pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[3] == 3
    if not fits or pictures.size == 0:
        raise BuildConfigError(
            f"windows {path}: pictures: expected uint8 of shape (picture, row, column, 3), "
            f"found {pictures.dtype} of {pictures.shape}"
        )
    first = tensor(pictures[0], frame)
    most = WINDOWS_BYTES_MAX // first.nbytes
    if len(pictures) > most:
        raise BuildConfigError(
            f"windows {path}: pictures: expected at most {most} for an input of "
            f"{frame.height} x {frame.width}, found {len(pictures)}"
        )
    return np.concatenate([tensor(picture, frame) for picture in pictures])


def _recorded(
    path: Path, outputs: NDArray[Any], windows: int, signature: ModelSignature
) -> NDArray[np.float32]:
    shape = (windows, *signature.outputs[0].shape[1:])
    if outputs.shape != shape:
        raise BuildConfigError(
            f"windows {path}: outputs: expected shape {shape}, one a window, found {outputs.shape}"
        )
    return _numbers(f"windows {path}: outputs", outputs).reshape(windows, -1)
