"""Says in words what a model takes and what it gives, for cards, SBOMs and terminals."""

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.frame import FrameInput
from edge_core.contracts.outcome import Anomaly, Classification, Regression, Segmentation
from edge_packaging.outputs import Said

_FITTED = {"letterbox": "letterboxed", "crop": "cropped", "stretch": "stretched"}


def task(signature: ModelSignature) -> str:
    """The kind of model: classification, regression, anomaly or segmentation."""
    return str(signature.outcome.__struct_config__.tag)


def takes(signature: ModelSignature) -> str:
    """What one window of it is."""
    if signature.frame is not None:
        return _pictures(signature.frame)
    cut = signature.windowing
    return (
        f"windows of {cut.length_rows} rows of {cut.period_s:g} s, "
        f"{cut.length_rows * cut.period_s:g} s in all, of {', '.join(signature.roles)}"
    )


def _pictures(frame: FrameInput) -> str:
    words = (
        f"pictures of {frame.role}, {_FITTED[frame.fit]} to {frame.height} x {frame.width}, "
        f"{frame.channels} as {frame.layout} of {frame.dtype}"
    )
    if frame.dtype == "uint8":
        return words
    words += f", times {frame.scale:.6g}"
    if frame.mean:
        words += f", less {_listed(frame.mean)}"
    return f"{words}, over {_listed(frame.sd)}" if frame.sd else words


def gives(signature: ModelSignature) -> str:
    """What it says of a window."""
    classes, normal = signature.classes, signature.normal_class
    match signature.outcome:
        case Classification():
            return f"one of {', '.join(classes)}"
        case Regression(quantity=quantity, unit=unit, bounds=bounds):
            bands = [
                f"{label} up to {bound:g}" for label, bound in zip(classes, bounds, strict=False)
            ]
            return f"{quantity} in {unit}: {', '.join(bands)}, {classes[-1]} above"
        case Anomaly(threshold=threshold):
            (strange,) = (each for each in classes if each != normal)
            return f"a score: {normal} up to {threshold:g}, {strange} above"
        case Segmentation(share_min=share):
            return (
                f"a class for each place, of {', '.join(classes)}; as a whole the one that "
                f"covers most besides {normal}, from {share:.4g} of the picture on"
            )


def measured(signature: ModelSignature, found: Said) -> list[str]:
    """What it said of the windows it was validated on, a line a fact."""
    lines = [f"{label}: {share:.1%} of windows" for label, share in found.shares.items()]
    if found.quantiles is not None:
        low, middle, high = found.quantiles
        what = "score"
        if isinstance(signature.outcome, Regression):
            what = f"{signature.outcome.quantity} in {signature.outcome.unit}"
        lines.append(
            f"{what}: median {middle:.4g}, one in twenty below {low:.4g}, one above {high:.4g}"
        )
    return lines


def _listed(numbers: list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
