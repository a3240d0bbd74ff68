"""What a site accepts: whose channel, and which rule of the trust policy a release must meet."""

from dataclasses import dataclass

from edge_core.contracts.artefact import Digest
from edge_core.contracts.plant import SafetyClass
from edge_core.oci import Offer, digest_of
from edge_core.trust import Trust, Verified, verify_release


@dataclass(frozen=True, slots=True)
class Rules:
    """What this site accepts.

    Attributes:
        site: whose channel.
        trust: the policy.
        stage: of the policy, for example `production`.
        safety_class: of the policy: the strictest that a mirrored release must meet.
    """

    site: str
    trust: Trust
    stage: str
    safety_class: SafetyClass

    @property
    def fingerprint(self) -> Digest:
        """Changes whenever a release that was refused might pass: other rules, or other keys."""
        parts = [self.trust.digest, self.stage, self.safety_class.value]
        parts += sorted(self.trust.keyring.by_hint)
        return digest_of("\n".join(parts).encode())

    def verify(self, offer: Offer) -> Verified:
        """Verify the signatures on a release.

        Raises:
            NotVerifiedError: names the step that failed.
        """
        rule = self.trust.rule(self.stage, self.safety_class)
        return verify_release(offer.index.digest, offer.bundles, rule, self.trust.keyring)
