"""Go anywhere: the actions of a screen and the names of things, by a few of their letters."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetui.feed import Seen
from edgetui.keys.registry import on_screen
from edgetui.present.lines import Target
from edgetui.present.words import inert

FOUND_MAX = 50


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to go to or to do; `kind` of an action is `key`."""

    words: str
    target: Target


def everything(screen: str, seen: Seen) -> list[Found]:
    """What can be done here, and all rollouts, gateways, lines and alarms."""
    found = [
        Found(f"{b.shown:<8} {b.words}: {b.help}", Target("key", b.id))
        for b in on_screen(screen)
        if b.id not in {"palette", "up", "needed", "say"}
    ]
    if seen.overview is not None:
        found += [
            Found(
                f"rollout  {r.id}  {r.release.model} {r.release.version}", Target("rollout", r.id)
            )
            for r in seen.overview.rollouts
        ]
        found += [
            Found(f"line     {line.line}", Target("line", line.line))
            for line in seen.overview.lines
        ]
        found += [
            Found(f"alarm    {a.id}  {a.source}: {a.what}", Target("alarm", str(a.id)))
            for a in seen.overview.alarms
        ]
    found += [
        Found(f"gateway  {serial}  {view.place.position.asset}", Target("gateway", serial))
        for serial, view in seen.gateways.items()
    ]
    return found


def matching(query: str, among: Sequence[Found]) -> list[Found]:
    """Those that contain every word of *query*, names that begin with it first."""
    wanted = query.casefold().split()
    hits = [f for f in among if all(word in inert(f.words).casefold() for word in wanted)]
    first = wanted[0] if wanted else ""
    return sorted(hits, key=lambda f: not f.target.name.casefold().startswith(first))[:FOUND_MAX]
