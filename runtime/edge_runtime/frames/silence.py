"""When a camera has shown nothing for too long, and how often that is said. Values in, values out.

A picture stands for what is there until the next one is due: one stride of the model's windows, or
as long as the line says (`stale_s`). It may then be missing for as long as the contract lets any
tag be missing. From there on each stride without a picture is a window without a verdict.
"""

from edge_core.contracts.artefact import Windowing


def stride_s(windowing: Windowing) -> float:
    """How often a picture is due."""
    return windowing.period_s * windowing.stride_rows


def allowed_s(windowing: Windowing, stale_s: float | None) -> float:
    """How long there may be no new picture."""
    held_s = stride_s(windowing) if stale_s is None else stale_s
    return held_s + windowing.gap_rows_max * windowing.period_s


class Silence:
    """Follows one camera at a time; times are monotonic seconds.

    Args:
        role: of the camera.
        now_s: from now on it is looked at; what was before is nobody's silence.
    """

    def __init__(self, role: str, now_s: float) -> None:
        self.role = role
        self._since_s = now_s
        self._said_s = now_s

    def seen(self, came_s: float) -> None:
        """A picture came then."""
        self._since_s = max(self._since_s, came_s)

    def due(self, now_s: float, windowing: Windowing, stale_s: float | None) -> float | None:
        """For how long there was no picture, if that is too long and has to be said now."""
        silent_s = now_s - self._since_s
        if silent_s <= allowed_s(windowing, stale_s):
            return None
        said = self._said_s > self._since_s
        if said and now_s - self._said_s < stride_s(windowing):
            return None
        self._said_s = now_s
        return silent_s
