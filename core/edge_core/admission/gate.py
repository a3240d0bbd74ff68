"""The static gate: judges the bytes of a model without running any of them.

Imported in the admission child only. It is the same gate for the packager, the proxy and the
gateway, so a model that CI lets through is not a surprise at the line.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of
from edge_core.admission.model import Admitted, GateLimits
from edge_core.contracts.artefact import ModelSignature


def static_gate(
    parts: Mapping[str, bytes], signature: ModelSignature | None, limits: GateLimits
) -> Admitted:
    """Judge the files of one model.

    Args:
        parts: content by file name; one `.onnx`, one `.xml` and one `.bin`, or one `.tflite`.
        signature: what the model must declare, or None to accept what it declares.
        limits: bounds on everything countable.

    Raises:
        ModelRefusedError: names the thing, what was expected and what was found.
    """
    for name, content in parts.items():
        if len(content) > limits.file_bytes_max:
            raise ModelRefusedError(
                f"{name}: expected at most {limits.file_bytes_max} bytes, found {len(content)}"
            )
    digests = {name: digest_of(content) for name, content in parts.items()}
    by_suffix = {PurePosixPath(name).suffix: name for name in parts}
    if len(parts) == 1 and ".onnx" in by_suffix:
        from edge_core.admission.onnx_gate import check_onnx  # noqa: PLC0415 - heavy, child only

        name = by_suffix[".onnx"]
        return check_onnx(name, parts[name], digests, signature, limits)
    if len(parts) == 2 and {".xml", ".bin"} == by_suffix.keys():
        from edge_core.admission.openvino_gate import check_openvino  # noqa: PLC0415 - likewise

        names = (by_suffix[".xml"], by_suffix[".bin"])
        both = (parts[names[0]], parts[names[1]])
        return check_openvino(names, both, digests, signature, limits)
    if len(parts) == 1 and ".tflite" in by_suffix:
        from edge_core.admission.litert_gate import check_litert  # noqa: PLC0415 - likewise

        name = by_suffix[".tflite"]
        return check_litert(name, parts[name], digests, signature, limits)
    raise ModelRefusedError(
        f"model files {sorted(parts)}: expected one .onnx, one .xml with one .bin, or one .tflite"
    )
