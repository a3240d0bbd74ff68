"""The trust policy of a site: which keys must have signed what, before anything may be loaded.

`trust-policy.toml` is decoded once at start. A policy that could accept by accident (a threshold
no set of keys can meet, one key under two names, two rules for one case) stops the daemon.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from msgspec import Meta, Struct, field

from edge_core.contracts.artefact import Digest, Label
from edge_core.contracts.errors import ConfigurationError, RefusedError
from edge_core.contracts.plant import SafetyClass
from edge_core.misfit import from_toml
from edge_core.trust.errors import NotVerifiedError, Step
from edge_core.trust.keys import PEM_BYTES_MAX, Keyring, PinnedKey, PublicKey
from edge_core.trust.statement import (
    BUILD_TYPE,
    EXTERNAL_PARAMETERS,
    PROVENANCE_PREDICATE,
)

POLICY_BYTES_MAX: Final = 1024 * 1024  # room for some hundred keys and rules

KeyId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Text = Annotated[str, Meta(min_length=1, max_length=512)]
Texts = Annotated[list[Text], Meta(min_length=1, max_length=64)]


class KeyEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pinned key: a file beside the policy, or the PEM itself, never both."""

    id: KeyId
    path: Text | None = None
    pem: Annotated[str, Meta(max_length=PEM_BYTES_MAX)] | None = None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a release must bear for one stage and some safety classes.

    Attributes:
        stage: for example `production`.
        safety_classes: the classes it holds for; empty means every class that no other rule of
            this stage names.
        keys: ids of the keys that count.
        threshold: how many distinct keys must have signed every required predicate.
        builder_ids: accepted `runDetails.builder.id`, exact.
        build_types: accepted `buildDefinition.buildType`, exact.
        sources: accepted source repositories; an entry covers itself and itself at any ref.
        external_parameters: names a build may have been given from outside, and no others.
        predicate_types: each of them must be there.
        commit_required: the source must be pinned by a Git commit.
        data_set_required: the training data must be pinned by its SHA-256.
    """

    stage: Label
    safety_classes: list[SafetyClass] = []
    keys: Annotated[list[KeyId], Meta(min_length=1, max_length=64)]
    threshold: Annotated[int, Meta(ge=1, le=64)]
    builder_ids: Texts
    build_types: Texts = field(default_factory=lambda: [BUILD_TYPE])
    sources: Texts
    external_parameters: list[Text] = field(default_factory=lambda: list(EXTERNAL_PARAMETERS))
    predicate_types: Texts = field(default_factory=lambda: [PROVENANCE_PREDICATE])
    commit_required: bool = True
    data_set_required: bool = True


class DocumentRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose signatures make a document, a channel or a plan, and how many of them."""

    keys: Annotated[list[KeyId], Meta(min_length=1, max_length=64)]
    threshold: Annotated[int, Meta(ge=1, le=64)] = 1


class TrustPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trust-policy.toml`."""

    version: Annotated[int, Meta(ge=1)]
    keys: Annotated[list[KeyEntry], Meta(min_length=1, max_length=256)]
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=64)]
    channel: DocumentRule | None = None
    plan: DocumentRule | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """A policy whose keys are read and whose rules make sense.

    Attributes:
        policy: as written.
        keyring: all its keys.
        digest: of the policy's bytes, for the audit log.
    """

    policy: TrustPolicy
    keyring: Keyring
    digest: Digest

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the policy at *path*, and its key files relative to it.

        Raises:
            ConfigurationError: names the key of the setting that is wrong.
        """
        raw = _read(path, bytes_max=POLICY_BYTES_MAX)
        return cls.parse(raw, read_key=lambda name: _read(path.parent / name, PEM_BYTES_MAX))

    @classmethod
    def parse(cls, raw: bytes, *, read_key: Callable[[str], bytes]) -> Self:
        """Decode a policy; *read_key* gives the PEM for a `path`.

        Raises:
            ConfigurationError: names the key of the setting that is wrong.
        """
        policy = from_toml(raw, TrustPolicy, what="trust policy")
        keyring = Keyring.of(_pin(entry, read_key) for entry in policy.keys)
        for rule in policy.rules:
            _check_threshold(f"rule for {rule.stage!r}", rule, keyring)
        for what, rule_of in (("channel", policy.channel), ("plan", policy.plan)):
            if rule_of is not None:
                _check_threshold(what, rule_of, keyring)
        _check_unambiguous(policy.rules)
        return cls(
            policy=policy, keyring=keyring, digest=f"sha256:{hashlib.sha256(raw).hexdigest()}"
        )

    def rule(self, stage: str, safety_class: SafetyClass) -> Rule:
        """The one rule for *stage* and *safety_class*.

        Raises:
            NotVerifiedError: there is none, so nothing can pass.
        """
        of_stage = [rule for rule in self.policy.rules if rule.stage == stage]
        for rule in of_stage:
            if safety_class in rule.safety_classes:
                return rule
        for rule in of_stage:
            if not rule.safety_classes:
                return rule
        raise NotVerifiedError(
            Step.POLICY,
            expected=f"a rule for stage {stage!r} and safety class {safety_class.value!r}",
            found="none in the trust policy",
        )

    def channel_rule(self) -> DocumentRule:
        """The rule for channel documents.

        Raises:
            NotVerifiedError: there is none, so no channel can pass.
        """
        return _asked(self.policy.channel, "channel")

    def plan_rule(self) -> DocumentRule:
        """The rule for signed plans.

        Raises:
            NotVerifiedError: there is none, so no plan can pass.
        """
        return _asked(self.policy.plan, "plan")


def _asked(rule: DocumentRule | None, name: str) -> DocumentRule:
    if rule is None:
        raise NotVerifiedError(Step.POLICY, expected=f"[{name}] in the trust policy", found="none")
    return rule


def _pin(entry: KeyEntry, read_key: Callable[[str], bytes]) -> PinnedKey:
    if entry.path is not None and entry.pem is None:
        pem = read_key(entry.path)
    elif entry.pem is not None and entry.path is None:
        pem = entry.pem.encode()
    else:
        raise ConfigurationError(f"keys: {entry.id!r}: expected either path or pem")
    try:
        return PinnedKey(id=entry.id, key=PublicKey.from_pem(pem, what=f"keys: {entry.id!r}"))
    except RefusedError as error:
        raise ConfigurationError(f"trust policy: {error}") from None


def _check_threshold(what: str, rule: Rule | DocumentRule, keyring: Keyring) -> None:
    keys = frozenset(rule.keys)
    if unknown := sorted(keys - keyring.ids):
        raise ConfigurationError(f"{what}: expected keys of this policy, found {unknown[0]!r}")
    if rule.threshold > len(keys):
        raise ConfigurationError(
            f"{what}: expected a threshold of at most {len(keys)}, found {rule.threshold}"
        )


def _check_unambiguous(rules: list[Rule]) -> None:
    seen: set[tuple[str, str]] = set()
    for rule in rules:
        for safety_class in [each.value for each in rule.safety_classes] or [""]:
            case = (rule.stage, safety_class)
            if case in seen:
                raise ConfigurationError(
                    f"rules: expected one for stage {rule.stage!r} and safety class "
                    f"{safety_class or 'any other'!r}, found two"
                )
            seen.add(case)


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a file, found {error.strerror}") from None
    if len(raw) > bytes_max:
        raise ConfigurationError(f"{path}: expected at most {bytes_max} bytes, found more")
    return raw
