"""A whole gateway against a simulated site: enrolment, updates, rollback, restarts."""

import asyncio
import os
import signal
import stat
from collections import Counter
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from edge_core.contracts.gateway import HealthWindow, Outcome, UpdateState
from edge_core.contracts.review import Routing, SuspectWindow
from edge_core.oci import BlobStore
from edge_runtime.control import Answer, Asked, RollbackAsked, ask
from edge_runtime.identity import IdentityFolder
from edge_runtime.model import ROLE_TRIAL
from edge_runtime.route import Route
from edge_runtime.update.store import RecordStore
from edge_runtime.verdict import SAFE_MODE
from tests.simulators.gateway_site import QUICK
from tests.simulators.releases import CLASSES, signature
from tests.unit.runtime.gateways import SERIAL, Rig, Running

pytestmark = pytest.mark.anyio

LONG = msgspec.structs.replace(QUICK, inferences_min=1_000_000, duration_max_s=3600.0)


async def ask_at(rig: Rig, asked: Asked) -> Answer:
    """Ask the daemon as a command does."""
    return await asyncio.to_thread(ask, rig.config().socket, asked)


def by_chance(window: SuspectWindow) -> bool:
    """Whether a window was picked uniformly."""
    return window.routing is Routing.RANDOM


def ended(rig: Rig, state: UpdateState, digest: str) -> bool:
    """Whether the site has heard that the attempt with *digest* ended in *state*."""
    if not rig.site.reports or rig.site.last.update is None:
        return False
    update = rig.site.last.update
    return update.state is state and update.digest == digest


async def settled(running: Running, rig: Rig, state: UpdateState, digest: str) -> None:
    """Wait for the end of an attempt."""
    await running.until(lambda: ended(rig, state, digest))


def numbers_hold(running: Running) -> bool:
    """No window was dropped and none came twice, as a listener sees it."""
    seen = Counter(verdict.window for verdict in running.ear.heard if verdict.window)
    return sorted(seen) == list(range(min(seen), max(seen) + 1)) and set(seen.values()) == {1}


async def test_first_release(rig: Rig) -> None:
    """A new gateway enrols, takes its first release by permit, and commits it as golden too."""
    first = rig.workshop.release("1")
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        await running.until(lambda: any(each.decided for each in running.ear.heard))
        last = rig.site.last
        assert last.references.golden == last.references.committed == first.digest
        assert last.running == first.digest
        assert last.update is not None
        assert last.update.outcome is Outcome.SUCCEEDED
        assert len(rig.site.permits) == 1
        # Before it had a model it said so; on a busy machine the plant may be late for a window.
        assert "no model" in {each.reason for each in running.ear.heard if not each.decided}
        pair = IdentityFolder(rig.folder / "data" / "identity", SERIAL).current
        assert stat.S_IMODE(pair.stat().st_mode) == 0o600


async def test_metered_download(rig: Rig) -> None:
    """Metered bytes are asked for, waited for while there are none, and pulled in pieces."""
    first = rig.workshop.release("1")
    rig.site.piece_bytes = 500
    rig.site.assign(first, metered=True)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
    assert len(rig.site.pulls) > 2
    assert {each.digest for each in rig.site.pulls} == {first.digest}
    spans = [span for _, span in rig.site.sent if span is not None]
    assert any(not span.endswith("-") for span in spans)
    assert len(rig.site.sent) == len(set(rig.site.sent))  # no piece came twice


async def test_update_and_order_back(rig: Rig) -> None:
    """The second release is shadowed, tried and committed; an order takes it back at once.

    No window is dropped or doubled by any of it, and what the site must know reaches it.
    """
    first, second = rig.workshop.release("1"), rig.workshop.release("2", leak=3.0)
    rig.site.want(health_window_s=0.3)
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.assign(second, activate=False, shadow_pairs_min=2)
        await running.until(
            lambda: any(
                each.role == "shadow" and each.shadow_disagreed
                for report in rig.site.reports
                for each in report.health
            )
        )
        assert rig.site.last.references.candidate is None
        rig.site.assign(second, shadow_pairs_min=2)
        await settled(running, rig, UpdateState.COMMITTED, second.digest)
        await running.until(lambda: running.ear.heard[-1].label == CLASSES[1])
        assert rig.site.last.references.previous_good == first.digest
        rig.site.order_back(second.digest)
        await settled(running, rig, UpdateState.ROLLED_BACK, second.digest)
        assert rig.site.last.running == rig.site.last.references.committed == first.digest
        await running.until(lambda: running.ear.heard[-1].label == CLASSES[0])
        assert numbers_hold(running)
        counts = rig.site.last.windows
        assert (counts.dropped, counts.doubled) == (0, 0)
        chances = {each.inclusion_probability for each in rig.site.windows if by_chance(each)}
        assert chances == {0.4}
        metrics = [(batch, body) for sort, batch, body in rig.site.batches if sort == "metrics"]
        batch, body = metrics[-1]
        assert batch.startswith(f"{SERIAL}/1/")
        assert ExportMetricsServiceRequest.FromString(body).resource_metrics
        # Every window of the trial is traced, whatever share of the others is.
        assert any(sort == "traces" for sort, _, _ in rig.site.batches)


