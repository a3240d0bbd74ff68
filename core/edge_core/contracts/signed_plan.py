"""The signed plan: what upstream asks of a rollout, at every site that it names.

It pins a release, the way back, and how carefully the release goes: what a site does beside that
may only be stricter. Like a channel it is signed, monotonic and expiring.
"""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, Label, ReleaseRef
from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import Count, TrialPolicy
from edge_core.contracts.rollout import CohortRule, OnFail


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How carefully a release goes; a site may go more carefully, and never less.

    Attributes:
        cohorts: in which steps; the last one takes whoever is left.
        gate: what each cohort must show. Where shifts begin is each site's own.
        trial: when a gateway may commit by itself.
        safety_lag_s: before a safety zone follows the others.
        shadow_pairs_min: pairs beside the present model before a gateway may activate.
        on_fail: what a failed gate leads to.
        approvals: people who have to say yes.
    """

    cohorts: Annotated[list[CohortRule], Meta(min_length=1, max_length=8)]
    gate: GateLimits = GateLimits()
    trial: TrialPolicy = TrialPolicy()
    safety_lag_s: Annotated[float, Meta(ge=0)] = 28_800.0
    shadow_pairs_min: Count = 100
    on_fail: OnFail = OnFail.PAUSE
    approvals: Annotated[int, Meta(ge=1, le=5)] = 1


class SignedPlan(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="plan/1",
):
    """How one release of a model is to be rolled out.

    Attributes:
        sequence: only ever grows, over all plans of the model. A lower one is an attack.
        issued: RFC 3339, with its zone.
        expires: likewise. Expiry stops new rollouts, never one that goes on, and no rollback.
        sites: whom it is for; empty is every site.
        release: the only release of its model that may be planned while this is the newest plan.
        rollback: the release that a site must be able to go back to; None leaves that to the site.
        terms: how carefully it goes.
    """

    sequence: Annotated[int, Meta(ge=1)]
    issued: str
    expires: str
    sites: Annotated[list[Label], Meta(max_length=4096)] = []
    release: ReleaseRef
    rollback: Digest | None = None
    terms: Terms

    def covers(self, site: str) -> bool:
        """Whether it is for *site*."""
        return not self.sites or site in self.sites
