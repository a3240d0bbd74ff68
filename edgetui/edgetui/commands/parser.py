"""The grammar of the subcommands: names, arguments and help, and which body runs."""

import argparse
from datetime import datetime

from edge_core.command import Parser
from edge_core.contracts.api import AlarmState
from edge_core.contracts.rollout import ChangeType, Meaning
from edgetui.commands import act, look
from edgetui.commands.context import Body

TICKET_LETTERS_MAX = 64


def parser() -> Parser:
    """The whole grammar."""
    root = Parser(
        prog="edgetui",
        description="The models of a plant on a terminal. Without a command: the terminal UI.",
        epilog="Exit codes: 0 done, 2 usage, 3 refused, 4 no such thing, 5 not reachable, "
        "6 conflict, 75 try again, 77 not permitted.",
    )
    _shared(root)
    root.add_argument(
        "--plain",
        metavar="SCREEN",
        nargs="?",
        const="status",
        choices=["status", "rollouts", "gateways", "alarms", "queue", "audit"],
        help="print a screen as text and leave (default: status)",
    )
    root.add_argument("--low", action="store_true", help="a slow link: fewer, smaller updates")
    root.add_argument("--ascii", action="store_true", help="draw with ASCII letters only")
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    _looking(commands)
    _acting(commands)
    return root


def _shared(to: argparse.ArgumentParser) -> None:
    # SUPPRESS in a subcommand keeps what stood before it: `--json status` and `status --json`.
    default = None if to.prog == "edgetui" else argparse.SUPPRESS
    to.add_argument(
        "--socket",
        metavar="PATH",
        default=default,
        help="operator socket of the site proxy (else $EDGE_SOCKET)",
    )
    to.add_argument(
        "--json", action="store_true", default=default or False, help="one JSON document on stdout"
    )
    to.add_argument(
        "--width", type=int, metavar="CELLS", default=default, help="how wide a line may be"
    )
    to.add_argument(
        "--filter", metavar="TEXT", default=default, help="only rows that contain TEXT"
    )


Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse gives this type no public name


ROLLOUT_HELP = {
    "hold": "Hold a rollout: no more permits are granted until it is resumed.",
    "acknowledge": "Say that your shift knows what a rollout will change in a safety zone.",
    "cancel": "Cancel a rollout: no gateway is moved any more; who has committed stays.",
    "switch": "Switch a blue-green rollout: what is staged beside the present model takes over.",
}

ALARM_HELP = {
    "unshelve": "Take an alarm from the shelf before its time.",
    "reset": "Say that an alarm that latched was dealt with.",
    "retire": "Take an alarm out of service, until it is restored.",
    "restore": "Put an alarm into service again.",
}


def _command(commands: "Commands[Parser]", name: str, body: Body, words: str = "") -> Parser:
    words = words or (body.__doc__ or "").strip()
    made = commands.add_parser(name, help=words, description=words)
    _shared(made)
    made.set_defaults(body=body)
    return made


def _looking(commands: "Commands[Parser]") -> None:
    _command(commands, "status", look.status)
    _command(commands, "gateways", look.gateways)
    _command(commands, "gateway", look.gateway).add_argument("serial", metavar="SERIAL")
    _command(commands, "exceptions", look.exceptions)
    _command(commands, "rollouts", look.rollouts)
    _command(commands, "rollout", look.rollout).add_argument("id", metavar="ID")
    _command(commands, "gates", look.gates).add_argument("id", metavar="ID")
    _command(commands, "gate-checks", look.gate_checks)
    queue = _command(commands, "queue", look.queue)
    queue.add_argument("--state", choices=["open", "leased", "labelled", "expired"])
    queue.add_argument("--line", metavar="LINE")
    queue.add_argument("--asset", metavar="ASSET")
    queue.add_argument(
        "--export", action="store_true", help="every labelled window as JSON lines, for training"
    )
    alarms = _command(commands, "alarms", look.alarms)
    alarms.add_argument("--all", action="store_true", help="cleared ones as well")
    alarms.add_argument("--state", choices=[state.value for state in AlarmState])
    alarms.add_argument("--group", metavar="CAUSE", help="those of one cause")
    alarms.add_argument("--rates", action="store_true", help="the list in numbers instead")
    audit = _command(commands, "audit", look.audit)
    audit.add_argument("--after", type=int, metavar="SEQUENCE", help="only later events")
    audit.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (default 50)")
    _command(commands, "whoami", look.whoami)


def _acting(commands: "Commands[Parser]") -> None:
    _on_rollouts(commands)
    _on_gateways(commands)
    label = _command(commands, "label", act.label)
    label.add_argument("item", type=int, metavar="ITEM")
    label.add_argument("label", metavar="LABEL", nargs="?")
    label.add_argument("--undo", action="store_true", help="take the last label back")
    _on_alarms(commands)


