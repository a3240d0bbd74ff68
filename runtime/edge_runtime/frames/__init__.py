"""Pictures: dropped into a folder, or taken from a camera's stream; the newest one counts."""
