"""What is believed of one gateway: a merge of its reports that no order or repeat can change.

Every part is the maximum over the reports seen, by (boot epoch, sequence), so late, lost, doubled
and reordered reports end in the same belief (S14). Pure.
"""

import msgspec
from msgspec import Struct

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import StatusReport, UpdateReport, UpdateState

DIGESTS_KEPT = 8  # attempts remembered a gateway: the present one, and late evidence of others
ORDERED = "ordered"  # a gateway's word for what it did because somebody said so

IN_FLIGHT = frozenset({UpdateState.ACTIVATING, UpdateState.TRIAL, UpdateState.ROLLING_BACK})
WENT_BACK = frozenset(
    {UpdateState.ROLLED_BACK, UpdateState.ROLLBACK_FAILED, UpdateState.FAIL_SAFE}
)

Key = tuple[int, int]


class Attempt(Struct, frozen=True, kw_only=True):
    """The newest word about one release on this gateway."""

    key: Key
    update: UpdateReport


class Setup(Struct, frozen=True, kw_only=True):
    """What one gateway last said of its configuration: its digest, and the tags it reads."""

    key: Key
    config: Digest
    inputs: list[str]


class Sighting(Struct, frozen=True, kw_only=True):
    """One gateway as believed. `vetoes` are never unsaid: a veto of a release stays one."""

    key: Key
    report: StatusReport
    attempts: dict[Digest, Attempt] = {}
    vetoes: dict[Digest, str] = {}
    setup: Setup | None = None

    def flying(self, digest: Digest) -> bool:
        """Whether the newest report of all says that *digest* is being changed to or from."""
        attempt = self.attempts.get(digest)
        return (
            attempt is not None and attempt.key == self.key and attempt.update.state in IN_FLIGHT
        )

    @property
    def suspected(self) -> frozenset[Digest]:
        """Releases that anything here may speak against; a look at the rest is saved."""
        report = self.report
        found = set(self.vetoes)
        found |= {
            digest for digest, each in self.attempts.items() if each.update.state in WENT_BACK
        }
        if report.effective is not None and report.running not in {None, report.effective}:
            found.add(report.effective)
        return frozenset(found)

    def update(self, digest: Digest) -> UpdateReport | None:
        """The newest word about *digest*, if any was said."""
        attempt = self.attempts.get(digest)
        return None if attempt is None else attempt.update


def sighted(report: StatusReport) -> Sighting:
    """What one report alone says."""
    key = (report.boot_epoch, report.sequence)
    update = report.update
    attempts: dict[Digest, Attempt] = {}
    vetoes: dict[Digest, str] = {}
    if update is not None:
        attempts[update.digest] = Attempt(key=key, update=update)
        if update.veto is not None and not _by_order(update):
            vetoes[update.digest] = f"{update.veto}: {update.reason}"[:300]
    setup = None
    if report.config is not None and report.inputs:
        setup = Setup(key=key, config=report.config, inputs=report.inputs)
    slim = msgspec.structs.replace(report, health=[], inputs=[])
    return Sighting(key=key, report=slim, attempts=attempts, vetoes=vetoes, setup=setup)


def _by_order(update: UpdateReport) -> bool:
    """Whether it left, or could not leave, because it was told to: nothing against the release."""
    return update.veto == ORDERED or update.state is UpdateState.ROLLBACK_FAILED


def merge(left: Sighting | None, right: Sighting) -> Sighting:
    """Both together; commutative, associative, and idempotent."""
    if left is None:
        return right
    newest = max(left, right, key=lambda each: (each.key, _encoded(each.report)))
    attempts = dict(left.attempts)
    for digest, attempt in right.attempts.items():
        known = attempts.get(digest)
        attempts[digest] = attempt if known is None else max(known, attempt, key=_order)
    kept = sorted(attempts, key=lambda digest: (*_order(attempts[digest]), digest))[-DIGESTS_KEPT:]
    vetoes = dict(left.vetoes)
    for digest, veto in right.vetoes.items():
        vetoes[digest] = max(vetoes.get(digest, ""), veto)
    setups = [each.setup for each in (left, right) if each.setup is not None]
    return Sighting(
        key=newest.key,
        report=newest.report,
        attempts={digest: attempts[digest] for digest in sorted(kept)},
        vetoes={digest: vetoes[digest] for digest in sorted(vetoes)},
        setup=max(setups, key=lambda each: (each.key, _encoded(each)), default=None),
    )


def _order(attempt: Attempt) -> tuple[int, Key, bytes]:
    # A later attempt outranks an earlier one, whatever the order in which we heard of them.
    return attempt.update.attempt, attempt.key, _encoded(attempt.update)


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)
