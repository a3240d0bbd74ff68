"""The console as subcommands: the same actions, for scripts, reports and narrow links."""
