"""One OPC UA connection for a person's question; what goes wrong is said in plain words."""

import logging
import struct
from asyncio import timeout, to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from edge_core.contracts.errors import NotPermittedError
from edge_runtime.errors import SourceLostError
from edge_runtime.sources.opcua_client import CONNECT_S, library, open_session, throw_away
from edge_runtime.sources.opcua_config import OpcUaConfig

_NOT_PERMITTED: Final = (
    *("BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid"),
    "BadNotReadable",
)


@dataclass(frozen=True, slots=True)
class Connection:
    """A session with a server: asyncua's client and types, and the server's namespaces."""

    client: Any  # Any: asyncua ships no types
    ua: Any  # Any: as above
    namespaces: list[str]

    @property
    def session(self) -> Any:  # Any: as above
        """What browses and reads."""
        return self.client.uaclient


@asynccontextmanager
async def connected(config: OpcUaConfig) -> AsyncIterator[Connection]:
    """A session with the server of *config*, as long as the context lasts.

    Raises:
        SourceLostError: it cannot be reached, broke off, or answers what cannot be read.
        NotPermittedError: it lets nobody in whom it does not know.
        ConfigurationError: the files of *config* cannot be used.
    """
    asyncua = await to_thread(library)
    # At INFO this library writes out every value, at ERROR a traceback for every lost link.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    # A question may make a server work harder than a subscription does.
    patient = msgspec.structs.replace(config, answer_s=max(config.answer_s, CONNECT_S))
    with plainly(config.url, asyncua.ua):
        async with timeout(CONNECT_S):
            client = await open_session(patient, asyncua)
        try:
            async with timeout(CONNECT_S):
                namespaces = await client.get_namespace_array()
            yield Connection(client, asyncua.ua, [str(each) for each in namespaces])
        finally:
            await throw_away(client)


@contextmanager
def plainly(url: str, ua: Any) -> Iterator[None]:  # Any: as above
    """Say what the library raises as one of our errors.

    Raises:
        SourceLostError: see `connected`.
        NotPermittedError: likewise.
    """
    try:
        yield
    except TimeoutError as error:
        words = str(error) or f"expected an answer within {CONNECT_S:g} s, found none"
        raise SourceLostError(f"{url}: {words}") from error
    except ua.UaStatusCodeError as error:
        code = ua.StatusCode(error.code)
        words = f"{url}: the server says {code.name}: {code.doc}"
        if code.name in _NOT_PERMITTED:
            raise NotPermittedError(words) from error
        raise SourceLostError(words) from error
    except (OSError, ua.UaError) as error:
        raise SourceLostError(f"{url}: {str(error) or repr(error)}") from error
    except (
        struct.error,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        # The library reads answers as they come; nonsense ends in whatever Python raises then.
        raise SourceLostError(
            f"{url}: expected answers as OPC 10000-6 has them, found something else "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error
