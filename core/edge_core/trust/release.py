"""Decides whether a release may be trusted: bundles and a rule in, signers and provenance out.

Continues the numbered steps of `bundle`:

12. policy      the predicate is one the rule asks for, and its builder, build type, source,
                parameters, commit and data set are what the rule accepts
13. threshold   enough distinct keys have passed all steps, for every required predicate type
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import RefusedError
from edge_core.trust.bundle import SignedStatement, refuse_flood, verify_bundle
from edge_core.trust.errors import NotVerifiedError, Step
from edge_core.trust.keys import Keyring
from edge_core.trust.policy import Rule
from edge_core.trust.statement import DATASET, PROVENANCE_PREDICATE, SOURCE, Provenance
from edge_core.trust.strict_json import convert, shown

_COMMIT: Final = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\Z")
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Verified:
    """A release that passed every step; nothing else may be called verified.

    Attributes:
        subject: digest of the release's index.
        signers: ids of the distinct keys, sorted.
        statements: digests of the signed statements, sorted.
        provenance: how the release came to be, if the rule asks for it.
    """

    subject: Digest
    signers: tuple[str, ...]
    statements: tuple[Digest, ...]
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class _Passed:
    signed: SignedStatement
    provenance: Provenance | None


def verify_release(
    index_digest: Digest, bundles: Sequence[bytes], rule: Rule, keyring: Keyring
) -> Verified:
    """Verify a release offline.

    A bundle that fails does not count, and it harms no one: whoever can add a referrer could
    otherwise block every release.

    Args:
        index_digest: digest of the release's index, of the very bytes on disk.
        bundles: as they came, in any order.
        rule: what must be met.
        keyring: the pinned keys, of which the rule's count.

    Raises:
        NotVerifiedError: names the step: of the threshold if some bundles passed and too few,
            else of the bundle that came farthest.
    """
    refuse_flood(bundles)
    trusted = keyring.only(rule.keys)
    passed: list[_Passed] = []
    failures: list[NotVerifiedError] = []
    for raw in bundles:
        try:
            passed.append(_pass(raw, trusted, rule, index_digest))
        except NotVerifiedError as failure:
            failures.append(failure)
    if failures and not passed:
        raise max(failures, key=lambda failure: failure.step)
    _meet_threshold(passed, failures, rule)
    return Verified(
        subject=index_digest,
        signers=tuple(sorted({each.signed.signer.id for each in passed})),
        statements=tuple(sorted({each.signed.digest for each in passed})),
        provenance=next((each.provenance for each in passed if each.provenance), None),
    )


def _pass(raw: bytes, keyring: Keyring, rule: Rule, subject: Digest) -> _Passed:
    signed = verify_bundle(raw, keyring, subject=subject)  # steps 1 to 11
    # Step 12: policy.
    predicate_type = signed.statement.predicate_type
    if predicate_type not in rule.predicate_types:
        raise NotVerifiedError(
            Step.POLICY,
            expected=f"a predicate among {', '.join(rule.predicate_types)}",
            found=shown(predicate_type),
        )
    if predicate_type != PROVENANCE_PREDICATE:
        return _Passed(signed=signed, provenance=None)
    return _Passed(signed=signed, provenance=_accept(signed.statement.predicate, rule))


def _accept(predicate: Mapping[str, object], rule: Rule) -> Provenance:
    try:
        provenance = convert(predicate, Provenance, what="provenance")
    except RefusedError as error:
        raise NotVerifiedError(
            Step.POLICY, expected="SLSA provenance v1", found=str(error)
        ) from None
    definition = provenance.build_definition
    _among("builder id", provenance.run_details.builder.id, rule.builder_ids)
    _among("build type", definition.build_type, rule.build_types)
    for name in definition.external_parameters:
        _among("external parameter", name, rule.external_parameters)
    _accept_source(provenance.source_uri, rule.sources)
    if rule.commit_required:
        commit = provenance.dependency_digest(SOURCE, "gitCommit")
        _pinned_by("a Git commit of the source", commit, _COMMIT)
    if rule.data_set_required:
        _pinned_by(
            "a SHA-256 of the data set", provenance.dependency_digest(DATASET, "sha256"), _SHA256
        )
    return provenance


def _among(what: str, value: str, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise NotVerifiedError(
            Step.POLICY,
            expected=f"{what} among {', '.join(accepted) or 'none'}",
            found=shown(value),
        )


def _accept_source(uri: str | None, accepted: Sequence[str]) -> None:
    # The ref may vary; `repo@` keeps `repo-evil` from passing as `repo`.
    if uri is None or not any(uri == each or uri.startswith(f"{each}@") for each in accepted):
        raise NotVerifiedError(
            Step.POLICY,
            expected=f"source among {', '.join(accepted)}",
            found="none" if uri is None else shown(uri),
        )


def _pinned_by(what: str, digest: str | None, form: re.Pattern[str]) -> None:
    if digest is None or form.match(digest) is None:
        raise NotVerifiedError(
            Step.POLICY, expected=what, found="none" if digest is None else shown(digest)
        )


def _meet_threshold(
    passed: Sequence[_Passed], failures: Sequence[NotVerifiedError], rule: Rule
) -> None:
    # Step 13: threshold.
    for predicate_type in rule.predicate_types:
        signers = {
            each.signed.signer.id
            for each in passed
            if each.signed.statement.predicate_type == predicate_type
        }
        if len(signers) < rule.threshold:
            also = "".join(f"; one refused at {failure}" for failure in failures[:3])
            raise NotVerifiedError(
                Step.THRESHOLD,
                expected=f"{rule.threshold} distinct keys over {predicate_type}",
                found=f"{len(signers)} ({', '.join(sorted(signers)) or 'none'}){also}",
            )