def _on_rollouts(commands: "Commands[Parser]") -> None:
    approve = _command(commands, "approve", act.approve)
    approve.add_argument("id", metavar="ID")
    approve.add_argument("--ticket", required=True, type=_ticket, help="for example CHG-1042")
    approve.add_argument(
        "--type",
        type=ChangeType,
        choices=list(ChangeType),
        default=ChangeType.NORMAL,
        help="what kind of change it is (default: normal)",
    )
    approve.add_argument(
        "--until", type=_instant, metavar="INSTANT", help="when a temporary change ends"
    )
    approve.add_argument(
        "--meaning",
        type=Meaning,
        choices=[Meaning.REVIEWED, Meaning.APPROVED, Meaning.WITNESSED],
        default=Meaning.APPROVED,
        help="what you did (default: approved)",
    )
    approve.add_argument("--role", default="", help="the role that you sign for, if several")
    _secret(approve)
    approve.add_argument("--line", help="the line whose plan this is (default: its first)")
    approve.add_argument(
        "--plan", metavar="DIGEST", help="refuse if another plan stands there now"
    )
    _reason(approve)
    for name, words in ROLLOUT_HELP.items():
        made = _command(commands, name, act.on_rollout, words)
        made.add_argument("id", metavar="ID")
        _reason(made)
    resume = _command(commands, "resume", act.resume)
    resume.add_argument(
        "id", metavar="ID", nargs="?", help="its holds that a person can take away"
    )
    resume.add_argument("--gateway", metavar="SERIAL", help="one gateway in CONFLICT")
    resume.add_argument("--conflicts", action="store_true", help="every gateway in CONFLICT")
    _reason(resume)
    _secret(resume)
    revoke = _command(commands, "revoke", act.revoke)
    revoke.add_argument("id", metavar="ID")
    revoke.add_argument(
        "--roll-back", action="store_true", help="committed gateways go back as well"
    )
    _reason(revoke)
    pin = _command(commands, "pin", act.pin)
    pin.add_argument("--reset", metavar="USER", help="take away the PIN of USER; for admins")
    _reason(pin, default="")
    _secret(pin)


def _on_gateways(commands: "Commands[Parser]") -> None:
    dead = _command(commands, "declare-dead", act.declare_dead)
    dead.add_argument("serial", metavar="SERIAL")
    _reason(dead)
    gone = _command(commands, "decommission", act.decommission)
    gone.add_argument("serial", metavar="SERIAL")
    gone.add_argument("--by", metavar="SERIAL", help="who stands in its place now")
    _reason(gone)
    rollback = _command(commands, "rollback", act.rollback)
    rollback.add_argument("id", metavar="ID", nargs="?")
    rollback.add_argument("--gateway", metavar="SERIAL")
    _reason(rollback)
    safe = _command(commands, "safe-mode", act.safe_mode)
    safe.add_argument("serial", metavar="SERIAL", nargs="?")
    safe.add_argument("switch", choices=["on", "off"])
    safe.add_argument("--line", metavar="LINE")
    _reason(safe)
    snapshot = _command(commands, "snapshot", act.snapshot)
    snapshot.add_argument("serial", metavar="SERIAL")
    _reason(snapshot, default="asked for by an operator")


def _on_alarms(commands: "Commands[Parser]") -> None:
    ack = _command(commands, "ack", act.ack)
    ack.add_argument("alarm", type=int, metavar="ALARM")
    _reason(ack, default="")
    shelve = _command(commands, "shelve", act.shelve)
    shelve.add_argument("alarm", type=int, metavar="ALARM")
    shelve.add_argument("--minutes", type=int, required=True, metavar="N", help="1 to 480")
    _reason(shelve)
    for name, words in ALARM_HELP.items():
        made = _command(commands, name, act.on_alarm, words)
        made.add_argument("alarm", type=int, metavar="ALARM")
        _reason(made)
    maintenance = _command(commands, "maintenance", act.maintenance)
    maintenance.add_argument("line", metavar="LINE", nargs="?")
    maintenance.add_argument("--minutes", type=int, metavar="N", help="1 to 480")
    maintenance.add_argument("--end", action="store_true", help="the work is done")
    _reason(maintenance, default="")


def _reason(to: argparse.ArgumentParser, default: str | None = None) -> None:
    to.add_argument(
        "--reason",
        required=default is None,
        default=default,
        metavar="TEXT",
        help="why, in your words; it goes into the audit log",
    )


def _secret(to: argparse.ArgumentParser) -> None:
    # A PIN is no argument: everybody on the machine can list those.
    to.add_argument("--pin-file", metavar="FILE", help="a PIN a line, mode 0600")
    to.add_argument("--pin-fd", type=int, metavar="N", help="read the PIN from that descriptor")


def _ticket(text: str) -> str:
    if not 1 <= len(text.strip()) <= TICKET_LETTERS_MAX:
        raise argparse.ArgumentTypeError(
            f"expected a ticket such as CHG-1042, found {text[:40]!r}"
        )
    return text.strip()


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"expected a time with its zone such as 2026-12-24T06:00Z, found {text[:40]!r}"
        )
    return moment
