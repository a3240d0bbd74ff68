"""Every alarm that this site can raise, and how each is meant to behave; pure.

The master alarm database of ISA-18.2, clause 6: an alarm's key says which kind it is. What it says
and how grave it is comes with the call; delays, latching, and what can be done are the kind's.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

FLOOD_KEY = "site/flood"
OFFLINE_KEY = "telemetry-outage"


@dataclass(frozen=True, slots=True)
class Delays:
    """For how long a cause must stand before it is an alarm, and be gone before it is none."""

    on: timedelta = timedelta(0)
    off: timedelta = timedelta(0)


NONE = Delays()
# A heartbeat that comes and goes, or a disk at its limit, is one alarm and not one a minute.
FLAPS = Delays(off=timedelta(minutes=1))
CLOCK = Delays(on=timedelta(seconds=30), off=timedelta(minutes=1))
# What piled up behind a link that is back gets two minutes to sort itself out.
LINK = Delays(off=timedelta(minutes=2))
# A gateway that starts anew needs a minute to say again what it said before.
INSTRUMENT = Delays(off=timedelta(minutes=3))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alarm.

    Attributes:
        name: in CamelCase, as Alertmanager's users write alert names.
        pattern: of the key; `serial`, `line`, `rollout` and `name` are what it speaks of.
        actions: commands that can be typed, with the pattern's groups in braces.
        delays: against a cause that flaps.
        latches: it stays until a person resets it, because that it once was so matters.
        by_hand: nothing but a person can say that its cause is gone.
        needs_wan: expected while the site is offline.
        group: what alarms of one cause share, with the pattern's groups and `line` in braces.
    """

    name: str
    pattern: str
    actions: tuple[str, ...]
    delays: Delays = NONE
    latches: bool = False
    by_hand: bool = False
    needs_wan: bool = False
    group: str = ""


