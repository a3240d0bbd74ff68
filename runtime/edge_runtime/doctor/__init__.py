"""Examines one gateway: what it needs, what it finds, and for each thing what to do about it."""
