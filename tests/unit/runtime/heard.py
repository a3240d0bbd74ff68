"""What a part of the gateway says of its faults, in the order it was said."""


class Heard:
    """Keeps the faults that stand, by name, and what was ever said."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}
        self.ever: list[str] = []

    def fault(self, name: str, reason: str) -> None:
        """It does not work."""
        self.standing[name] = reason
        self.ever.append(reason)

    def mend(self, name: str) -> None:
        """It works again."""
        self.standing.pop(name, None)
