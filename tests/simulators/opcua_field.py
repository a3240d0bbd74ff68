"""A process that is an OPC UA server with one variable of every kind that a plant brings.

Usage: python -m tests.simulators.opcua_field PORT [CERTIFICATE KEY CLIENT USER]

`count` and `half` go up fifty times a second, and of `count` the server keeps history; `fast` does
so by a controller whose clock is `AHEAD` of the server's. With a certificate there are endpoints
of every policy, and `operator` may sign in with `secret`, or with the certificate USER; CLIENT is
that of an application which may come without a user. SIGUSR2 ends every session but none of their
subscriptions, SIGUSR1 those too.
"""

import asyncio
import itertools
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

URI: Final = "urn:edge-mlops:field"
SERVER_URI: Final = "urn:edge-mlops:field-server"
PERIOD_S: Final = 0.02
HISTORY: Final = 10_000
HOUR: Final = timedelta(hours=1)
AHEAD: Final = timedelta(seconds=40)
USER, PASSWORD = "operator", "secret"
SETTLED: Final = 50
UNECE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
FAHRENHEIT: Final = ua.EUInformation(UNECE, 4604232, ua.LocalizedText("°F"))
BAR: Final = ua.EUInformation(UNECE, 4342098, ua.LocalizedText("bar"))
POLICIES: Final = tuple(ua.SecurityPolicyType)


class Users(UserManager):
    """One person, and anybody without a name whose certificate is known or who shows none."""

    def __init__(self, known: Sequence[Path]) -> None:
        self._known = {None, b"", *(each.read_bytes() for each in known)}

    def get_user(
        self,
        iserver: Any,  # noqa: ARG002 - Any: asyncua's own
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,  # the user's, else that of the channel
    ) -> User | None:
        """Whom the server lets in."""
        known = username is None and certificate in self._known
        if known or (username, password) == (USER, PASSWORD):
            return User(role=UserRole.User)
        return None


async def serve(port: int, files: Sequence[Path]) -> None:
    """Serve until killed."""
    server = Server(user_manager=Users(files[2:]))
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/field")
    await server.set_application_uri(SERVER_URI)
    policies: Sequence[ua.SecurityPolicyType] = POLICIES[:1]
    if files:
        certificate, key = files[:2]
        await server.load_certificate(certificate)
        await server.load_private_key(key)
        policies = POLICIES
    server.set_security_policy(list(policies))
    server.set_identity_tokens(
        [ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken]
    )
    index = await server.register_namespace(URI)
    made = await _variables(server, index)
    async with server, asyncio.TaskGroup() as group:
        group.create_task(_forget(server))
        await server.historize_node_data_change(made["count"], count=HISTORY)
        await _go_on(server, made)


async def _variables(server: Server, index: int) -> dict[str, Any]:  # Any: asyncua's nodes
    kinds: dict[str, tuple[Any, ua.VariantType]] = {
        "count": (0, ua.VariantType.UInt32),
        "half": (0.0, ua.VariantType.Double),
        "fast": (0.0, ua.VariantType.Double),
        "temperature": (50.0, ua.VariantType.Double),
        "pressure": (2.5, ua.VariantType.Double),
        "vibration": ([0.5, 1.5, 2.5], ua.VariantType.Double),
        "recipe": ("blend", ua.VariantType.String),
        "running": (True, ua.VariantType.Boolean),
        "state": (2, ua.VariantType.Int32),
        "still": (4.5, ua.VariantType.Float),
    }
    made: dict[str, Any] = {}
    for name, (value, kind) in kinds.items():
        node = ua.NodeId(ua.String(name), ua.Int16(index))
        made[name] = await server.nodes.objects.add_variable(
            node, f"{index}:{name}", value, varianttype=kind
        )
        at = datetime.now(UTC) - (HOUR if name == "still" else timedelta())
        data = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=at)  # type: ignore[arg-type]  # asks for its own subclass
        await server.write_attribute_value(made[name].nodeid, data)
    for name, unit in (("temperature", FAHRENHEIT), ("pressure", BAR)):
        told = await made[name].add_property(ua.NodeId(), "0:EngineeringUnits", unit)
        await told.set_writable()
    return made


async def _forget(server: Server) -> None:
    """Without a word to anybody: on such a signal the clients are away."""
    told: asyncio.Queue[bool] = asyncio.Queue()
    for number, whole in ((signal.SIGUSR1, True), (signal.SIGUSR2, False)):
        asyncio.get_running_loop().add_signal_handler(number, told.put_nowait, whole)
    while True:
        whole = await told.get()
        for session in list(server.iserver._external_sessions.values()):  # noqa: SLF001 - it has no other way to
            await session.close_session(delete_subs=whole)


async def _go_on(server: Server, made: dict[str, Any]) -> None:  # Any: as above
    for number in itertools.count(1):
        at = datetime.now(UTC)
        for name, value, kind, told in (
            ("count", number, ua.VariantType.UInt32, at),
            ("half", number / 2, ua.VariantType.Double, at),
            ("fast", number / 2, ua.VariantType.Double, at + AHEAD),
        ):
            data = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=told)  # type: ignore[arg-type]  # as above
            await server.write_attribute_value(made[name].nodeid, data)
        if number % SETTLED == 0:
            array = ua.Variant([0.5, 1.5, float(number)], ua.VariantType.Double)
            await server.write_attribute_value(made["vibration"].nodeid, ua.DataValue(array))
        await asyncio.sleep(PERIOD_S)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1]), [Path(file) for file in sys.argv[2:]]))