_ROLLOUT = (
    "edgetui rollout {rollout}",
    "edgetui gates {rollout}",
    'edgetui rollback {rollout} --reason "REASON"',
)
_GATEWAY = (
    "edgetui gateway {serial}",
    'edgetui snapshot {serial} --reason "REASON"',
    'edgetui rollback --gateway {serial} --reason "REASON"',
    'edgetui safe-mode {serial} on --reason "REASON"',
)
_TELEMETRY = ("edgetui status", "site-proxy wal stat")
KINDS = (
    Kind("EdgeGateFailed", r"rollout/(?P<rollout>[^/]+)/gate", _ROLLOUT),
    Kind(
        "EdgeRollbackFailed",
        r"rollout/(?P<rollout>[^/]+)/rollback",
        _ROLLOUT[:1],
        by_hand=True,
    ),
    Kind(
        "EdgeRolloutBlast",
        r"rollout/(?P<rollout>[^/]+)/blast",
        (*_ROLLOUT, "edgetui gateways"),
    ),
    Kind(
        "EdgeGateInconclusive",
        r"rollout/(?P<rollout>[^/]+)/inconclusive",
        (*_ROLLOUT, 'edgetui resume {rollout} --reason "REASON"'),
    ),
    Kind(
        "EdgeRolloutApproval",
        r"rollout/(?P<rollout>[^/]+)/approval",
        (
            "edgetui rollout {rollout}",
            'edgetui approve {rollout} --ticket TICKET --reason "REASON"',
            'edgetui revoke {rollout} --reason "REASON"',
        ),
    ),
    Kind(
        "EdgeRolloutRejected",
        r"rollout/(?P<rollout>[^/]+)/rejected",
        ("edgetui rollout {rollout}", "edgetui gateways"),
        by_hand=True,
    ),
    Kind("EdgeOperatorOverrides", r"rollout/(?P<rollout>[^/]+)/overrides", _ROLLOUT),
    Kind(
        "EdgeReleaseRefused",
        r"release/(?P<name>.+)/refused",
        ("edgetui audit --filter release.refused",),
        by_hand=True,
    ),
    Kind(
        "EdgeGatewayFailSafe",
        r"gateway/(?P<serial>[^/]+)/fail_safe",
        _GATEWAY,
    ),
    Kind(
        "EdgeDigestMismatch",
        r"gateway/(?P<serial>[^/]+)/digest",
        _GATEWAY,
        latches=True,
        group="{line} digest",
    ),
    Kind(
        "EdgeGatewayFaults",
        r"gateway/(?P<serial>[^/]+)/faults",
        _GATEWAY[:2],
        delays=FLAPS,
        group="{line} faults",
    ),
    Kind(
        "EdgeBadInput",
        r"gateway/(?P<serial>[^/]+)/input(?:s|/(?P<name>[^/]+))",
        _GATEWAY[:2],
        delays=INSTRUMENT,
        group="{line} input",
    ),
    Kind(
        "EdgeGatewaysSilent",
        r"line/(?P<line>[^/]+)/silent",
        ("edgetui gateways --filter {line}",),
        delays=FLAPS,
        group="{line} silent",
    ),
    Kind(
        "EdgeGatewaysSuspect",
        r"line/(?P<line>[^/]+)/suspect",
        ("edgetui exceptions --filter suspect", "edgetui gateways --filter {line}"),
        delays=FLAPS,
        group="{line} suspect",
    ),
    Kind(
        "EdgePairOnTrial",
        r"gateway/(?P<serial>[^/]+)/alone",
        (
            "edgetui gateway {serial}",
            'edgetui rollback --gateway {serial} --reason "REASON"',
            "edgetui gateways",
        ),
        delays=FLAPS,
    ),
    Kind("EdgeAuditUnwritable", "site/audit", ("edgetui status",), delays=FLAPS),
    Kind("EdgeClockUnsynchronised", "site/clock", ("edgetui status",), delays=CLOCK),
    Kind(
        "EdgeSiteConflict",
        "site/conflict",
        ("edgetui gateways", 'edgetui resume --conflicts --reason "REASON"'),
    ),
    Kind("EdgeGateCheck", "site/gate-check", ("edgetui gate-checks",)),
    Kind("EdgeAlarmFlood", FLOOD_KEY, ("edgetui alarms", "edgetui alarms --rates")),
    Kind("EdgeSiteOffline", OFFLINE_KEY, _TELEMETRY, delays=LINK),
    Kind("EdgeTelemetryPaused", "telemetry-paused", _TELEMETRY),
    Kind(
        "EdgeTelemetryDeadLetters",
        "telemetry-dead-letters",
        ("site-proxy wal stat",),
        by_hand=True,
    ),
    Kind("EdgeTelemetryBuffer", "telemetry-buffer", _TELEMETRY, delays=FLAPS, needs_wan=True),
    Kind("EdgeMirrorChannel", "mirror-channel", ("edgetui alarms",), latches=True),
    Kind("EdgeMirrorPlan", "mirror-plan", ("edgetui alarms",), latches=True),
    Kind("EdgeMirrorExpired", "mirror-expired", ("edgetui status",), needs_wan=True),
    Kind(
        "EdgePagesUndelivered",
        r"pages/(?P<name>[^/]+)",
        ("site-proxy page-test --receiver {name}",),
        delays=FLAPS,
    ),
)
_OTHER = Kind("EdgeAlarm", ".*", ("edgetui alarms",))
_PATTERNS = tuple((re.compile(kind.pattern), kind) for kind in KINDS)
_BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Meant:
    """What a key means: its kind, the line it is about, what it shares, and what can be done."""

    kind: Kind
    line: str
    group: str
    actions: list[str]


def meant(key: str, line_of: Callable[[str], str]) -> Meant:
    """What the alarm *key* is; *line_of* gives the line of a serial, "" where it is unknown."""
    kind, words = _found(key)
    line = words.get("line") or line_of(words.get("serial", ""))
    facts = {**words, "line": line}
    group = kind.group.format(**facts) if kind.group else key
    typed = {name: shlex.quote(word) for name, word in facts.items()}
    return Meant(kind, line, group, [action.format(**typed) for action in kind.actions])


def delays_of(kind: str) -> Delays:
    """The delays of a kind by its name; none for one that an older version raised."""
    found = _BY_NAME.get(kind)
    return NONE if found is None else found.delays


def _found(key: str) -> tuple[Kind, dict[str, str]]:
    for pattern, kind in _PATTERNS:
        match = pattern.fullmatch(key)
        if match is not None:
            return kind, match.groupdict()
    return _OTHER, {}
