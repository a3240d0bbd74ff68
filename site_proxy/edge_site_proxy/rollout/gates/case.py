"""What a verdict depends on, and nothing else: the members of a cohort and who did not change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_core.contracts.gates import GateLimits
from edge_site_proxy.rollout.gates.evidence import EMPTY, History, Tally


@dataclass(frozen=True, slots=True)
class Subject:
    """One member of the cohort, as evidence.

    Attributes:
        running: what the new release did in charge, on trial or committed.
        shadow: what it did beside the old one.
        history: what the old release did here before; None where there was none.
        kind: zone and hardware class; like is compared with like.
        veto: a deterministic refusal, in words.
        silent_s: how long nothing was heard beyond the usual.
        activated: whether it ever ran the release in charge.
    """

    running: Tally = EMPTY
    shadow: Tally = EMPTY
    history: History | None = None
    kind: str = ""
    veto: str | None = None
    silent_s: float = 0.0
    activated: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """One gateway still on the old release: what it did before, and all it did until now.

    One that is silent tells what it told, and nobody waits for it.
    """

    history: History
    tally: Tally
    kind: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a verdict depends on.

    Attributes:
        window_s: the usual length of a health window.
        confirm: whether the soak is nearly over, so that the last look may be taken.
    """

    cohort: str
    limits: GateLimits
    subjects: Mapping[str, Subject]
    controls: Sequence[Control] = field(default=())
    shadow_needed: bool = True
    window_s: float = 300.0
    confirm: bool = False
