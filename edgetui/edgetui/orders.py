"""What each dialog asks before something changes, and the call that follows from the answers.

A question is a value: facts to read, fields with their checks, and how to send it. The site proxy
checks everything again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_core.contracts.api import (
    AckRequest,
    AlarmView,
    GatewayView,
    ReasonRequest,
    SafeModeRequest,
    ShelveRequest,
    Snapshot,
)
from edge_core.contracts.rollout import RolloutView
from edgetui.client import Operator, part
from edgetui.present.lines import Line, Tone, join, say
from edgetui.present.rollout_page import (
    change,
    ladder,
    state_tone,
    state_words,
    way_back,
)
from edgetui.present.words import named

REASON_LETTERS: Final = (3, 500)
SHIFT_MINUTES: Final = 480

Typed = Mapping[str, str]
Check = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to type; `check` says what is wrong with it, or nothing."""

    name: str
    label: str
    check: Check
    kept: bool = True  # whether a draft remembers it: a second thought is typed again
    default: str = ""
    secret: bool = False  # shown as dots, and remembered nowhere


@dataclass(frozen=True, slots=True)
class Question:
    """One dialog.

    Attributes:
        about: what it is about, for drafts.
        title: what will be done.
        facts: what a person should have read, for a width.
        fields: what to type.
        send: the call, and what to say when it worked.
        fresh: whether it must not be sent while the site is STALE.
        again: the same question about what is there now, after it changed meanwhile.
    """

    about: str
    title: str
    facts: Callable[[int], Sequence[Line]]
    fields: tuple[Field, ...]
    send: Callable[[Operator, Typed], Awaitable[str]]
    fresh: bool = True
    again: Callable[[RolloutView], "Question"] | None = None
    seen: RolloutView | None = None


def _reason(text: str) -> str:
    least, most = REASON_LETTERS
    return "" if least <= len(text.strip()) <= most else f"expected {least} to {most} letters"


def _minutes(text: str) -> str:
    ok = text.strip().isdecimal() and 1 <= int(text) <= SHIFT_MINUTES
    return "" if ok else f"expected minutes, 1 to {SHIFT_MINUTES}"


REASON: Final = Field("reason", "reason, for the audit log", _reason)


ROLLOUT_WORDS: Final = {
    "hold": "no more permits are granted until it is resumed; who runs it goes on",
    "acknowledge": "this shift knows what will change; gateways in a safety zone may move",
    "cancel": "no gateway is moved any more; who has committed keeps the new model",
    "rollback": "every gateway that took the new model goes back; it needs no network",
    "switch": "every staged gateway asks for its permit, one cell a line; the old stays at hand",
}


def on_rollout(view: RolloutView, verb: str) -> Question:
    """Hold, cancel, switch or roll back a rollout, or acknowledge it for the shift."""

    async def send(site: Operator, typed: Typed) -> str:
        request = ReasonRequest(reason=typed["reason"].strip())
        now = await site.change(path_of(view, verb), request, RolloutView, etag=view.etag)
        return f"{now.id}: {verb} done, {state_words(now)}"

    return Question(
        about=f"{verb} {view.id}",
        title=f"{verb.upper()} {view.id}",
        facts=lambda cells: about_rollout(view, ROLLOUT_WORDS[verb], cells),
        fields=(REASON,),
        send=send,
        # What makes the plant safer is worth trying on any link.
        fresh=verb not in {"hold", "rollback"},
        again=lambda current: on_rollout(current, verb),
        seen=view,
    )


def about_rollout(
    view: RolloutView, means: str, cells: int, between: Sequence[Line] = ()
) -> list[Line]:
    """What an order means and what it is about; *between* stands before the way back."""
    return [
        say(f"means     {means}", cells),
        say(f"changes   {change(view)}", cells),
        say(f"cohorts   {ladder(view)}", cells),
        join((("state     ", Tone.PLAIN), (state_words(view), state_tone(view))), cells),
        *between,
        say(f"way back  {way_back(view)}", cells),
    ]


