"""Who decides and who looks on, and what the model under watch has shown since."""

from dataclasses import dataclass, field

from edge_runtime.model import ROLE_COMMITTED, ROLE_SHADOW, ROLE_TRIAL, Model


@dataclass(slots=True)
class Exposure:
    """What the model under watch has been through since its route began.

    `dropped` are windows that it was never shown because it was still at others; in a trial each
    is an error too, since it was to decide about it.
    """

    scored: int = 0
    errors: int = 0
    pairs: int = 0
    disagreed: int = 0
    dropped: int = 0
    lost: str = ""

    @property
    def error_share(self) -> float:
        """Errors among all windows it was asked about."""
        return self.errors / max(1, self.errors + self.scored)


@dataclass(frozen=True, slots=True)
class Route:
    """Who decides, who looks on, and what the model under watch has shown so far.

    `effective` plays `role` (committed or trial). `shadow` scores the same windows and decides
    nothing. `exposure` belongs to whichever of the two is not the committed model.
    """

    effective: Model | None = None
    role: str = ROLE_COMMITTED
    shadow: Model | None = None
    safe_mode: bool = False
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def unlike(self) -> bool:
        """Whether the two see other windows, so that they can never be compared on one."""
        first, second = self.effective, self.shadow
        if first is None or second is None:
            return False
        frames = [each.signature.frame and each.signature.frame.role for each in (first, second)]
        same = first.signature.windowing == second.signature.windowing
        return not same or frames[0] != frames[1]

    @property
    def watched(self) -> tuple[Model, str] | None:
        """The model under watch and its role; None where there is only the committed one."""
        if self.role == ROLE_TRIAL and self.effective is not None:
            return self.effective, ROLE_TRIAL
        return None if self.shadow is None else (self.shadow, ROLE_SHADOW)
