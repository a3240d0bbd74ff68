"""Wakes everybody who waits for alarms; each listener has an event of its own to clear."""

import asyncio


class Bell:
    """Rings for each of its listeners."""

    def __init__(self) -> None:
        self._listeners: list[asyncio.Event] = []

    def listen(self) -> asyncio.Event:
        """An event that is set at each ring."""
        listener = asyncio.Event()
        self._listeners.append(listener)
        return listener

    def set(self) -> None:
        """Ring."""
        for listener in self._listeners:
            listener.set()
