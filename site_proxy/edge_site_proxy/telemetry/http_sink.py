"""The upstream as an OTLP/HTTP endpoint: a collector, or a store that speaks OTLP."""

from collections.abc import Callable
from datetime import datetime
from ssl import SSLContext

import aiohttp

from edge_core.contracts.telemetry import (
    BATCH_CRC_HEADER,
    BATCH_ID_HEADER,
    INGEST_CLOCK_HEADER,
    INGEST_TIME_HEADER,
)
from edge_site_proxy.telemetry.batch import Outbound
from edge_site_proxy.telemetry.encoding import Encoding
from edge_site_proxy.telemetry.retry import Outcome, Verdict, judge

_ANSWER_BYTES_MAX = 64 * 1024  # a partial success names its reason; nobody needs a page of HTML


class HttpSink:
    """Posts batches to *url*`/v1/<signal>`.

    Args:
        session: the caller's; it owns connections and proxy settings.
        url: scheme, host, port and any prefix, without a slash at its end.
        now: wall clock, for a `Retry-After` that is a date.
        ssl: trust and client certificate; None takes the system's trust.
        authorization: gives the header's value at every request, so that it may change.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        now: Callable[[], datetime],
        ssl: SSLContext | None = None,
        authorization: Callable[[], str] | None = None,
    ) -> None:
        self._session = session
        self._url = url
        self._now = now
        self._ssl: SSLContext | bool = True if ssl is None else ssl
        self._authorization = authorization

    @property
    def name(self) -> str:
        """The URL."""
        return self._url

    async def send(self, batch: Outbound) -> Outcome:
        """Post one batch; whatever leaves open whether it arrived is a RETRY with the same id."""
        try:
            async with self._session.post(
                f"{self._url}/v1/{batch.signal.value}",
                data=batch.body,
                headers=self._headers(batch),
                allow_redirects=False,
                ssl=self._ssl,
            ) as answer:
                said = await answer.content.read(_ANSWER_BYTES_MAX)
                partial = answer.status == 200 and bool(said)
                after = answer.headers.get("retry-after")
                return judge(answer.status, after, partial=partial, now=self._now())
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            return Outcome(Verdict.PAUSE, f"{self._url}: {error}")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(Verdict.RETRY, f"{self._url}: {str(error) or type(error).__name__}")

    def _headers(self, batch: Outbound) -> dict[str, str]:
        headers = {
            "content-type": "application/x-protobuf",
            BATCH_ID_HEADER: str(batch.batch),
            BATCH_CRC_HEADER: f"{batch.crc32c:08x}",
            INGEST_TIME_HEADER: str(batch.ingest_unix_nano),
            INGEST_CLOCK_HEADER: "synced" if batch.synchronised else "unsynced",
        }
        if batch.encoding is not Encoding.IDENTITY:
            headers["content-encoding"] = batch.encoding.name.lower()
        if self._authorization is not None:
            headers["authorization"] = self._authorization()
        return headers