def gateway_rollback(view: GatewayView) -> Question:
    """Take the model of one gateway back."""

    async def send(site: Operator, typed: Typed) -> str:
        path = f"/v1/gateways/{part(view.place.serial)}/rollback"
        request = ReasonRequest(reason=typed["reason"].strip())
        await site.change(path, request, GatewayView, etag=view.etag)
        return f"{view.place.serial}: rollback ordered"

    back = view.references.previous_good if view.references else None
    return Question(
        about=f"rollback {view.place.serial}",
        title=f"ROLL BACK {view.place.serial}",
        facts=lambda cells: [
            *_where(view, cells),
            say(f"runs      {named(view.running, view.names)}", cells),
            say(f"goes to   {named(back, view.names)}", cells),
        ],
        fields=(REASON,),
        send=send,
        fresh=False,
    )


def safe_mode(view: GatewayView) -> Question:
    """Put one gateway into safe mode, or out of it."""
    on = not view.safe_mode_wanted

    async def send(site: Operator, typed: Typed) -> str:
        request = SafeModeRequest(on=on, reason=typed["reason"].strip(), serial=view.place.serial)
        await site.change("/v1/safe-mode", request, list[GatewayView])
        return f"{view.place.serial}: safe mode {'ordered' if on else 'ends'}"

    means = (
        "the model's safe output only, the model in shadow" if on else "the model decides again"
    )
    return Question(
        about=f"safe mode {view.place.serial}",
        title=f"SAFE MODE {'ON' if on else 'OFF'} {view.place.serial}",
        facts=lambda cells: [*_where(view, cells), say(f"means     {means}", cells)],
        fields=(REASON,),
        send=send,
        fresh=not on,
    )


def snapshot(view: GatewayView) -> Question:
    """Keep what a gateway knows, for whoever looks into it."""

    async def send(site: Operator, typed: Typed) -> str:
        path = f"/v1/gateways/{part(view.place.serial)}/snapshot"
        request = ReasonRequest(reason=typed["reason"].strip())
        taken = await site.change(path, request, Snapshot)
        return f"{view.place.serial}: snapshot {taken.id} asked for"

    return Question(
        about=f"snapshot {view.place.serial}",
        title=f"SNAPSHOT {view.place.serial}",
        facts=lambda cells: _where(view, cells),
        fields=(REASON,),
        send=send,
        fresh=False,
    )


def shelve(alarm: AlarmView) -> Question:
    """Put an alarm aside for a while."""

    async def send(site: Operator, typed: Typed) -> str:
        request = ShelveRequest(minutes=int(typed["minutes"]), reason=typed["reason"].strip())
        await site.change(f"/v1/alarms/{alarm.id}/shelve", request, AlarmView)
        return f"alarm {alarm.id}: shelved for {request.minutes} min"

    return Question(
        about=f"shelve {alarm.id}",
        title=f"SHELVE alarm {alarm.id}",
        facts=lambda cells: [
            say(f"what      {alarm.source}: {alarm.what}", cells),
            say(f"means     {alarm.consequence}", cells),
        ],
        fields=(Field("minutes", "minutes: 15, 60, 480 at most", _minutes), REASON),
        send=send,
    )


async def ack(site: Operator, alarm: AlarmView) -> str:
    """Say that an alarm was seen; it needs no reason."""
    await site.change(f"/v1/alarms/{alarm.id}/ack", AckRequest(), AlarmView)
    return f"alarm {alarm.id}: acknowledged"


def path_of(view: RolloutView, verb: str) -> str:
    """Where an order about a rollout goes."""
    return f"/v1/rollouts/{part(view.id)}/{verb}"


def _where(view: GatewayView, cells: int) -> list[Line]:
    place = view.place.position
    return [
        say(f"gateway   {view.place.serial}  {place.asset}  {place.line}  {place.cell}", cells)
    ]
