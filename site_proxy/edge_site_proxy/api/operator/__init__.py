"""The operator API: HTTP and JSON on a Unix socket, for every console."""
