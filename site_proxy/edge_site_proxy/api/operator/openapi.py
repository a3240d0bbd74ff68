"""The OpenAPI 3.1 description of this API, generated from the types it speaks in."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from edge_core.contracts.alarms import AlarmSummary, Maintenance, MaintenanceRequest
from edge_core.contracts.api import (
    AckRequest,
    AlarmView,
    Change,
    GatewayException,
    GatewayView,
    LabelRequest,
    LeaseRequest,
    Overview,
    Problem,
    ReasonRequest,
    RetireRequest,
    SafeModeRequest,
    ShelveRequest,
    Snapshot,
    WhoAmI,
)
from edge_core.contracts.audit import AuditEvent, WhatRan
from edge_core.contracts.gates import GateChecks
from edge_core.contracts.gateway import Checkpoint
from edge_core.contracts.review import QueueSummary, ReviewItem
from edge_core.contracts.rollout import RolloutView
from edge_core.contracts.signing import (
    ApproveRequest,
    PinRequest,
    PinResetRequest,
    PinView,
    RevokeRequest,
    WaiveRequest,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One path: what it takes, what it gives, what may be asked in the query."""

    path: str
    answer: Any  # Any: a type or a generic alias, as msgspec takes them
    body: type | None = None
    query: tuple[str, ...] = ()
    media: str = "application/json"
    matched: bool = False  # If-Match must be sent

    @property
    def method(self) -> str:
        """A path with a body changes something."""
        return "post" if self.body is not None or self.path.endswith("/undo") else "get"


_ROLLOUT = "/v1/rollouts/{rollout}"
OPERATIONS = (
    Operation("/v1/whoami", WhoAmI),
    Operation("/v1/overview", Overview),
    Operation("/v1/gateways", list[GatewayView], query=("line", "contains", "stale")),
    Operation("/v1/gateways/{serial}", GatewayView),
    Operation("/v1/gateways/{serial}/rollback", GatewayView, ReasonRequest),
    Operation("/v1/gateways/{serial}/snapshot", Snapshot, ReasonRequest),
    Operation("/v1/gateways/{serial}/resume", GatewayView, ReasonRequest),
    Operation("/v1/gateways/{serial}/declare-dead", GatewayView, ReasonRequest),
    Operation("/v1/gateways/{serial}/decommission", list[GatewayView], RetireRequest),
    Operation("/v1/conflicts/resume", list[GatewayView], ReasonRequest),
    Operation("/v1/exceptions", list[GatewayException]),
    Operation("/v1/safe-mode", list[GatewayView], SafeModeRequest),
    Operation("/v1/rollouts", list[RolloutView], query=("state", "open")),
    Operation("/v1/gate-checks", GateChecks),
    Operation(_ROLLOUT, RolloutView),
    Operation(f"{_ROLLOUT}/approve", RolloutView, ApproveRequest, matched=True),
    Operation(f"{_ROLLOUT}/hold", RolloutView, ReasonRequest, matched=True),
    Operation(f"{_ROLLOUT}/acknowledge", RolloutView, ReasonRequest, matched=True),
    Operation(f"{_ROLLOUT}/revoke", RolloutView, RevokeRequest, matched=True),
    Operation(f"{_ROLLOUT}/resume", RolloutView, WaiveRequest, matched=True),
    Operation(f"{_ROLLOUT}/cancel", RolloutView, ReasonRequest, matched=True),
    Operation(f"{_ROLLOUT}/rollback", RolloutView, ReasonRequest),
    Operation(f"{_ROLLOUT}/switch", RolloutView, ReasonRequest, matched=True),
    Operation("/v1/pin", PinView, PinRequest),
    Operation("/v1/pin/reset", PinView, PinResetRequest),
    Operation("/v1/queue", list[ReviewItem], query=("state", "line", "asset", "limit")),
    Operation("/v1/queue/summary", QueueSummary),
    Operation("/v1/queue/export", None, media="application/jsonl"),
    Operation("/v1/queue/lease", list[ReviewItem], LeaseRequest),
    Operation("/v1/queue/{item}/label", ReviewItem, LabelRequest),
    Operation("/v1/queue/{item}/undo", ReviewItem),
    Operation("/v1/alarms", list[AlarmView], query=("all", "state", "group", "limit")),
    Operation("/v1/alarms/summary", AlarmSummary),
    Operation("/v1/alarms/{alarm}/ack", AlarmView, AckRequest),
    Operation("/v1/alarms/{alarm}/shelve", AlarmView, ShelveRequest),
    Operation("/v1/alarms/{alarm}/unshelve", AlarmView, ReasonRequest),
    Operation("/v1/alarms/{alarm}/reset", AlarmView, ReasonRequest),
    Operation("/v1/alarms/{alarm}/retire", AlarmView, ReasonRequest),
    Operation("/v1/alarms/{alarm}/restore", AlarmView, ReasonRequest),
    Operation("/v1/maintenance", list[Maintenance]),
    Operation("/v1/maintenance", Maintenance, MaintenanceRequest),
    Operation("/v1/maintenance/{line}/end", Maintenance, ReasonRequest),
    Operation("/v1/audit", list[AuditEvent], query=("after", "limit")),
    Operation("/v1/audit/checkpoint", Checkpoint),
    Operation("/v1/audit/what-ran", WhatRan, query=("asset", "at")),
    Operation("/v1/events", Change, query=("after",), media="text/event-stream"),
    Operation("/v1/openapi.json", None),
)


@cache
def document() -> dict[str, Any]:  # Any: an OpenAPI document is JSON
    """The description."""
    types: list[Any] = [Problem]  # Any: types and generic aliases
    types += [each.answer for each in OPERATIONS if each.answer is not None]
    types += [each.body for each in OPERATIONS if each.body is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    named = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}  # Any: JSON
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, named)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edge-mlops operator API", "version": "1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(each: Operation, named: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    schema = {} if each.answer is None else {"schema": named[repr(each.answer)]}
    described: dict[str, Any] = {  # Any: JSON
        "parameters": [*_in_path(each.path), *_in_query(each)],
        "responses": {
            "200": {"description": "done", "content": {each.media: schema}},
            "default": {
                "description": "refused",
                "content": {"application/problem+json": {"schema": named[repr(Problem)]}},
            },
        },
    }
    if each.body is not None:
        content = {"application/json": {"schema": named[repr(each.body)]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _in_path(path: str) -> list[dict[str, object]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    text = {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in names]


def _in_query(each: Operation) -> list[dict[str, object]]:
    text = {"type": "string"}
    found: list[dict[str, object]] = [
        {"name": name, "in": "query", "schema": text} for name in each.query
    ]
    if each.matched:
        found.append({"name": "If-Match", "in": "header", "required": True, "schema": text})
    return found
