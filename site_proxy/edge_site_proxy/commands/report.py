"""`site-proxy audit report`: what auditors ask for, from the log or from an export."""

import argparse
from contextlib import AbstractContextManager

from sqlite_utils import Database

from edge_core.command import emit, tell
from edge_core.contracts.errors import UsageError
from edge_site_proxy.audit.reports.write import Question, Report, opened_export, write_report
from edge_site_proxy.commands.audit import instant, opened_log, verifier_key

REPORTS = tuple(each.value for each in Report)


def body(chosen: argparse.Namespace) -> int:
    """Write one report into a folder.

    Raises:
        UsageError: an option that this report has no use for, or lacks.
    """
    question = _question(chosen)
    with _source(chosen) as (db, public):
        wrote = write_report(db, public, chosen.to, question)
    if chosen.json:
        emit({"report": question.report, "folder": str(wrote.folder), "rows": wrote.rows})
    counts = ", ".join(f"{count} {name}" for name, count in wrote.rows.items())
    tell("site-proxy", f"wrote {counts} to {wrote.folder}")
    return 0


def _question(chosen: argparse.Namespace) -> Question:
    report = Report(chosen.report)
    if (report is Report.CHANGE) != bool(chosen.change):
        raise UsageError("--change ID: expected with the report `change`, and with no other")
    times = {
        name: None if (text := getattr(chosen, name)) is None else instant(f"--{name}", text)
        for name in ("since", "until", "at")
    }
    return Question(report=report, change=chosen.change or "", **times)


def _source(
    chosen: argparse.Namespace,
) -> AbstractContextManager[tuple[Database, str]]:
    if chosen.log is None:
        return opened_log(chosen)
    return opened_export(chosen.log, None if chosen.key is None else verifier_key(chosen.key))
