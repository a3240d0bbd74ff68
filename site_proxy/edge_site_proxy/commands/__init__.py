"""The bodies of the `site-proxy` subcommands."""
