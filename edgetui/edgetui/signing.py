"""What people sign with their name: a plan, a waived gate, taking back, and their own PIN."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from edge_core.contracts.errors import UsageError
from edge_core.contracts.rollout import ChangeType, Hold, Meaning, RolloutView
from edge_core.contracts.shown import shown_digest
from edge_core.contracts.signing import (
    ApproveRequest,
    PinRequest,
    PinResetRequest,
    PinView,
    RevokeRequest,
    WaiveRequest,
)
from edgetui.client import Operator
from edgetui.orders import REASON, Check, Field, Question, Typed, about_rollout, path_of
from edgetui.present.lines import Line, Tone, join, say, whole
from edgetui.present.rollout_page import (
    VERDICT_TONES,
    change,
    change_words,
    ladder,
    least,
    signing_facts,
    state_tone,
    state_words,
    way_back,
)
from edgetui.present.words import VERDICT_WORDS, number, short

GATES: Final = frozenset({Hold.GATE_FAIL, Hold.GATE_INCONCLUSIVE})
PIN: Final = re.compile(r"[0-9]{6,12}\Z")
MEANINGS: Final = (Meaning.APPROVED, Meaning.REVIEWED, Meaning.WITNESSED)
CHOICES: Final = {"stay": False, "go back": True}
TYPES: Final = "normal, like_for_like, emergency, or temporary and its end"


def _ticket(pattern: str) -> Check:
    def check(text: str) -> str:
        if re.fullmatch(pattern, text.strip()):
            return ""
        return f"expected a ticket of the form {pattern}"

    return check


def _one_of(names: Sequence[str], what: str) -> Check:
    def check(text: str) -> str:
        return "" if text.strip() in names else f"expected {what}: {' or '.join(names) or '-'}"

    return check


def _pin(text: str) -> str:
    return "" if PIN.match(text) else "expected 6 to 12 digits"


def pin_of(text: str) -> str:
    """*text* as a PIN.

    Raises:
        UsageError: it is none; the message does not repeat it.
    """
    if wrong := _pin(text):
        raise UsageError(f"PIN: {wrong}, found something else")
    return text


def _old_pin(text: str) -> str:
    return _pin(text) if text else ""


def change_of(text: str) -> tuple[ChangeType, datetime | None]:
    """The kind of change that was typed, and the end of a temporary one: in UTC without a zone.

    Raises:
        ValueError: it is neither.
    """
    word, _, end = text.strip().partition(" ")
    kind = ChangeType(word)
    if not end.strip():
        return kind, None
    until = datetime.fromisoformat(end.strip())
    return kind, until if until.tzinfo else until.replace(tzinfo=UTC)


def _change(text: str) -> str:
    try:
        kind, until = change_of(text)
    except ValueError:
        return f"expected {TYPES}, such as temporary 2026-12-24T06:00"
    if (kind is ChangeType.TEMPORARY) is not (until is not None):
        return "expected an end of a temporary change, and of no other"
    return ""


PIN_FIELD: Final = Field("pin", "your PIN", _pin, kept=False, secret=True)


def approve(view: RolloutView) -> Question:
    """Yes to exactly this plan."""

    async def send(site: Operator, typed: Typed) -> str:
        kind, until = change_of(typed["type"])
        request = ApproveRequest(
            ticket=typed["ticket"].strip(),
            reason=typed["reason"].strip(),
            plan_digest=view.plan_digest,
            line=typed["line"].strip(),
            meaning=Meaning(typed["meaning"].strip()),
            change=kind,
            until=until,
            shown=shown_digest(view),
            pin=typed.get("pin"),
        )
        now = await site.change(path_of(view, "approve"), request, RolloutView, etag=view.etag)
        return f"{now.id}: signed, {state_words(now)}"

    lines = f"type the line's name: {' / '.join(view.lines) or '-'}"
    return Question(
        about=f"approve {view.id}",
        title=f"APPROVE {view.id}",
        facts=lambda cells: approval_facts(view, cells),
        fields=(
            Field("line", lines, _one_of(view.lines, "the name"), kept=False),
            Field("ticket", "ticket", _ticket(view.ticket_pattern)),
            REASON,
            *([PIN_FIELD] if view.pin_needed else []),
            Field("type", "type of change", _change, default=_type_so_far(view)),
            Field(
                "meaning",
                f"you have: {', '.join(MEANINGS)}",
                _one_of(MEANINGS, "one of"),
                default=Meaning.APPROVED,
            ),
        ),
        send=send,
        again=approve,
        seen=view,
    )


def _type_so_far(view: RolloutView) -> str:
    """What the first signer called it, which the others have to sign as well."""
    if view.change is None:
        return ChangeType.NORMAL.value
    ends = [each.until for each in view.approvals if each.until is not None]
    return f"{view.change.value} {ends[-1].isoformat()}" if ends else view.change.value


def approval_facts(view: RolloutView, cells: int) -> list[Line]:
    """What somebody signs: the plan's digest, what changes, the gates now, the way back."""
    moving = f"{sum(len(cohort.members) for cohort in view.cohorts)} gateways{least(view)}"
    return [
        *whole("plan      ", view.plan_digest, cells),
        say(f"changes   {change(view)}, {moving}, {', '.join(view.lines)}", cells),
        *whole("release   ", view.release.digest, cells),
        say(f"cohorts   {ladder(view)}", cells),
        join((("state     ", Tone.PLAIN), (state_words(view), state_tone(view))), cells),
        *_gates_now(view, cells),
        say(f"way back  {way_back(view)}", cells),
        say(f"signed    {_signed(view)}, made by {view.author}{_under(view)}", cells),
        *signing_facts(view, cells),
    ]


