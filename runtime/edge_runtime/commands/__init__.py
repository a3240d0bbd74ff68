"""The subcommands of `edge-gateway`: each reads its arguments, asks, and says what came of it."""
