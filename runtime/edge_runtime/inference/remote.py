"""A model that another server runs: Triton, OpenVINO Model Server, or anything that speaks V2.

There is no process of ours behind it, so a crash is the server's affair: here it is a window
without a verdict, and the next window asks again. The deadline is the same as for our own.
"""

import asyncio

import aiohttp
import numpy as np
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of
from edge_core.contracts.artefact import Digest
from edge_core.contracts.remote import RemoteModel
from edge_runtime.inference.errors import ModelFailedError, WorkerBusyError, WorkerLostError
from edge_runtime.inference.fitting import Fitting
from edge_runtime.inference.ring import Arrays
from edge_runtime.inference.spec import LoadSpec, WorkerReport, WorkerState
from edge_runtime.inference.v2 import (
    HEADER_BYTES_MAX,
    HEADER_LENGTH,
    Outputs,
    answer_bytes_max,
    ask,
    check_metadata,
    read_answer,
    read_model,
)

REFUSAL_CHARS_MAX = 160


class RemoteWorker:
    """One model at a server; made by `Engine.load`, and used like a `Worker`."""

    def __init__(
        self, spec: LoadSpec, server: str, document: bytes, session: aiohttp.ClientSession
    ) -> None:
        self.spec = spec
        self._server = server
        self._session = session
        self._model: RemoteModel = read_model(document)
        self._digest: Digest = digest_of(document)
        self._fitting = Fitting(spec.signature.inputs)
        self._in_flight = self._answered = self._busy = 0
        self._last_us = 0.0
        self._closed = False
        self._reached = True
        self._used: tuple[str, ...] = ()

    async def begin(self) -> None:
        """Ask the server who it is and what its model takes, and warm it up.

        Raises:
            ModelRefusedError: it cannot be asked, or has another model.
            ModelFailedError: it does not answer the window it is warmed up with.
        """
        try:
            who = await self._get("/v2")
            check_metadata(
                await self._get(self._model.path),
                self.spec.signature.inputs,
                self.spec.signature.outputs,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ModelRefusedError(f"remote: {self._server}: {_why(error)}") from error
        self._used = (f"{self._server}: {ascii(who.decode('utf-8', 'replace'))[1:-1][:80]}",)
        if self.spec.warm:
            await self.run(self.spec.warm)

    async def infer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Worker.infer`."""
        return (await self.run((features,)))[0].astype(np.float32, copy=False)

    async def run(self, inputs: Arrays) -> Outputs:
        """See `Worker.run`.

        Raises:
            WorkerBusyError: as many windows are under way as there are slots.
            WindowRefusedError: *inputs* do not fit the signature.
            ModelFailedError: no answer within the deadline, a refusal, or not the signature's.
            WorkerLostError: it was closed.
        """
        if self._closed:
            raise WorkerLostError(f"model {self.spec.digest}: the worker was closed")
        fitting = self._fitting.fit(inputs)
        if self._in_flight >= self.spec.slots:
            self._busy += 1
            raise WorkerBusyError(
                f"model {self.spec.digest}: all {self.spec.slots} slots hold windows"
            )
        self._in_flight += 1
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self.spec.deadline_s):
                made = await self._ask(fitting)
        except TimeoutError:
            raise ModelFailedError(
                f"remote: {self._server}: no answer within {self.spec.deadline_s:g} s"
            ) from None
        except aiohttp.ClientError as error:
            self._reached = False
            raise ModelFailedError(f"remote: {self._server}: {_why(error)}") from error
        finally:
            self._in_flight -= 1
        self._reached = True
        self._answered += 1
        self._last_us = (asyncio.get_running_loop().time() - began_s) * 1e6
        return made

    async def _ask(self, arrays: Arrays) -> Outputs:
        signature = self.spec.signature
        body, head = ask(signature.inputs, arrays, signature.outputs)
        try:
            return await self._post(body, head)
        except aiohttp.ServerDisconnectedError:
            # A server may close a kept connection just as we send; a fresh one says more.
            return await self._post(body, head)

    async def _post(self, body: bytes, head: int) -> Outputs:
        outputs = self.spec.signature.outputs
        headers = {HEADER_LENGTH: str(head), "Content-Type": "application/octet-stream"}
        url = f"{self._server}{self._model.path}/infer"
        async with self._session.post(url, data=body, headers=headers) as answer:
            found = await _bounded(answer, answer_bytes_max(outputs))
            if answer.status != 200:
                said = ascii(found[:REFUSAL_CHARS_MAX].decode("utf-8", "replace"))[1:-1]
                raise ModelFailedError(f"remote: {self._server}: status {answer.status}: {said}")
            return read_answer(found, answer.headers.get(HEADER_LENGTH), outputs)

    async def _get(self, path: str) -> bytes:
        async with (
            asyncio.timeout(self.spec.deadline_s),
            self._session.get(self._server + path) as answer,
        ):
            found = await _bounded(answer, HEADER_BYTES_MAX)
            if answer.status != 200:
                raise ModelRefusedError(
                    f"remote: {self._server}{path}: expected status 200, found {answer.status}"
                )
            return found

    async def renice(self, nice: int) -> None:
        """Priority is the server's affair; *nice* changes nothing here."""

    def report(self) -> WorkerReport:
        """See `Worker.report`."""
        return WorkerReport(
            digest=self.spec.digest,
            state=self._state(),
            pid=None,
            digests={file.name: self._digest for file in self.spec.files},
            used=self._used,
            in_flight=self._in_flight,
            answered=self._answered,
            restarts=0,
            quarantined=0,
            busy=self._busy,
            last_loss=None,
            last_us=self._last_us,
            spare_ready=False,
            rss_bytes=0,
        )

    def _state(self) -> WorkerState:
        if self._closed:
            return WorkerState.LOST
        return WorkerState.READY if self._reached else WorkerState.RECOVERING

    @property
    def closed(self) -> bool:
        """Whether it is gone for good."""
        return self._closed

    def close(self) -> None:
        """Ask no more."""
        self._closed = True


async def _bounded(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, or a failure if it is longer than *most* bytes."""
    found = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        found += chunk
        if len(found) > most:
            answer.close()
            raise ModelFailedError(f"remote: expected at most {most} bytes, found more")
    return bytes(found)


def _why(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return ascii(text)[1:-1][:200]
