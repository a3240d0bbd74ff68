"""What a report changes that somebody must be able to look up later, and what it alarms; pure."""

from datetime import timedelta

from edge_core.contracts.api import Priority
from edge_core.contracts.gateway import BadInput, StatusReport, UpdateReport, UpdateState
from edge_core.contracts.plant import GatewayPlace
from edge_site_proxy.audit.events import Event
from edge_site_proxy.fleet.sightings import Sighting
from edge_site_proxy.rollout.marks import Mark, Marks, drift_of
from edge_site_proxy.rollout.records import AlarmCall
from edge_site_proxy.rollout.world import World

REFERENCE_CHANGED = "gateway.reference_changed"
CONFIG_CHANGED = "gateway.config_changed"
CONFLICT_KEY = "site/conflict"


def noticed(world: World, place: GatewayPlace, old: Sighting | None, new: Sighting) -> list[Event]:
    """The events that tell *new* from *old*: what decides, how an attempt stands, safe mode."""
    events: list[Event] = []
    before = None if old is None else old.report
    report = new.report
    if (None if before is None else before.effective) != report.effective:
        events.append(_reference_changed(world, place, old, new))
    if _works_with(old) != _works_with(new):
        events.append(_config_changed(world, place, new))
    for digest, attempt in new.attempts.items():
        update = attempt.update
        known = None if old is None else old.update(digest)
        if known is None or (known.attempt, known.state, known.outcome) != (
            update.attempt,
            update.state,
            update.outcome,
        ):
            facts = {
                "digest": digest,
                "attempt": update.attempt,
                "state": update.state.value,
                "outcome": update.outcome.value,
                "veto": update.veto,
                "reason": update.reason,
            }
            events.append(Event("gateway.update_changed", place.serial, facts))
    if report.safe_mode != (before is not None and before.safe_mode):
        facts_ = {"on": report.safe_mode}
        events.append(Event("gateway.safe_mode_changed", place.serial, facts_))
    if ills(place.serial, old).keys() != ills(place.serial, new).keys():
        facts_ill = {"ills": sorted(ills(place.serial, new))}
        events.append(Event("gateway.condition_changed", place.serial, facts_ill))
    return events


def _reference_changed(
    world: World, place: GatewayPlace, old: Sighting | None, new: Sighting
) -> Event:
    """Everything an auditor asks of what decides about an asset from now on."""
    report = new.report
    digest = report.effective
    arrived = world.releases.get(digest) if digest is not None else None
    brought = [each for each in world.rollouts.values() if each.digest == digest]
    rollout = max(brought, key=lambda each: each.header.changed, default=None)
    update = new.update(digest) if digest is not None else None
    since = world.clocks.now()
    if update is not None:
        since -= timedelta(seconds=update.since_s)
    return Event(
        REFERENCE_CHANGED,
        place.serial,
        {
            "asset": place.position.asset,
            "line": place.position.line,
            "effective": digest,
            "running": report.running,
            "previous": None if old is None else old.report.effective,
            "since": since.isoformat(),
            "release": None
            if arrived is None
            else {
                "model": arrived.release.model,
                "version": arrived.release.version,
                "release": arrived.release.release,
                "digest": arrived.release.digest,
            },
            "signers": [] if arrived is None else arrived.signers,
            "rollout": None if rollout is None else rollout.id,
            "approvals": []
            if rollout is None
            else [
                {
                    "who": each.who,
                    "ticket": each.ticket,
                    "at": each.at.isoformat(),
                    "name": each.name,
                    "meaning": each.meaning.value,
                    "change": each.change.value,
                }
                for each in rollout.header.approvals
            ],
            "software": report.software,
            "clock_synchronised": report.clock.synchronised,
            "clock_error_max_us": report.clock.error_max_us,
            "scored": report.windows.scored,
            "boot_epoch": report.boot_epoch,
            "report": report.sequence,
        },
    )


def _works_with(sighting: Sighting | None) -> tuple[str, list[str]] | None:
    setup = None if sighting is None else sighting.setup
    return None if setup is None else (setup.config, setup.inputs)


def _config_changed(world: World, place: GatewayPlace, new: Sighting) -> Event:
    facts = {
        "asset": place.position.asset,
        "config": None if new.setup is None else new.setup.config,
        "inputs": [] if new.setup is None else new.setup.inputs,
        "software": new.report.software,
        "since": world.clocks.now().isoformat(),
    }
    return Event(CONFIG_CHANGED, place.serial, facts)