async def test_worker_dies_in_trial(rig: Rig) -> None:
    """A candidate whose process dies is taken back, and the line never misses a verdict."""
    first, second = rig.workshop.release("1"), rig.workshop.release("2", leak=3.0)
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.assign(second, trial=LONG)
        await running.until(lambda: on_trial(running.gateway.scorer.route) == second.digest)
        model = running.gateway.scorer.route.effective
        assert model is not None
        pid = model.worker.report().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await settled(running, rig, UpdateState.ROLLED_BACK, second.digest)
        last = rig.site.last
        assert last.update is not None
        assert last.update.veto == "crash"
        assert last.references.committed == last.running == first.digest
        heard = len(running.ear.heard)
        await running.until(lambda: len(running.ear.heard) > heard + 2)
        assert numbers_hold(running)


def on_trial(route: Route) -> str | None:
    """Whose trial it is, if it is one: the first release's ends a moment after it is committed."""
    tried = route.effective if route.role == ROLE_TRIAL else None
    return None if tried is None else tried.digest


def killed(rig: Rig) -> None:
    """As if the last run had been killed: it left no word that it was told to stop."""
    store = RecordStore(rig.folder / "data" / "record")
    assert store.record.stopped
    store.save(msgspec.structs.replace(store.record, stopped=False))


def told_of(rig: Rig, epoch: int) -> list[HealthWindow]:
    """The health windows of one start of the gateway, as the site adds them up: each once."""
    found = {
        each.number: each
        for report in rig.site.reports
        for each in report.health
        if each.epoch == epoch
    }
    return list(found.values())


async def test_restarts_in_trial(rig: Rig) -> None:
    """A trial goes on after a restart while tries are left; then the gateway goes back alone.

    Being told to stop costs no try, and no restart begins the trial anew.
    """
    first, second = rig.workshop.release("1"), rig.workshop.release("2")
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.assign(second, trial=msgspec.structs.replace(LONG, tries=2))
        await settled(running, rig, UpdateState.TRIAL, second.digest)
    killed(rig)
    async with rig.running() as running:
        assert running.gateway.agent.record.slots.tries_left == 0
        await running.until(lambda: running.gateway.scorer.route.role == ROLE_TRIAL)
        await running.until(lambda: running.gateway.scorer.route.exposure.scored > 2)
    rig.site.away = True
    async with rig.running() as running:
        now = running.gateway.agent.record
        assert (now.slots.tries_left, now.slots.refunds) == (0, 1)
        assert now.attempt is not None
        assert now.attempt.progress.scored > 2
        await running.until(lambda: running.gateway.scorer.route.role == ROLE_TRIAL)
        await running.until(lambda: len(running.ear.heard) > 1)
        # What was being filled when the first one ended is told, once, and says so.
        await running.until(lambda: told_of(rig, epoch=1) != [])
        health = told_of(rig, epoch=1)
        assert all(each.cut_short for each in health)
        assert sum(each.scored for each in health) > 0
    last_window = running.ear.heard[-1].window
    killed(rig)
    async with rig.running() as running:
        await running.until(lambda: running.gateway.agent.record.state is UpdateState.ROLLED_BACK)
        slots = running.gateway.agent.record.slots
        assert (slots.candidate, slots.committed) == (None, first.digest)
        await running.until(lambda: len(running.ear.heard) > 1)
        assert running.ear.heard[0].window == last_window + 1


async def test_rotten_bytes(rig: Rig) -> None:
    """A committed version whose bytes rotted is never loaded: the one before it runs instead."""
    first, second = rig.workshop.release("1"), rig.workshop.release("2")
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.assign(second)
        await settled(running, rig, UpdateState.COMMITTED, second.digest)
        entry = running.gateway.agent.record.entries[second.digest]
    mine = set(entry.blobs) - set(running.gateway.agent.record.entries[first.digest].blobs)
    store = BlobStore(rig.folder / "data" / "store")
    for digest in mine:
        path = store.path(digest)
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.ROLLED_BACK, second.digest)
        assert rig.site.last.running == first.digest
        assert any(second.digest in fault for fault in rig.site.last.faults)


