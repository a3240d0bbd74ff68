"""Reads what a build is made from: the contract, the model's bytes, and its validation windows."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature
from edge_packaging.errors import BuildConfigError

MODEL_BYTES_MAX = 256 * 1024 * 1024  # what the admission gate takes as well
WINDOWS_BYTES_MAX = 1024 * 1024 * 1024
SIGNATURE_BYTES_MAX = 1024 * 1024
MIXED = "?"  # how an archive writes the mode of a window in which the recipe changed


@dataclass(frozen=True, slots=True)
class Windows:
    """What a model was validated on, float32, in the units of the signature.

    Attributes:
        normal: shape (window, row, role), consecutive tumbling windows of normal running.
        modes: the recipe of each normal window; None where it changed inside the window.
        trained: shape (window, row, role), every class and every recipe the model has seen.
    """

    normal: NDArray[np.float32]
    modes: list[str | None]
    trained: NDArray[np.float32]


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
    """What the type alone cannot say: the classes and shapes agree with one another.

    Raises:
        BuildConfigError: names what does not fit.
    """
    classes = set(signature.classes)
    if len(classes) < len(signature.classes):
        raise BuildConfigError(f"signature {path}: classes: expected each once, found one twice")
    for key, label in (
        ("normal_class", signature.normal_class),
        ("safe_output", signature.safe_output),
    ):
        if label not in classes:
            raise BuildConfigError(
                f"signature {path}: {key}: expected one of {sorted(classes)}, found {label!r}"
            )
    wanted = len(signature.features)
    if signature.inputs[0].shape[-1] != wanted:
        raise BuildConfigError(
            f"signature {path}: inputs: expected {wanted} columns, one a feature, "
            f"found {signature.inputs[0].shape[-1]}"
        )
    if signature.outputs[0].shape[-1] != len(signature.classes):
        raise BuildConfigError(
            f"signature {path}: outputs: expected {len(signature.classes)} columns, one a class, "
            f"found {signature.outputs[0].shape[-1]}"
        )


def read_windows(path: Path, signature: ModelSignature) -> Windows:
    """The validation windows: arrays `normal`, `modes` and `trained` of a NumPy archive.

    Raises:
        BuildConfigError: not such an archive, or of another shape than the signature's.
    """
    if not path.is_file() or path.stat().st_size > WINDOWS_BYTES_MAX:
        raise BuildConfigError(f"windows {path}: expected a NumPy archive up to 1 GiB, found none")
    try:
        with np.load(path, allow_pickle=False) as archive:
            normal = np.asarray(archive["normal"], dtype=np.float32)
            trained = np.asarray(archive["trained"], dtype=np.float32)
            modes = [str(mode) for mode in archive["modes"].astype(np.str_)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BuildConfigError(
            f"windows {path}: expected arrays `normal`, `modes` and `trained`, found: {error}"
        ) from None
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
    if values.ndim != 3 or values.shape[1:] != (rows, roles):
        raise BuildConfigError(
            f"{what}: expected shape (window, {rows}, {roles}), found {values.shape}"
        )
    if not np.isfinite(values).all():
        raise BuildConfigError(f"{what}: expected finite values, found NaN or infinity")
