"""A site of thousands of gateways on disk: inventory, certificates, a rollout under way, a log.

Everything is made by the product itself: `site-proxy init`, its certificate authority, and its own
`Site`, to which every gateway reports before the measured daemon starts.
"""

import asyncio
import getpass
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate

from bench.fleet_gateway import CLOCK, MODEL, NEW, RELEASES, TARGET, Box
from edge_core import clock
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.plant import (
    GatewayPlace,
    Inventory,
    Position,
    SafetyClass,
    Zone,
)
from edge_core.contracts.rollout import RolloutState
from edge_core.contracts.signing import ApproveRequest
from edge_site_proxy import config as settings
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.events import Event
from edge_site_proxy.identity import ledger
from edge_site_proxy.identity.files import IdentityFiles
from edge_site_proxy.paths import StatePaths
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import Rollout, etag_of
from edge_site_proxy.rollout.world import Clocks
from edge_site_proxy.site import Arrival, Site, open_store

A_LINE: Final = 10  # gateways: two cells, one redundant pair
A_CELL: Final = 5
LINES_AN_AREA: Final = 10
SAFETY_EVERY: Final = 50  # of so many lines one has a gateway in a safety zone
AT_ONCE: Final = 200
EVENTS_AT_ONCE: Final = 2000
HISTORY: Final = 30  # health windows on the old release: enough to be compared with
EVIDENCE: Final = 8  # beside the old release, and in charge
CONFIG: Final = """
site = "bench"
directory = "state"
inventory = "inventory.toml"
clock = "trusted"

[gateways]
host = "127.0.0.1"
port = 0

[enrolment]
host = "127.0.0.1"
port = 0

[identity]
directory = "identity"
names = ["127.0.0.1"]

[operator]
socket = "operator.sock"
roles_by_user = {{ {user} = ["edge-admin"] }}

[telemetry.upstream]
kind = "folder"
directory = "telemetry-out"

[rollout.policy]
pin = "none"
shadow_pairs_min = 60
safety_lag_s = 0.0
stage_deadline_s = 86400.0
permit_valid_s = 600.0
windows = [{{ days = [1, 2, 3, 4, 5, 6, 7], start = "00:00", end = "00:00" }}]

[rollout.policy.gate]
windows_min = 1
inferences_min = 1
shifts_min = 0
soak_min_s = 0.0
soak_max_s = 0.001

[[rollout.policy.cohorts]]
name = "canary"
share = 0.02

[[rollout.policy.cohorts]]
name = "early"
share = 0.2

[[rollout.policy.cohorts]]
name = "rest"
share = 1.0
"""


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """Where it lies."""

    folder: Path

    @property
    def config(self) -> Path:
        """What the daemon is started with."""
        return self.folder / "site.toml"

    @property
    def state(self) -> StatePaths:
        """Its state."""
        return StatePaths(self.folder / "state")

    @property
    def ca(self) -> Path:
        """What its gateways trust."""
        return IdentityFiles(self.folder / "identity").ca_certificate

    def boxes(self) -> dict[str, Box]:
        """Its gateways, as they were when it was made."""
        return msgspec.json.decode(self._boxes.read_bytes(), type=dict[str, Box])

    def keep(self, boxes: dict[str, Box]) -> None:
        """Remember how its gateways are."""
        self._boxes.write_bytes(msgspec.json.encode(boxes))

    @property
    def _boxes(self) -> Path:
        return self.folder / "boxes.json"

    def chain(self, serial: str) -> Path:
        """Key and certificate of a gateway."""
        return self.folder / "gateways" / f"{serial}.pem"