async def test_no_use_of_a_certificate(rig: Rig) -> None:
    """A certificate that cannot be used, or a socket that cannot be made, costs no verdict."""
    first = rig.workshop.release("1")
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
    (rig.folder / "data" / "identity" / "identity.pem").write_bytes(b"\x00" * 4096)
    rig.config().socket.mkdir()
    async with rig.running() as running:
        await running.until(lambda: sum(each.decided for each in running.ear.heard) > 5)
        faults = running.gateway.agent.keeper.faults
        assert "identity.pem: expected key and certificate" in faults["site"]
        assert "name one below /run" in faults["control"]


async def test_offline(rig: Rig) -> None:
    """Without the site a person at the gateway rolls back, and what must be told is not lost."""
    first, second = rig.workshop.release("1"), rig.workshop.release("2")
    rig.site.want(health_window_s=0.2)
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.assign(second)
        await settled(running, rig, UpdateState.COMMITTED, second.digest)
        rig.site.away = True
        answer = await ask_at(rig, RollbackAsked(reason="smells odd"))
        assert answer.body["target"] == first.digest
        await running.until(lambda: running.gateway.agent.record.state is UpdateState.ROLLED_BACK)
        again = await ask_at(rig, RollbackAsked(reason="once more"))
        assert again.exit_code == 6
        held = max(
            (each.number for report in rig.site.reports for each in report.health), default=0
        )
        await running.until(lambda: len(running.gateway.spool) > 0)
        await running.until(lambda: running.gateway.outbox.waiting > 1)
    rig.site.away = False
    async with rig.running() as running:
        await settled(running, rig, UpdateState.ROLLED_BACK, second.digest)
        await running.until(lambda: running.gateway.outbox.waiting == 0)
        told = [window for report in rig.site.reports for window in report.health]
        assert any(2.0 <= each.kpi_sum / each.kpi_rows <= 4.0 for each in told if each.kpi_rows)
        assert max(window.number for window in told if window.epoch == 1) > held
        ids = [batch for _, batch, _ in rig.site.batches]
        firsts = [int(batch.rpartition("/")[2]) for batch in ids if f"{SERIAL}/1/" in batch]
        assert firsts == list(range(1, len(firsts) + 1))


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "nobody signed it": ({"signed": False}, "verification", "threshold"),
    "its smoke vectors are not what it gives": ({"smoke_off": 0.1}, "smoke", "expected"),
    "it asks for a tag that nobody has": (
        {"made": signature(("flow", "torque"))},
        "smoke",
        "torque",
    ),
}


async def test_refusals(rig: Rig) -> None:
    """What does not verify or does not fit is refused with its reason; what runs goes on."""
    first = rig.workshop.release("5")
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        for number, (name, (spoiled, veto, words)) in enumerate(REFUSALS.items()):
            bad = rig.workshop.release(str(number + 6), **spoiled)
            rig.site.assign(bad)
            await settled(running, rig, UpdateState.FAILED_NO_CHANGE, bad.digest)
            update = rig.site.last.update
            assert update is not None
            assert update.veto == veto, name
            assert words in update.reason, name
        old = rig.workshop.release("1")
        rig.site.assign(old)
        await settled(running, rig, UpdateState.FAILED_NO_CHANGE, old.digest)
        assert rig.site.last.update is not None
        assert rig.site.last.update.veto == "below_floor"
        assert rig.site.last.running == first.digest
        assert rig.site.last.references.golden == first.digest


async def test_safe_mode_and_bad_input(rig: Rig) -> None:
    """In safe mode the model decides nothing; on bad input nobody says `normal`."""
    first = rig.workshop.release("1", leak=3.0)
    rig.site.assign(first)
    async with rig.running() as running:
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.want(safe_mode=True)
        await running.until(lambda: running.ear.heard[-1].reason == SAFE_MODE)
        assert (running.ear.heard[-1].label, running.ear.heard[-1].decided) == (CLASSES[0], False)
        rig.site.want(safe_mode=False)
        await running.until(lambda: running.ear.heard[-1].decided)
        rig.bad_input = True
        await running.until(lambda: "input bad" in running.ear.heard[-1].reason)
        assert not running.ear.heard[-1].decided
        rig.bad_input = False
        await running.until(lambda: running.ear.heard[-1].decided)
        assert numbers_hold(running)
