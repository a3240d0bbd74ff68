"""Signed plans: the attack table at the door, and what signing has to do with it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from edge_core.contracts.artefact import Channel, ReleaseRef
from edge_core.contracts.errors import RefusedError
from edge_core.contracts.gates import GateLimits
from edge_core.contracts.rollout import CohortRule, OnFail
from edge_core.contracts.signed_plan import SignedPlan, Terms
from edge_core.trust import (
    PLAN_PREDICATE,
    DocumentForkedError,
    DocumentRolledBackError,
    DocumentRule,
    FileSigner,
    Keyring,
    NotVerifiedError,
    Seen,
    Step,
    document_digest,
    plan_statement,
    refuse_step_back,
    sign_channel,
    sign_plan,
    sign_statement,
    statement_of,
    verify_plan,
)

from .made import KEY_IDS, OTHER, SUBJECT

ONE = DocumentRule(keys=list(KEY_IDS))
TWO = DocumentRule(keys=list(KEY_IDS), threshold=2)
RELEASE = ReleaseRef(model="pump-state", version="1.0", release=1, digest=SUBJECT)


def plan(sequence: int = 7, **changes: object) -> SignedPlan:
    """A plan for the pump's release."""
    plain = SignedPlan(
        sequence=sequence,
        issued="2026-11-20T00:00:00Z",
        expires="2026-12-20T00:00:00Z",
        release=RELEASE,
        rollback=OTHER,
        terms=Terms(
            cohorts=[CohortRule(name="canary", share=0.01), CohortRule(name="rest", share=1.0)],
            gate=GateLimits(soak_min_s=3600.0),
            on_fail=OnFail.AUTO_ROLLBACK,
        ),
    )
    return msgspec.structs.replace(plain, **changes)


