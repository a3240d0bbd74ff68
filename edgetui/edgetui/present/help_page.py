"""The help page of a screen, made from the registry, and a legend of marks and words."""

from edge_core.contracts.api import WhoAmI
from edgetui.keys.registry import Bound, on_screen, permitted
from edgetui.present.lines import BLANK, Line, Part, Tone, say
from edgetui.present.words import fit

KEY_CELLS = 8
WORDS_CELLS = 14
LEGEND = (
    ("■1 ▲2 ▼3 ●4", "priorities; only the first pages somebody, and colour only doubles the mark"),
    ("UNACK", "nobody has said yet that they saw it"),
    ("rtn-unk", "it went away before anybody said so"),
    ("?", "too old to be relied on; beside it stands how old"),
    ("STALE", "the site proxy is silent: nothing here is fresh, and nothing is approved"),
    ("HELD", "no gateway gets a permit until every hold is gone"),
    ("cannot tell yet", "a gate without enough evidence; it is never a pass"),
    ("✓", "the site proxy has confirmed that it is stored"),
)


def help_page(screen: str, who: WhoAmI | None, cells: int) -> list[Line]:
    """Keys first, the screen's own before those that work everywhere."""
    bounds = sorted(on_screen(screen), key=lambda b: len(b.screens) == 1 and "*" in b.screens)
    return [
        say(f"Keys of {screen}", cells, Tone.TITLE),
        *(_key(bound, who, cells) for bound in bounds),
        BLANK,
        say("Marks and words", cells, Tone.TITLE),
        *(say(f"  {fit(mark, 16)} {meaning}", cells) for mark, meaning in LEGEND),
    ]


def _key(bound: Bound, who: WhoAmI | None, cells: int) -> Line:
    armed = " First e (arm)." if bound.armed else ""
    role = "" if permitted(bound, who) else " Your roles do not allow it."
    words = f"{fit(bound.words, WORDS_CELLS)} {bound.help}{armed}{role}"
    shown = Part(f"  {fit(bound.shown, KEY_CELLS)}", Tone.TITLE)
    return Line((shown, Part(fit(words, max(0, cells - KEY_CELLS - 2)).rstrip())))
