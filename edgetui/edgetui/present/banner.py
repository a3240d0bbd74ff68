"""The lines that are on every screen: who and where, alarms and feed, the last word, the keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.api import Overview, WhoAmI
from edgetui.keys.registry import Bound
from edgetui.present.alarms_page import alarm_banner
from edgetui.present.lines import Line, Tone, join, say
from edgetui.present.words import fit, inert, width

RTT_STEP_MS = 50  # finer would only make the banner flicker
ARMED_STEP_S = 5
WHERE_CELLS_MIN = 20
REST_CELLS = 46  # site, who, armed or not, clock: they stand whatever the screen is called


@dataclass(frozen=True, slots=True)
class Facts:
    """What the banner says.

    Attributes:
        where: the way to this screen, from the overview down.
        clock: the time of day, already as fine as the link bears.
        feed_age_s: how long ago the site answered, None if it never did.
        stale: whether that is too long ago.
        trouble: why nothing new comes.
    """

    where: str
    overview: Overview | None
    who: WhoAmI | None
    clock: str
    feed_age_s: float | None
    stale: bool
    trouble: str
    armed_s: float = 0.0
    frozen_s: float | None = None
    rtt_s: float | None = None
    kbit_s: float = 0.0
    paced: bool = True


def banner(facts: Facts, cells: int) -> list[Line]:
    """Two lines: identity, then what is wrong."""
    return [_identity(facts, cells), _state(facts, cells)]


def _identity(facts: Facts, cells: int) -> Line:
    site = facts.overview.site if facts.overview else "?"
    user = f"{facts.who.user} " if facts.who else ""
    armed = int(-(-facts.armed_s // ARMED_STEP_S) * ARMED_STEP_S)
    mode = (f"ARMED {armed} s", Tone.P2) if armed else ("VIEW ONLY", Tone.PLAIN)
    where = inert(facts.where)
    where = fit(where, min(width(where), max(WHERE_CELLS_MIN, cells - REST_CELLS)))
    parts = [(f"{where}  ", Tone.TITLE), (f"{inert(site)}  ", Tone.PLAIN)]
    if facts.frozen_s is not None:
        parts.append((f"FROZEN {minutes(facts.frozen_s)}  ", Tone.P2))
    parts += [
        (f"{inert(user)} ", Tone.PLAIN),
        mode,
        (f"  {facts.clock}  {link_words(facts)}", Tone.PLAIN),
    ]
    return join(parts, cells)


def link_words(facts: Facts) -> str:
    """How the link does, in coarse steps."""
    if not facts.paced:
        return "LINK without answers"
    if facts.rtt_s is None:
        return ""
    steps = max(1, round(facts.rtt_s * 1000 / RTT_STEP_MS))
    return f"LINK <{steps * RTT_STEP_MS} ms {facts.kbit_s:.0f} kbit/s"


def _state(facts: Facts, cells: int) -> Line:
    if facts.overview is None:
        words = facts.trouble or "connecting to the site proxy"
        return say(f"STALE  nothing heard yet: {words}", cells, Tone.P1)
    if facts.stale:
        words = f"STALE {minutes(facts.feed_age_s or 0.0)}  no approving.  {facts.trouble}"
        return say(words, cells, Tone.P1)
    alarms = alarm_banner(facts.overview.alarms, cells)
    feed = "  FEED ok" if not facts.trouble else f"  FEED broken: {inert(facts.trouble)}"
    parts = [(part.text, part.tone) for part in alarms.parts]
    return join([*parts, (feed, Tone.PLAIN if not facts.trouble else Tone.P2)], cells)


def minutes(seconds: float) -> str:
    """Minutes and seconds since something happened."""
    return f"{int(seconds // 60):02}:{int(seconds % 60):02}"


def clock_words(now: datetime, *, low: bool) -> str:
    """The time of day in UTC; without seconds where each costs."""
    return f"{now:%H:%MZ}" if low else f"{now:%H:%M:%SZ}"


def keys_line(bounds: Sequence[Bound], cells: int) -> Line:
    """The keys that work now; the last ones give way where it is narrow."""
    parts: list[tuple[str, Tone]] = []
    for bound in bounds:
        shown = f"{bound.shown} {bound.words}"
        if sum(len(text) for text, _ in parts) + len(shown) > cells:
            break
        parts += [(bound.shown, Tone.TITLE), (f" {bound.words}  ", Tone.PLAIN)]
    return join(parts, cells)