def test_signed_and_verified(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """What two keys have signed comes out as it went in, with its digest and who signed it."""
    bundles = [sign_plan(plan(), signers[name]) for name in ("release-c", "release-a")]
    signed = verify_plan(bundles, TWO, keyring, model="pump-state")
    assert (signed.document, signed.signers) == (plan(), ("release-a", "release-c"))
    encoded = json.dumps(msgspec.to_builtins(plan()), sort_keys=True, separators=(",", ":"))
    assert signed.digest == f"sha256:{hashlib.sha256(encoded.encode()).hexdigest()}"


def test_what_it_is_about() -> None:
    """The plan, its release and the way back are subjects, so each can be looked up by digest."""
    statement = plan_statement(plan())
    assert statement.predicate_type == PLAN_PREDICATE
    assert [each.name for each in statement.subject] == [
        "plan/pump-state",
        "pump-state:1.0",
        "pump-state:rollback",
    ]
    assert all(statement.covers(each) for each in (document_digest(plan()), SUBJECT, OTHER))
    alone = plan_statement(plan(rollback=None))
    assert [each.name for each in alone.subject] == ["plan/pump-state", "pump-state:1.0"]


def test_a_newer_reader_comes_to_the_same_digest(
    keyring: Keyring, signers: dict[str, FileSigner]
) -> None:
    """What the signer did not know has its default, and the digest is of what was signed."""
    written = msgspec.to_builtins(plan())
    del written["terms"]["gate"]["shifts_min"]
    digest = document_digest(written)
    raw = sign_statement(
        statement_of(PLAN_PREDICATE, written, subjects={"plan": digest}), signers["release-a"]
    )
    signed = verify_plan([raw], ONE, keyring, model="pump-state")
    assert (signed.digest, signed.document) == (digest, plan())


def test_the_newest_with_enough_keys(keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """An older one beside it does no harm, and a newer one with too few keys is not taken."""
    both = ("release-a", "release-b")
    bundles = [
        *(sign_plan(plan(7), signers[name]) for name in both),
        *(sign_plan(plan(8), signers[name]) for name in both),
        sign_plan(plan(9), signers["release-a"]),
    ]
    assert verify_plan(bundles, TWO, keyring, model="pump-state").document.sequence == 8
    with pytest.raises(NotVerifiedError, match=r"expected 2 distinct keys, found 1$"):
        verify_plan(bundles[-1:], TWO, keyring, model="pump-state")


@dataclass(frozen=True)
class Bad:
    """What comes instead of a plan, the step that refuses it, and what is said."""

    made: Callable[[FileSigner], bytes]
    step: Step
    says: str
    key: str = "release-a"


def as_written(change: Callable[[dict[str, object]], object]) -> Callable[[FileSigner], bytes]:
    """A plan whose predicate was changed before it was signed."""

    def made(signer: FileSigner) -> bytes:
        written = msgspec.to_builtins(plan())
        change(written)
        subjects = {"plan": document_digest(written)}
        return sign_statement(statement_of(PLAN_PREDICATE, written, subjects=subjects), signer)

    return made


def _damaged(signer: FileSigner) -> bytes:
    raw = sign_plan(plan(), signer)
    return raw.replace(b'"signatures"', b'"signatureZ"')


def _other_payload(signer: FileSigner) -> bytes:
    """The envelope of one plan with the signature of another."""
    first, second = (json.loads(sign_plan(plan(each), signer)) for each in (7, 8))
    first["dsseEnvelope"]["payload"] = second["dsseEnvelope"]["payload"]
    return json.dumps(first).encode()


def _channel(signer: FileSigner) -> bytes:
    made = Channel(
        site="north",
        sequence=7,
        issued="2026-11-20T00:00:00Z",
        expires="2026-12-20T00:00:00Z",
        releases=[RELEASE],
    )
    return sign_channel(made, signer)


def _about_something_else(signer: FileSigner) -> bytes:
    written = msgspec.to_builtins(plan())
    return sign_statement(statement_of(PLAN_PREDICATE, written, subjects={"x": SUBJECT}), signer)


BAD = {
    "no JSON": Bad(lambda _: b"plan", Step.JSON, "JSON"),
    "a damaged envelope": Bad(_damaged, Step.JSON, "signature"),
    "the signature of another plan": Bad(_other_payload, Step.SIGNATURE, ""),
    "a key that is not pinned": Bad(
        lambda signer: sign_plan(plan(), signer), Step.KEYRING, "", key="stranger"
    ),
    "a key of another role": Bad(
        lambda signer: sign_plan(plan(), signer), Step.KEYRING, "", key="release-c"
    ),
    "a channel in its place": Bad(_channel, Step.POLICY, f"expected {PLAN_PREDICATE}"),
    "digests that are not its own": Bad(_about_something_else, Step.SUBJECT, "other subjects"),
    "a setting that nobody knows": Bad(
        as_written(lambda each: each.update(colour="red")), Step.POLICY, "colour"
    ),
    "a limit that nobody knows": Bad(
        as_written(lambda each: each["terms"]["gate"].update(luck=1)),  # type: ignore[index]  # as it was written
        Step.POLICY,
        "luck",
    ),
    "a share above one": Bad(
        as_written(lambda each: each["terms"]["cohorts"][0].update(share=1.5)),  # type: ignore[index]  # likewise
        Step.POLICY,
        "share",
    ),
    "no steps": Bad(
        as_written(lambda each: each["terms"].update(cohorts=[])),  # type: ignore[attr-defined]  # likewise
        Step.POLICY,
        "cohorts",
    ),
    "no digest to go back to": Bad(
        as_written(lambda each: each.update(rollback="latest")), Step.POLICY, "rollback"
    ),
    "an expiry that is no instant": Bad(
        as_written(lambda each: each.update(expires="soon")), Step.POLICY, "RFC 3339"
    ),
    "an expiry without a zone": Bad(
        as_written(lambda each: each.update(expires="2026-12-20T00:00:00")), Step.POLICY, "zone"
    ),
    "an expiry before its issue": Bad(
        as_written(lambda each: each.update(expires="2026-11-20T00:00:00Z")),
        Step.POLICY,
        "expected expires after",
    ),
    "a plan for another model": Bad(
        lambda signer: sign_plan(
            plan(release=msgspec.structs.replace(RELEASE, model="mixer")), signer
        ),
        Step.POLICY,
        "expected a plan for 'pump-state', found one for 'mixer'",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_refused(bad: Bad, keyring: Keyring, signers: dict[str, FileSigner]) -> None:
    """Each is refused at its step, in words."""
    rule = DocumentRule(keys=["release-a", "release-b"])
    with pytest.raises(NotVerifiedError) as refusal:
        verify_plan([bad.made(signers[bad.key])], rule, keyring, model="pump-state")
    assert refusal.value.step is bad.step
    assert bad.says in str(refusal.value)


STEPS: dict[str, tuple[Seen, Seen, type[RefusedError] | None, str]] = {
    "the next one is taken": (Seen(6, SUBJECT), Seen(7, OTHER), None, ""),
    "the same again is taken": (Seen(7, SUBJECT), Seen(7, SUBJECT), None, ""),
    "a lower one is an attack": (
        Seen(8, SUBJECT),
        Seen(7, SUBJECT),
        DocumentRolledBackError,
        "plan for pump: expected sequence 8 or higher, found 7",
    ),
    "the same number with other content is an attack": (
        Seen(7, SUBJECT),
        Seen(7, OTHER),
        DocumentForkedError,
        f"plan for pump: sequence 7 was {SUBJECT}, found it again as {OTHER}",
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_it_only_goes_forward(name: str) -> None:
    """Whoever replays an old plan, or writes another under its number, is told of."""
    seen, comes, refused, says = STEPS[name]
    if refused is None:
        refuse_step_back("plan for pump", seen, comes)
        return
    with pytest.raises(refused) as refusal:
        refuse_step_back("plan for pump", seen, comes)
    assert str(refusal.value) == says


@pytest.mark.parametrize(
    "wrong", [{"expires": "soon"}, {"sequence": 0}, {"sites": ["North Plant"]}]
)
def test_a_plan_that_nobody_would_accept_is_not_signed(
    wrong: dict[str, object], signers: dict[str, FileSigner]
) -> None:
    """The signer is told, not the plants."""
    with pytest.raises(RefusedError, match="plan"):
        sign_plan(msgspec.structs.replace(plan(), **wrong), signers["release-a"])


def test_whom_it_is_for() -> None:
    """Every site, or those that it names."""
    assert plan().covers("north")
    assert plan(sites=["north", "south"]).covers("south")
    assert not plan(sites=["south"]).covers("north")
