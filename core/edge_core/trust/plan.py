"""Signed plans: how a release is to be rolled out, verified like a channel.

Its subjects are the document itself, the release it names, and the way back. Who accepts one
remembers its sequence and digest, and refuses a step back (`edge_core.trust.documents`).
"""

from collections.abc import Sequence
from typing import Final

from edge_core.contracts.artefact import Digest
from edge_core.contracts.signed_plan import SignedPlan
from edge_core.trust.documents import (
    Kind,
    Signed,
    document_statement,
    sign_document,
    verify_documents,
)
from edge_core.trust.errors import NotVerifiedError, Step
from edge_core.trust.keys import Keyring, Signer
from edge_core.trust.policy import DocumentRule
from edge_core.trust.statement import PLAN_PREDICATE, Statement


def _subjects(plan: SignedPlan) -> dict[str, Digest]:
    release = plan.release
    back = {} if plan.rollback is None else {f"{release.model}:rollback": plan.rollback}
    return {f"{release.model}:{release.version}": release.digest, **back}


_KIND: Final = Kind("plan", PLAN_PREDICATE, SignedPlan, _subjects)


def plan_statement(plan: SignedPlan) -> Statement:
    """The statement a signer of *plan* signs."""
    return document_statement(_KIND, plan, f"plan/{plan.release.model}")


def sign_plan(plan: SignedPlan, signer: Signer) -> bytes:
    """A bundle in which *signer* signs *plan*.

    Raises:
        RefusedError: a name, a number or an instant makes no sense, so no one would accept it.
    """
    return sign_document(_KIND, plan, f"plan/{plan.release.model}", signer)


def verify_plan(
    bundles: Sequence[bytes], rule: DocumentRule, keyring: Keyring, *, model: str
) -> Signed[SignedPlan]:
    """The newest plan for *model* that enough distinct keys have signed.

    Whether it is for a site, still in time, and about a release that is known, is for the caller.

    Raises:
        NotVerifiedError: names the step: of the threshold if some bundles passed and too few,
            else of the bundle that came farthest.
    """

    def check(plan: SignedPlan) -> None:
        if plan.release.model != model:
            expected, found = f"a plan for {model!r}", f"one for {plan.release.model!r}"
            raise NotVerifiedError(Step.POLICY, expected=expected, found=found)

    return verify_documents(bundles, rule, keyring, _KIND, check)