def _signed(view: RolloutView) -> str:
    yes = f"{len(view.approvals)} of {view.approvals_needed}"
    return f"{yes} as {change_words(view)}" if view.approvals else yes


def _under(view: RolloutView) -> str:
    """Upstream's signed plan, where there is one; on the same line, since there is no other."""
    signed = view.signed
    return "" if signed is None else f", under plan {signed.sequence} {short(signed.digest)}"


def _gates_now(view: RolloutView, cells: int) -> list[Line]:
    rows = [m for report in view.gates for m in report.measurements]
    if not rows:
        return [say("gates     none asked yet", cells)]
    parts = [("gates     ", Tone.PLAIN)]
    for row in rows:
        words = f"{row.gate.replace('_', ' ')} {VERDICT_WORDS[row.verdict]}"
        value = f" {number(row.value, row.unit)}/{number(row.limit, row.unit)}  "
        parts += [(words, VERDICT_TONES[row.verdict]), (value, Tone.PLAIN)]
    return [join(parts, cells)]


def resume(view: RolloutView) -> Question:
    """Take holds away; where a gate holds, sign that it is waived."""
    gates = bool(GATES & set(view.holds))
    means = "the operator's hold goes; other holds stay"
    if gates:
        signed = ", ".join(each.who for each in view.waivers) or "nobody"
        means = (
            f"the gate is waived by {view.waivers_needed}, signed by {signed}; its cohort moves on"
        )

    async def send(site: Operator, typed: Typed) -> str:
        request = WaiveRequest(
            reason=typed["reason"].strip(),
            shown=shown_digest(view) if gates else None,
            pin=typed.get("pin"),
        )
        now = await site.change(path_of(view, "resume"), request, RolloutView, etag=view.etag)
        return f"{now.id}: resume done, {state_words(now)}"

    return Question(
        about=f"resume {view.id}",
        title=f"{'WAIVE THE GATE OF' if gates else 'RESUME'} {view.id}",
        facts=lambda cells: about_rollout(view, means, cells, _gates_now(view, cells)),
        fields=(REASON, *([PIN_FIELD] if gates and view.pin_needed else [])),
        send=send,
        again=resume,
        seen=view,
    )


def revoke(view: RolloutView) -> Question:
    """Take every signature back."""

    async def send(site: Operator, typed: Typed) -> str:
        request = RevokeRequest(
            reason=typed["reason"].strip(), roll_back=CHOICES[typed["committed"].strip()]
        )
        now = await site.change(path_of(view, "revoke"), request, RolloutView, etag=view.etag)
        return f"{now.id}: revoke done, {state_words(now)}"

    means = "no more permits, unused ones are void; trials run to their own end"
    signers = ", ".join(each.who for each in view.approvals) or "nobody"
    return Question(
        about=f"revoke {view.id}",
        title=f"REVOKE THE APPROVAL OF {view.id}",
        facts=lambda cells: about_rollout(
            view, means, cells, [say(f"signed    {signers}", cells)]
        ),
        fields=(
            Field(
                "committed",
                f"committed gateways: {' / '.join(CHOICES)}",
                _one_of([*CHOICES], "one of"),
                kept=False,
            ),
            REASON,
        ),
        send=send,
        # What makes the plant safer is worth trying on any link.
        fresh=False,
        again=revoke,
        seen=view,
    )


def pin() -> Question:
    """A new PIN for whoever sits here."""

    async def send(site: Operator, typed: Typed) -> str:
        if typed["new"] != typed["again"]:
            raise UsageError("new PIN: expected the same twice, found two")
        request = PinRequest(new=typed["new"], old=typed["old"] or None)
        view = await site.change("/v1/pin", request, PinView)
        return f"{view.user}: the new PIN counts from now on"

    def secret(name: str, label: str, check: Check) -> Field:
        return Field(name, label, check, kept=False, secret=True)

    return Question(
        about="pin",
        title="YOUR PIN",
        facts=lambda cells: [
            say("means     it stands for you under what you sign; nobody else may know it", cells)
        ],
        fields=(
            secret("old", "old PIN, if you have one", _old_pin),
            secret("new", "new PIN, 6 to 12 digits", _pin),
            secret("again", "new PIN again", _pin),
        ),
        send=send,
        fresh=False,
    )


def pin_reset() -> Question:
    """Take away the PIN of somebody who forgot it."""

    async def send(site: Operator, typed: Typed) -> str:
        request = PinResetRequest(user=typed["user"].strip(), reason=typed["reason"].strip())
        view = await site.change("/v1/pin/reset", request, PinView)
        return f"{view.user}: has no PIN any more, and sets a new one"

    return Question(
        about="pin reset",
        title="RESET A PIN",
        facts=lambda cells: [
            say("means     they cannot sign until they have set a new one themselves", cells)
        ],
        fields=(
            Field("user", "user", lambda text: "" if text.strip() else "expected a user's name"),
            REASON,
        ),
        send=send,
        fresh=False,
    )
