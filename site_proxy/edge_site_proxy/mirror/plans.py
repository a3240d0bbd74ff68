"""Signed plans: fetched beside the channel, verified, held to it, and kept without a WAN."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

import structlog

from edge_core.contracts.artefact import BUNDLE_TYPE, Channel
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.contracts.signed_plan import SignedPlan
from edge_core.oci import EMPTY, EMPTY_BYTES, Layout, Source, fetch_plan, plan_manifest, plan_tag
from edge_core.trust import DocumentRolledBackError, Signed, verify_plan
from edge_site_proxy.mirror.rules import Rules

_log = structlog.get_logger(__name__)


class Plans(Protocol):
    """Who is told of plans, and remembers the newest of each model."""

    async def arrived(self, signed: Signed[SignedPlan]) -> None:
        """It is for this site and names a release that is known; the same one twice is one."""
        ...

    async def withheld(self, model: str, reason: str) -> None:
        """What was told of *model* before does not verify any more."""
        ...


class PlanDesk:
    """Takes plans in; without `[plan]` in the trust policy none could pass, so none is looked for.

    Args:
        layout: where accepted ones are kept, under the tags that upstream has them under.
        rules: whose signatures count.
        plans: who is told.
        now: wall clock, for the copy that is kept.
    """

    def __init__(
        self, layout: Layout, rules: Rules, plans: Plans, now: Callable[[], datetime]
    ) -> None:
        self._layout = layout
        self._rules = rules
        self._plans = plans
        self._now = now

    async def look_again(self, channel: Channel) -> None:
        """Verify what is kept under the trust policy in force, and say what does and what not.

        The copy here may be older than what was told, where the power went in between.
        """
        for model in _models(channel):
            try:
                signed, _ = await self._verified(self._layout, model)
                await self._plans.arrived(signed)
            except (NotFoundError, DocumentRolledBackError):
                continue
            except RefusedError as error:
                await self._plans.withheld(model, str(error))

    async def follow(self, source: Source, channel: Channel, *, carried: bool) -> list[str]:
        """Take the plans of *source* for the models of *channel*; answers what was refused.

        One that is refused leaves in force what was. An old disk is no attack: a *carried* plan
        that is older than the one kept is no refusal.

        Raises:
            EdgeError: as `Source`.
        """
        if self._rules.trust.policy.plan is None:
            return []
        refused = []
        for model in _models(channel):
            try:
                await self._take(source, channel, model)
            except NotFoundError:
                continue
            except DocumentRolledBackError as error:
                refused += [] if carried else [f"attack or restored upstream: {error}"]
            except RefusedError as error:
                refused.append(f"plan for {model}: {error}")
        return refused

    async def _take(self, source: Source, channel: Channel, model: str) -> None:
        signed, bundles = await self._verified(source, model)
        plan = signed.document
        if not plan.covers(self._rules.site):
            return
        named = next((r for r in channel.releases if r.digest == plan.release.digest), None)
        if named is None:
            # Signed before its release is current: it counts from then on.
            _log.info("plan.waiting", model=model, release=plan.release.digest)
            return
        if named != plan.release:
            raise RefusedError(
                f"expected {named.model} {named.version}, release {named.release}, as the "
                f"channel calls {named.digest}, found {plan.release.version}, release "
                f"{plan.release.release}"
            )
        await self._plans.arrived(signed)
        if await self._kept(model) != bundles:
            await asyncio.to_thread(self._keep, model, bundles)

    async def _verified(
        self, source: Source, model: str
    ) -> tuple[Signed[SignedPlan], tuple[bytes, ...]]:
        bundles = await fetch_plan(source, model, self._layout.blobs)
        trust = self._rules.trust
        return verify_plan(bundles, trust.plan_rule(), trust.keyring, model=model), bundles

    async def _kept(self, model: str) -> tuple[bytes, ...]:
        try:
            return await fetch_plan(self._layout, model, self._layout.blobs)
        except (NotFoundError, RefusedError):
            return ()

    def _keep(self, model: str, bundles: tuple[bytes, ...]) -> None:
        self._layout.put_blob(EMPTY_BYTES, media_type=EMPTY.media_type)
        layers = [self._layout.put_blob(each, media_type=BUNDLE_TYPE) for each in bundles]
        raw = plan_manifest(layers, created=self._now())
        self._layout.put_manifest(raw, tag=plan_tag(model))


def _models(channel: Channel) -> Iterable[str]:
    return dict.fromkeys(release.model for release in channel.releases)
