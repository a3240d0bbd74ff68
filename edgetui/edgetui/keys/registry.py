"""Every key of the console, once: what it does, where it works, and who may press it.

Rules: function keys change the screen and nothing else; a digit is a label, or the number of what
needs somebody; what changes a model is a capital letter that is dead until armed, and F9 in the
dialog after it; Escape changes nothing. A letter means one thing on all screens but the label
screen, which has a hand's map of its own. Keys that terminals, tmux or Docker take are not used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge_core.contracts.api import Action, WhoAmI

ANYWHERE: Final = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class Bound:
    """One key.

    Attributes:
        id: names the handler `do_<id>` of a screen, and the entry of a user's own key map.
        key: as Textual spells it.
        shown: as the footer spells it.
        words: what the footer says.
        help: what the help page says, one sentence.
        screens: where it works; `*` is everywhere.
        action: what the role must allow, None where everybody may.
        armed: dead until the console is armed.
        footer: whether the footer has room for it.
    """

    id: str
    key: str
    shown: str
    words: str
    help: str
    screens: frozenset[str] = ANYWHERE
    action: Action | None = None
    armed: bool = False
    footer: bool = True


def _on(*screens: str) -> frozenset[str]:
    return frozenset(screens)


REGISTRY: Final[tuple[Bound, ...]] = (
    Bound("overview", "f8", "F8", "overview", "The whole site on one page."),
    Bound("rollouts", "f2", "F2", "rollouts", "Rollouts, their cohorts and their gates."),
    Bound("gateways", "f3", "F3", "gateways", "Every gateway with its four references."),
    Bound("alarms", "f4", "F4", "alarms", "What is wrong, what it means, what to do."),
    Bound("label", "f5", "F5", "label", "Say what the strange windows were."),
    Bound("audit", "f6", "F6", "audit", "Who did what, when and why; nothing is ever removed."),
    Bound("help", "f1,question_mark", "?", "help", "The keys of this screen, and its words."),
    Bound(
        "palette",
        "colon,ctrl+p,f10",
        "^p",
        "palette",
        "Find an action or go to a thing by name.",
        footer=False,
    ),
    Bound(
        "filter",
        "slash",
        "/",
        "filter",
        "Show only the rows that contain what you type.",
        screens=_on("rollouts", "gateways", "alarms", "audit"),
    ),
    Bound(
        "down",
        "enter",
        "enter",
        "open",
        "Go down to the thing under the cursor.",
        screens=_on("overview", "rollouts", "rollout", "gateways", "alarms", "audit"),
    ),
    Bound(
        "needed",
        "1,2,3,4,5,6,7,8,9",
        "1-9",
        "do it",
        "Go to that number of what needs somebody.",
        screens=_on("overview"),
    ),
    Bound(
        "sort",
        "s",
        "s",
        "sort",
        "Sort by the next thing: name, age, latency, state.",
        screens=_on("gateways"),
    ),
    Bound(
        "members",
        "g",
        "g",
        "gateways",
        "The gateways of this rollout or line.",
        screens=_on("overview", "rollouts", "rollout"),
        footer=False,
    ),
    Bound(
        "copy",
        "y",
        "y",
        "copy",
        "Copy this line to your own clipboard (OSC 52), digests whole.",
        screens=_on("rollouts", "rollout", "gateways", "gateway", "alarms", "audit"),
        footer=False,
    ),
    Bound(
        "up", "escape", "esc", "back", "Go up one level; it never changes the plant.", footer=False
    ),
    Bound(
        "freeze",
        "space",
        "space",
        "freeze",
        "Hold the screen still; the banner says since when.",
        screens=_on("overview", "rollouts", "rollout", "gateways", "gateway", "alarms", "audit"),
        footer=False,
    ),
    Bound(
        "arm",
        "e",
        "e",
        "arm",
        "Wake the capital keys for 60 seconds.",
        screens=_on("rollouts", "rollout", "gateways", "gateway"),
    ),
    Bound(
        "approve",
        "A",
        "A",
        "approve…",
        "Approve this rollout: line, ticket, reason, PIN.",
        screens=_on("rollout", "rollouts"),
        action=Action.APPROVE,
        armed=True,
    ),
    Bound(
        "acknowledge",
        "K",
        "K",
        "shift…",
        "Say that your shift knows what will change.",
        screens=_on("rollout", "rollouts"),
        action=Action.ACKNOWLEDGE,
        armed=True,
        footer=False,
    ),
    Bound(
        "revoke",
        "V",
        "V",
        "revoke…",
        "Take the approval back: no more permits; committed gateways stay or go back.",
        screens=_on("rollout", "rollouts"),
        action=Action.REVOKE,
        armed=True,
        footer=False,
    ),
    Bound(
        "pin",
        "p",
        "p",
        "PIN…",
        "Set the PIN that you sign with.",
        screens=_on("rollout", "rollouts"),
        action=Action.PIN,
        footer=False,
    ),
    Bound(
        "pin_reset",
        "P",
        "P",
        "reset PIN…",
        "Take away the PIN of somebody who forgot it.",
        screens=_on("rollout", "rollouts"),
        action=Action.PIN_RESET,
        armed=True,
        footer=False,
    ),
    Bound(
        "hold",
        "H",
        "H",
        "hold…",
        "Grant no more permits until it is resumed.",
        screens=_on("rollout", "rollouts"),
        action=Action.HOLD,
        armed=True,
    ),
    Bound(
        "resume",
        "U",
        "U",
        "resume…",
        "Take the operator's hold away again, or waive a gate.",
        screens=_on("rollout", "rollouts"),
        action=Action.RESUME,
        armed=True,
        footer=False,
    ),
    Bound(
        "cancel",
        "C",
        "C",
        "cancel…",
        "End the rollout; who has committed stays.",
        screens=_on("rollout", "rollouts"),
        action=Action.CANCEL,
        armed=True,
        footer=False,
    ),
    Bound(
        "rollback",
        "R",
        "R",
        "rollback…",
        "Take the model back; it needs no network.",
        screens=_on("rollout", "rollouts", "gateway", "gateways"),
        action=Action.ROLLBACK,
        armed=True,
    ),
    Bound(
        "switch",
        "W",
        "W",
        "switch…",
        "Blue-green: let what is staged take over.",
        screens=_on("rollout", "rollouts"),
        action=Action.SWITCH,
        armed=True,
        footer=False,
    ),
    Bound(
        "safe_mode",
        "S",
        "S",
        "safe mode…",
        "Put out the model's safe output only, or end that.",
        screens=_on("gateway", "gateways"),
        action=Action.SAFE_MODE,
        armed=True,
    ),
    Bound(
        "snapshot",
        "N",
        "N",
        "snapshot…",
        "Keep state, last windows and logs in one folder.",
        screens=_on("gateway", "gateways"),
        action=Action.SNAPSHOT,
        armed=True,
        footer=False,
    ),
    Bound(
        "ack", "k", "k", "ack", "I have seen this alarm.", screens=_on("alarms"), action=Action.ACK
    ),
    Bound(
        "shelve",
        "z",
        "z",
        "shelve…",
        "Not now: for at most a shift, with a reason.",
        screens=_on("alarms"),
        action=Action.SHELVE,
    ),
    Bound(
        "fold",
        "o",
        "o",
        "fold",
        "One row a cause, the alarm that came first; again: every alarm.",
        screens=_on("alarms"),
        footer=False,
    ),
    Bound(
        "say",
        "0,1,2,3,4,5,6,7,8,9",
        "0-9",
        "label",
        "What it was: 0 is normal, 1 to 9 are the classes in their order.",
        screens=_on("label"),
        action=Action.LABEL,
    ),
    Bound(
        "accept",
        "enter",
        "enter",
        "accept",
        "The proposal is right; next window.",
        screens=_on("label"),
        action=Action.LABEL,
    ),
    Bound(
        "unsure",
        "n",
        "n",
        "not sure",
        "Cannot be told; it is never trained on.",
        screens=_on("label"),
        action=Action.LABEL,
    ),
    Bound(
        "undo",
        "u",
        "u",
        "undo",
        "Take the last label back.",
        screens=_on("label"),
        action=Action.LABEL,
    ),
    Bound(
        "skip",
        "k",
        "k",
        "skip",
        "Leave this window for somebody else.",
        screens=_on("label"),
    ),
    Bound(
        "proposal",
        "space",
        "space",
        "proposal",
        "Hide or show what the model thinks.",
        screens=_on("label"),
    ),
    Bound("interrupt", "ctrl+c", "^c", "", "Says how to leave; it ends nothing.", footer=False),
    Bound("repaint", "ctrl+l", "^l", "repaint", "Draw everything anew.", footer=False),
    Bound("quit", "ctrl+q", "^q", "quit", "Leave; nothing on the plant changes.", footer=False),
)


def on_screen(screen: str) -> list[Bound]:
    """The keys that work on *screen*, in the order of the registry."""
    return [b for b in REGISTRY if screen in b.screens or b.screens == ANYWHERE]


def permitted(bound: Bound, who: WhoAmI | None) -> bool:
    """Whether the caller's roles allow it; the site proxy decides again at every call."""
    return bound.action is None or (who is not None and bound.action in who.may)