def marked(serial: str, old: Marks, new: Marks) -> list[Event]:
    """The events that tell the marks *new* from *old*."""
    events: list[Event] = []
    if old.conflict is None and new.conflict is not None:
        events.append(Event("gateway.conflict_found", serial, {"why": new.conflict.why}))
    if old.drift is None and new.drift is not None:
        events.append(Event("gateway.drift_found", serial, {"why": new.drift.why}))
    if old.drift is not None and new.drift is None:
        events.append(Event("gateway.drift_ended", serial, {"since": old.drift.since.isoformat()}))
    if old.dead is not None and new.dead is None:
        events.append(
            Event("gateway.came_back", serial, {"dead_since": old.dead.since.isoformat()})
        )
    return events


def conflict_alarm(serial: str, mark: Mark) -> AlarmCall:
    """The one alarm for every gateway in conflict; it names the first."""
    return AlarmCall(
        key=CONFLICT_KEY,
        priority=Priority.P1,
        what=f"gateway {serial} knows more than this site: {mark.why}; an old copy of the "
        "state was restored, or another site proxy is at work"[:400],
        consequence="such gateways keep what they run and change nothing until a person "
        "resumes them; a rollback that is ordered is carried out",
        runbook="site-conflict",
    )


def _stuck_now(report: StatusReport, update: UpdateReport) -> bool:
    """Whether a way back has failed and still has: a late word about last week is no alarm."""
    if update.state is UpdateState.FAIL_SAFE:
        return report.effective is None
    return update.state is UpdateState.ROLLBACK_FAILED and report.effective == update.digest


def _stuck(serial: str, update: UpdateReport) -> AlarmCall:
    """The one alarm of a gateway without a way back, whoever sent it there."""
    kept = update.state is UpdateState.ROLLBACK_FAILED
    return AlarmCall(
        key=f"gateway/{serial}/fail_safe",
        priority=Priority.P1,
        what=f"gateway {serial} is in {update.state.value}: {update.reason}"[:500],
        consequence="it keeps the release that it was to leave, and gives that one's verdicts"
        if kept
        else "it gives the model's safe output and no verdicts",
        runbook="rollback-failed" if kept else "gateway-fail-safe",
        group=f"{update.digest} fail safe",
    )


def ills(serial: str, sighting: Sighting | None) -> dict[str, AlarmCall]:
    """The alarms that stand while a gateway is believed to be so; by their key."""
    if sighting is None:
        return {}
    report = sighting.report
    found: list[AlarmCall] = []
    update = report.update
    if update is not None and _stuck_now(report, update):
        found.append(_stuck(serial, update))
    drift = drift_of(sighting)
    if drift:
        found.append(
            AlarmCall(
                key=f"gateway/{serial}/digest",
                priority=Priority.P2,
                what=f"gateway {serial}: {drift}",
                consequence="its verdicts come from a model that nobody approved there; "
                "its evidence counts in no gate until that has ended",
                runbook="digest-mismatch",
            )
        )
    if report.faults:
        found.append(
            AlarmCall(
                key=f"gateway/{serial}/faults",
                priority=Priority.P3,
                what=f"gateway {serial}: {'; '.join(report.faults)}"[:500],
                consequence="inference goes on; the fault needs a look",
                runbook="gateway-faults",
            )
        )
    found += [_bad_input(serial, each) for each in report.bad_inputs]
    return {call.key: call for call in found}


def said_wrong(report: StatusReport) -> list[str]:
    """Everything that a gateway says is wrong, its own faults first."""
    return [*report.faults, *(each.words for each in report.bad_inputs)]


def _bad_input(serial: str, bad: BadInput) -> AlarmCall:
    """The one alarm of an instrument, or of many that failed together; never of the process."""
    return AlarmCall(
        key=f"gateway/{serial}/inputs" if bad.tag is None else f"gateway/{serial}/input/{bad.tag}",
        priority=Priority.P3,
        what=f"gateway {serial}: {bad.words}"[:500],
        consequence="its windows have no verdict, and the model's safe output holds; of the "
        "machine itself nothing is said",
        runbook="bad-input",
    )
