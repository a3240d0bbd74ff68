"""Writes the model card: what a person must know before trusting the model, from facts alone."""

from edge_core.contracts.artefact import DriftReference, ModelSignature
from edge_packaging.config import BuildConfig


def model_card(config: BuildConfig, signature: ModelSignature, reference: DriftReference) -> str:
    """The card as Markdown, the same for the same build."""
    modes = ", ".join(f"{mode.mode or 'one recipe'} ({mode.windows})" for mode in reference.modes)
    span_s = signature.windowing.length_rows * signature.windowing.period_s
    parts = [
        f"# {config.model} {config.version}",
        config.card.purpose,
        "## Limits",
        config.card.limits,
        "## Contract",
        (
            f"- window: {signature.windowing.length_rows} rows of "
            f"{signature.windowing.period_s:g} s, {span_s:g} s in all"
        ),
        f"- tags: {', '.join(signature.roles)}",
        (
            f"- classes: {', '.join(signature.classes)}; normal is {signature.normal_class}, "
            f"safe output is {signature.safe_output}"
        ),
        "## Reference",
        f"- windows by recipe: {modes}" + (" — thin" if reference.thin else ""),
    ]
    if config.card.metrics:
        parts.append("## Measured on held-back data")
        parts += [f"- {name}: {value:.4g}" for name, value in sorted(config.card.metrics.items())]
    parts += ["## Owner", f"{config.card.owner}; licence {config.card.licence}"]
    return "\n\n".join(parts) + "\n"
