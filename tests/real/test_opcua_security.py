"""OPC UA channels and users: data flow under every policy, and only for whom the server knows."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_fixtures.certificates import issue
from edge_runtime.sources.opcua_config import OUTDATED, POLICIES, OpcUaConfig
from tests.real.opcua_plants import MAKES, USER_URI, Served, makes_served, reading
from tests.simulators.opcua_field import PASSWORD, USER
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

MODES = ("sign", "sign_and_encrypt")
SHA2 = "aes256sha256rsapss"
# Node.js no longer decrypts with the padding of RSA 1.5 (CVE-2023-46809), so its servers cannot.
SECURED = [
    (make, policy)
    for make in MAKES
    for policy in POLICIES
    if (make, policy) != ("node-opcua", "basic128rsa15")
]
CHANNELS = [
    *((make, "none", "sign_and_encrypt") for make in MAKES),
    *((*each, mode) for each in SECURED for mode in MODES),
]


@pytest.fixture(scope="module")
def makes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """One process a make for all tests here, since it takes seconds to start."""
    with makes_served(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
async def served(request: pytest.FixtureRequest, makes: Callable[[str], Served]) -> Served:
    """A server of the make that is asked for; it takes connections."""
    found = makes(request.param)
    await found.program.ready()
    return found


@pytest.mark.parametrize(("served", "policy", "mode"), CHANNELS, indirect=["served"])
async def test_channels(served: Served, policy: str, mode: str) -> None:
    """Values flow under every policy, signed, and also encrypted; an old one is said to be."""
    config = served.config() if policy == "none" else served.secure(policy, mode=mode)
    async with reading(config, [served.tag("count")]) as (got, _):
        first = await got.until_value("count", 1)
        await got.until_value("count", first.value + 20)
        assert bool(got.said("source.security_outdated")) is (policy in OUTDATED)


Sign = Callable[[Served, Path], OpcUaConfig]


def by_name(served: Served, folder: Path, said: str = PASSWORD, **more: object) -> OpcUaConfig:
    """Signs in with a password that ends as editors end files."""
    (folder / "password").write_text(f"{said}\n")
    return served.secure(SHA2, user=USER, password=folder / "password", **more)


def by_certificate(served: Served, policy: str, **more: object) -> OpcUaConfig:
    """Signs in as the user that the server knows."""
    user = {"user_certificate": served.user[0], "user_key": served.user[1]}
    return served.secure(policy, **user, **more)


def as_stranger(served: Served, folder: Path) -> OpcUaConfig:
    """Signs in with a certificate that nobody knows."""
    certificate, key = issue(folder, "stranger", USER_URI, datetime.now(UTC))
    return served.secure(SHA2, user_certificate=certificate, user_key=key)


def as_thief(served: Served, folder: Path) -> OpcUaConfig:
    """Has the user's certificate, and not its key."""
    _, key = issue(folder, "thief", USER_URI, datetime.now(UTC))
    return served.secure(SHA2, user_certificate=served.user[0], user_key=key)


LET_IN: dict[str, Sign] = {
    "by name": by_name,
    "by name, password encrypted by itself": lambda served, folder: by_name(
        served, folder, mode="sign", plain_password=True
    ),
    "by certificate, only signed": lambda served, _: by_certificate(served, SHA2, mode="sign"),
}
KEPT_OUT: dict[str, Sign] = {
    "with another password": lambda served, folder: by_name(served, folder, "guess"),
    "with a certificate that nobody knows": as_stranger,
    "with a certificate whose key it does not have": as_thief,
}


@pytest.mark.parametrize(("served", "policy"), SECURED, indirect=["served"])
async def test_user_certificate(served: Served, policy: str) -> None:
    """A user may sign in by certificate under every policy."""
    async with reading(by_certificate(served, policy), [served.tag("count")]) as (got, _):
        await got.until_value("count", 1)


@pytest.mark.parametrize("served", MAKES, indirect=True)
@pytest.mark.parametrize("sign_in", LET_IN.values(), ids=LET_IN.keys())
async def test_let_in(served: Served, sign_in: Sign, tmp_path: Path) -> None:
    """Whom the server knows, by name or by certificate, gets values."""
    async with reading(sign_in(served, tmp_path), [served.tag("count")]) as (got, _):
        await got.until_value("count", 1)


@pytest.mark.parametrize("served", MAKES, indirect=True)
@pytest.mark.parametrize("sign_in", KEPT_OUT.values(), ids=KEPT_OUT.keys())
async def test_kept_out(served: Served, sign_in: Sign, tmp_path: Path) -> None:
    """Whom it does not know gets nothing but one line that says so, without a secret in it."""
    async with reading(sign_in(served, tmp_path), [served.tag("count")]) as (got, _):
        await until(lambda: any(_is_refusal(line) for line in got.said("source.lost")), "a no")
        assert got.samples == []
    assert "guess" not in str(got.events)


def _is_refusal(line: str) -> bool:
    return any(word in line for word in ("AccessDenied", "TokenRejected", "Invalid"))