def inventory(gateways: int) -> Inventory:
    """So many gateways: ten on a line in two cells, the first two of each line a pair."""
    lines = -(-gateways // A_LINE)
    areas = -(-lines // LINES_AN_AREA)
    return Inventory(
        site="bench",
        zones=[
            *(Zone(name=f"area-{area}") for area in range(areas)),
            Zone(name="boiler", safety_class=SafetyClass.SAFETY),
        ],
        gateways=[_place(number) for number in range(gateways)],
    )


def _place(number: int) -> GatewayPlace:
    line, position = divmod(number, A_LINE)
    area = line // LINES_AN_AREA
    guarded = line % SAFETY_EVERY == 0 and position == A_LINE - 1
    return GatewayPlace(
        serial=f"gw-{number:05}",
        position=Position(
            site="bench",
            area=f"area-{area}",
            line=f"line-{line:03}",
            cell=f"cell-{position // A_CELL}",
            asset=f"pump-{number:05}",
        ),
        zone="boiler" if guarded else f"area-{area}",
        model=MODEL,
        redundancy_group=f"pair-{line:03}" if position < 2 else None,
    )


def _toml(plant: Inventory) -> Iterable[str]:
    yield f'site = "{plant.site}"\n'
    for zone in plant.zones:
        yield f'[[zones]]\nname = "{zone.name}"\nsafety_class = "{zone.safety_class.value}"\n'
    for place in plant.gateways:
        at, group = place.position, place.redundancy_group
        yield (
            f'[[gateways]]\nserial = "{place.serial}"\nzone = "{place.zone}"\n'
            f'model = "{place.model}"\n'
            + (f'redundancy_group = "{group}"\n' if group is not None else "")
            + f'[gateways.position]\nsite = "{at.site}"\narea = "{at.area}"\n'
            f'line = "{at.line}"\ncell = "{at.cell}"\nasset = "{at.asset}"\n'
        )


def make(folder: Path, gateways: int) -> SiteFolder:
    """What an administrator does, and a certificate for every gateway."""
    command = [sys.executable, "-m", "edge_site_proxy", "init", str(folder), "--site", "bench"]
    subprocess.run([*command, "--name", "127.0.0.1"], check=True, capture_output=True)
    made = SiteFolder(folder)
    plant = inventory(gateways)
    made.config.write_text(CONFIG.format(user=getpass.getuser()))
    (folder / "inventory.toml").write_text("".join(_toml(plant)))
    _certify(made, [place.serial for place in plant.gateways])
    return made


def _certify(made: SiteFolder, serials: Sequence[str]) -> None:
    """One key for all, which costs the server nothing less; every gateway its certificate."""
    authority = IdentityFiles(made.folder / "identity").authority()
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (made.folder / "gateways").mkdir()
    for serial in serials:
        issued = authority.sign_gateway(
            serial, key.public_key(), now=clock.now(), life=timedelta(days=30)
        )
        certificate = load_der_x509_certificate(issued.der).public_bytes(Encoding.PEM)
        made.chain(serial).write_bytes(secret + certificate)


@asynccontextmanager
async def opened(made: SiteFolder) -> AsyncIterator[Site]:
    """The site in this process, while no daemon has it."""
    chosen = settings.load(made.config)
    clocks = Clocks(clock.now, time.monotonic, lambda: CLOCK)
    plant = settings.load_inventory(chosen.inventory, chosen.site)
    store = open_store(
        made.state.database, more=(ledger.MIGRATIONS,), now=clocks.now, clock=clocks.quality
    )
    async with store:
        yield await Site.open(store, plant, chosen.rollout, made.state.audit_key, clocks)


async def seed(site: Site, boxes: dict[str, Box], leaves: int) -> None:
    """Everybody serves the first release; of the second the last large cohort may activate."""
    first = await _approved(site, 1)
    await _say(site, boxes.values(), lambda box: box.commit(box.committed), "committed", HISTORY)
    await site.reconcile()
    _expect(site, first, RolloutState.COMPLETED)
    second = await _approved(site, 2)
    for cohort in site.world.rollouts[second].plan.cohorts:
        members = [boxes[serial] for serial in cohort.members]
        await _say(site, members, lambda box: box.say(NEW, UpdateState.STAGED), "shadow", EVIDENCE)
        await site.reconcile()
        _expect(site, second, RolloutState.ACTIVATING)
        if cohort.name == "rest":
            break
        await _say(site, members, lambda box: box.commit(NEW), "trial", EVIDENCE)
        await site.reconcile()
        await _waive(site, second)
    await fill(site, leaves)
    await site.notary.sign()


async def _approved(site: Site, number: int) -> str:
    """A release comes in, is planned and approved; the id of its rollout."""
    release = RELEASES[number]
    await site.release_arrived(
        Arrival(release=release, targets=(TARGET,), signers=("key-a", "key-b"), author="ci")
    )
    await site.reconcile()
    rollout = _rollout(site, release.digest)
    line = site.world.plant.inventory.gateways[0].position.line
    order = ApproveRequest(
        ticket="CHG-1042",
        reason="accepted in the weekly meeting",
        plan_digest=rollout.plan_digest,
        line=line,
    )
    await site.desk.approve(rollout.id, order, Sender("ana", etag_of(rollout)))
    await site.reconcile()
    return rollout.id


async def _waive(site: Site, name: str) -> None:
    """Go on without days of evidence: the longest soak is none, and two people waive the gate."""
    for who in ("ana", "bob"):
        rollout = site.world.rollouts[name]
        if rollout.header.holds:
            sender = Sender(who, etag_of(rollout))
            await site.desk.resume(name, "no evidence is made for a benchmark", sender)
    await site.reconcile()


def _rollout(site: Site, digest: str) -> Rollout:
    return next(each for each in site.world.rollouts.values() if each.digest == digest)


def _expect(site: Site, name: str, state: RolloutState) -> None:
    found = site.world.rollouts[name]
    assert found.state is state, f"{name} is {found.state.value}: {found.header.holds}"


async def _say(
    site: Site, boxes: Iterable[Box], change: Callable[[Box], None], role: str, windows: int
) -> None:
    """Each of *boxes* reports, so many at once."""
    ended = clock.now()
    waiting = iter(boxes)
    while some := list(itertools.islice(waiting, AT_ONCE)):
        async with asyncio.TaskGroup() as group:
            for box in some:
                change(box)
                digest = None if role == "committed" else NEW
                health = box.windows(windows, ended, digest=digest, role=role)
                group.create_task(site.take_status(box.serial, box.report(health)))


async def fill(site: Site, leaves: int) -> None:
    """Let the log grow to so many leaves, of the kind that it has most of."""
    size = await site.store.read(audit_log.size_of)
    facts = {"generation": 7, "release": NEW, "rollout": "pump-condition-2.0.0-r2"}
    facts |= {"activate": True, "rollback_from": None, "safe_mode": False, "snapshot": None}
    for start in range(size, leaves, EVENTS_AT_ONCE):
        count = min(EVENTS_AT_ONCE, leaves - start)
        events = [Event("gateway.told", f"gw-{each % 5000:05}", facts) for each in range(count)]
        await site.store.change("bench", events, lambda _: None)
