"""Writes the model card: what a person must know before trusting the model, from facts alone."""

from edge_core.contracts.artefact import DriftReference, ModelSignature
from edge_packaging.config import BuildConfig
from edge_packaging.describe import gives, measured, takes
from edge_packaging.outputs import Said


def model_card(
    config: BuildConfig, signature: ModelSignature, reference: DriftReference | None, found: Said
) -> str:
    """The card as Markdown, the same for the same build.

    Args:
        config: what was asked for.
        signature: the model's contract.
        reference: what normal looked like; None for a model of pictures.
        found: what the model said of the windows that it was validated on.
    """
    parts = [
        f"# {config.model} {config.version}",
        config.card.purpose,
        "## Limits",
        config.card.limits,
        "## Contract",
        f"- takes {takes(signature)}",
        f"- gives {gives(signature)}",
        f"- normal is {signature.normal_class}, safe output is {signature.safe_output}",
        "## Reference",
        f"- {_reference(reference)}",
        "## What it says of the windows it was validated on",
        *(f"- {line}" for line in measured(signature, found)),
    ]
    if config.card.metrics:
        parts.append("## Measured on held-back data")
        parts += [f"- {name}: {value:.4g}" for name, value in sorted(config.card.metrics.items())]
    parts += ["## Owner", f"{config.card.owner}; licence {config.card.licence}"]
    return "\n\n".join(parts) + "\n"


def _reference(reference: DriftReference | None) -> str:
    if reference is None:
        return "none: drift is watched on tags, and this model has pictures"
    modes = ", ".join(f"{mode.mode or 'one recipe'} ({mode.windows})" for mode in reference.modes)
    return f"windows by recipe: {modes}" + (" — thin" if reference.thin else "")
