"""Whose a figure, a log event or a span is: the attributes that all of them bear."""

from typing import Final

from opentelemetry.sdk.resources import Resource

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import (
    DEPLOYMENT_ID,
    GATEWAY_SERIAL,
    MODEL_NAME,
    MODEL_VERSION,
    SITE,
    SLOT,
)

SCOPE: Final = "edge_runtime"


def resource(serial: Serial, site: str) -> Resource:
    """The gateway."""
    return Resource({"service.name": SCOPE, GATEWAY_SERIAL: serial, SITE: site})


def series(serial: Serial, release: ReleaseRef, role: str) -> dict[str, str]:
    """One model in one role on one gateway."""
    return {
        MODEL_NAME: release.model,
        MODEL_VERSION: release.version,
        DEPLOYMENT_ID: release.digest,
        GATEWAY_SERIAL: serial,
        SLOT: role,
    }
