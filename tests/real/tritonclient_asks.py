"""Somebody else's client of the inference protocol, in a process of its own: gevent owns it.

Usage: python -m tests.real.tritonclient_asks PORT FILE.npy

Prints one JSON document with everything that it was told.
"""

import json
import sys
from typing import Any

import numpy as np


def told(port: str, path: str) -> dict[str, Any]:  # Any: JSON values
    """Ask everything that a client asks."""
    from tritonclient.http import (  # noqa: PLC0415 - loads gevent
        InferenceServerClient,
        InferInput,
        InferRequestedOutput,
    )
    from tritonclient.utils import InferenceServerException  # noqa: PLC0415 - likewise

    rows = np.load(path)
    client = InferenceServerClient(f"127.0.0.1:{port}")
    scores: dict[str, list[Any]] = {}  # Any: nested numbers
    ids: list[str] = []
    for binary in (True, False):
        for number, row in enumerate(rows):
            given = InferInput("x", [1, row.size], "FP32")
            given.set_data_from_numpy(row.reshape(1, -1), binary_data=binary)
            wanted = InferRequestedOutput("scores", binary_data=binary)
            answer = client.infer("pump", [given], outputs=[wanted], request_id=str(number))
            scores.setdefault(str(binary), []).append(answer.as_numpy("scores").ravel().tolist())
            ids.append(answer.get_response()["id"])
    refused = []
    for model, shape in (("other", [1, 8]), ("pump", [8, 1])):
        given = InferInput("x", shape, "FP32")
        given.set_data_from_numpy(np.zeros(shape, np.float32))
        try:
            client.infer(model, [given])
        except InferenceServerException as error:
            refused.append([error.status(), error.message()])
    unasked = InferInput("x", [1, 8], "FP32")
    unasked.set_data_from_numpy(np.zeros((1, 8), np.float32))
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("pump"),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata("pump"),
        "scores": scores,
        "ids": ids,
        "refused": refused,
        "outputs": [
            each["name"] for each in client.infer("pump", [unasked]).get_response()["outputs"]
        ],
    }


if __name__ == "__main__":
    print(json.dumps(told(*sys.argv[1:])))  # noqa: T201 - this is how it answers
