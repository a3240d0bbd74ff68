"""`edge-pack`: one trained model in, signed and hardware-specific OCI artefacts out."""
