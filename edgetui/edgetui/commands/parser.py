"""The grammar of the subcommands: names, arguments and help, and which body runs."""

import argparse
import re

from edge_core.command import Parser
from edgetui.commands import act, look
from edgetui.commands.context import Body

TICKET = re.compile(r"[A-Z][A-Z0-9]{1,9}-[0-9]{1,10}\Z")


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
    "cancel": "Cancel a rollout: no gateway is moved any more; who has committed stays.",
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
    queue = _command(commands, "queue", look.queue)
    queue.add_argument("--state", choices=["open", "leased", "labelled", "expired"])
    queue.add_argument("--line", metavar="LINE")
    queue.add_argument("--asset", metavar="ASSET")
    queue.add_argument(
        "--export", action="store_true", help="every labelled window as JSON lines, for training"
    )
    alarms = _command(commands, "alarms", look.alarms)
    alarms.add_argument("--all", action="store_true", help="cleared ones as well")
    audit = _command(commands, "audit", look.audit)
    audit.add_argument("--after", type=int, metavar="SEQUENCE", help="only later events")
    audit.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (default 50)")
    _command(commands, "whoami", look.whoami)


def _acting(commands: "Commands[Parser]") -> None:
    approve = _command(commands, "approve", act.approve)
    approve.add_argument("id", metavar="ID")
    approve.add_argument("--ticket", required=True, type=_ticket, help="for example CHG-1042")
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
    dead = _command(commands, "declare-dead", act.declare_dead)
    dead.add_argument("serial", metavar="SERIAL")
    _reason(dead)
    retire = _command(commands, "retire", act.retire)
    retire.add_argument("serial", metavar="SERIAL")
    retire.add_argument("--by", metavar="SERIAL", help="who stands in its place now")
    _reason(retire)
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
    label = _command(commands, "label", act.label)
    label.add_argument("item", type=int, metavar="ITEM")
    label.add_argument("label", metavar="LABEL", nargs="?")
    label.add_argument("--undo", action="store_true", help="take the last label back")
    ack = _command(commands, "ack", act.ack)
    ack.add_argument("alarm", type=int, metavar="ALARM")
    _reason(ack, default="")
    shelve = _command(commands, "shelve", act.shelve)
    shelve.add_argument("alarm", type=int, metavar="ALARM")
    shelve.add_argument("--minutes", type=int, required=True, metavar="N", help="1 to 480")
    _reason(shelve)


def _reason(to: argparse.ArgumentParser, default: str | None = None) -> None:
    to.add_argument(
        "--reason",
        required=default is None,
        default=default,
        metavar="TEXT",
        help="why, in your words; it goes into the audit log",
    )


def _ticket(text: str) -> str:
    if not TICKET.match(text):
        raise argparse.ArgumentTypeError(
            f"expected a ticket such as CHG-1042, found {text[:40]!r}"
        )
    return text
