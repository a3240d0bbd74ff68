"""What the site notes of one gateway beside what it reports; pure.

    CONFLICT    it was told more than this site remembers; until a person resumes it
    DRIFT       its worker runs another model than its record says; until it no longer does
    DEAD        a person says that it will not come back as it is; until it is heard again

A gateway in conflict keeps what it runs: it gets no assignment and no permit. Where a copy of the
site's state was restored, or a second site proxy is at work, that is how either shows.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Desired, StatusReport
from edge_core.contracts.plant import Instant
from edge_site_proxy.fleet.sightings import Sighting


class Mark(Struct, frozen=True, kw_only=True):
    """One thing noted: since when, why, and by whom where a person said it."""

    since: Instant
    why: str
    who: str = ""


class Marks(Struct, frozen=True, kw_only=True):
    """All that is noted of one gateway."""

    conflict: Mark | None = None
    drift: Mark | None = None
    dead: Mark | None = None


UNMARKED = Marks()


def conflict_of(
    report: StatusReport, told: Desired | None, epoch: int, attempts: Mapping[Digest, int]
) -> str:
    """In what *report* knows more than this site, in words; nothing where it does not.

    Args:
        report: the newest of the gateway.
        told: what this site last told it.
        epoch: of this site.
        attempts: the newest attempt of each release that this site ever ordered there.
    """
    generation = 0 if told is None else told.generation
    found = []
    if report.generation_seen > generation:
        found.append(f"it has seen generation {report.generation_seen}, here is {generation}")
    if report.epoch_seen > epoch:
        found.append(f"it has seen epoch {report.epoch_seen}, here is {epoch}")
    update = report.update
    known = None if update is None else attempts.get(update.digest)
    if update is not None and known is not None and update.attempt > known:
        found.append(f"it made attempt {update.attempt} of a release, here is {known}")
    return "; ".join(found)


def drift_of(sighting: Sighting) -> str:
    """In what the worker differs from the record while nothing is being changed, in words."""
    report = sighting.report
    if any(sighting.flying(digest) for digest in sighting.attempts):
        return ""
    if report.running not in {None, report.effective}:
        return f"it says it runs {report.effective}, its worker loaded {report.running}"
    held = {None, report.references.committed, report.references.candidate}
    if report.effective not in held:
        return f"it runs {report.effective}, committed is {report.references.committed}"
    return ""


def noted(
    marks: Marks, old: Sighting | None, new: Sighting, conflict: str, now: datetime
) -> Marks:
    """The marks after what is believed of a gateway went from *old* to *new*.

    Args:
        marks: before.
        old: believed before.
        new: believed now.
        conflict: from `conflict_of`.
        now: wall time.
    """
    if conflict and marks.conflict is None:
        marks = replace(marks, conflict=Mark(since=now, why=conflict))
    drift = drift_of(new)
    if drift and marks.drift is None:
        marks = replace(marks, drift=Mark(since=now, why=drift))
    if marks.drift is not None and not drift and new.report.running is not None:
        marks = replace(marks, drift=None)
    if marks.dead is not None and (old is None or new.key > old.key):
        marks = replace(marks, dead=None)
    return marks
