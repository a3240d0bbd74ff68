"""What a signature under a plan covers: the digest of what was on the signer's screen.

A console computes it from the view that it drew, the site from the view that it would give now; a
signature under anything else is refused. So what was signed can be rebuilt from the log alone.
"""

import hashlib

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.contracts.rollout import RolloutView

PARTS = (
    "id",
    "release",
    "rollback_to",
    "cohorts",
    "windows",
    "lines",
    "plan_digest",
    "takes_min",
    "on_fail",
    "signed",
)


def shown_digest(view: RolloutView) -> Digest:
    """SHA-256 over the canonical JSON (RFC 8785) of the parts of *view* that are signed.

    They are the plan by digest, the release and the way back, the cohorts with their members, the
    lines, the change windows, how long it takes at least, what a failed gate leads to, and the
    signed plan that restricts it. The hour at which it ends at best is not signed: it moves while
    one reads, with the clock, the downloads and the windows left. All of them are text, whole
    numbers and flags, for which sorted keys without spaces are the canonical form.
    """
    parts = {name: getattr(view, name) for name in PARTS}
    raw = msgspec.json.encode(parts, order="sorted")
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
