"""Whether windows are scored once, whatever happens to the processes that do it."""
