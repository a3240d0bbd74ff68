"""How much of all clients' bodies is held at once, whoever sends them and however many."""


class Bodies:
    """Bytes of requests that are read and not answered yet.

    Attributes:
        most: never more are held.
        held: now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def fits(self, size: int) -> bool:
        """Whether *size* bytes more could be held now."""
        return self.held + size <= self.most

    def take(self, size: int) -> bool:
        """Hold *size* bytes more; False, and nothing is held for it, where they do not fit."""
        if not self.fits(size):
            return False
        self.held += size
        return True

    def give(self, size: int) -> None:
        """Let go of *size* bytes."""
        self.held -= size
        assert self.held >= 0, "only what was taken"  # noqa: S101 - ours