def footer(screen: str, who: WhoAmI | None, *, armed: bool) -> list[Bound]:
    """What the last line shows: only what works here, now, for this person; its own keys first."""
    shown = [
        b for b in on_screen(screen) if b.footer and permitted(b, who) and (armed or not b.armed)
    ]
    return sorted(shown, key=lambda b: (not b.armed, b.screens == ANYWHERE))


def find(name: str, screen: str) -> Bound | None:
    """The key called *name*, if it works on *screen*."""
    return next((b for b in on_screen(screen) if b.id == name), None)


def at_key(key: str, screen: str) -> Bound | None:
    """What *key* does on *screen*."""
    return next((b for b in on_screen(screen) if key in b.key.split(",")), None)


def why_not(bound: Bound, who: WhoAmI | None, *, armed: bool) -> str:
    """Why a key does nothing now, and what would help; empty where it works."""
    if not permitted(bound, who):
        return f"{bound.words.rstrip('…')}: your roles do not allow it; another person must"
    if bound.armed and not armed:
        return f"{bound.shown} is dead until you press e (arm)"
    return ""


def clashes(bounds: Iterable[Bound]) -> list[str]:
    """Keys that are bound twice on one screen; there must be none."""
    found = []
    everything = list(bounds)
    screens = {s for b in everything for s in b.screens} - ANYWHERE
    for screen in sorted(screens):
        seen: dict[str, str] = {}
        for bound in everything:
            if screen not in bound.screens and bound.screens != ANYWHERE:
                continue
            for key in bound.key.split(","):
                if key in seen:
                    found.append(f"{screen}: {key} is {seen[key]} and {bound.id}")
                seen[key] = bound.id
    return found
