"""The review queue: strange windows in, one label a window out."""
