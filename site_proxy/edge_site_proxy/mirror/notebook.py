"""What the mirror must remember: the highest channel seen, and what was refused, as evidence."""

import base64
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import RefusedError
from edge_core.oci import Offer
from edge_core.oci.disk import replace_bytes
from edge_core.trust import ChannelMark

REFUSALS_MAX = 64  # evidence for people, not an archive; the oldest goes first


class Refusal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release that was refused under a policy: index and signatures as they came, base64."""

    digest: Digest
    policy: Digest
    reason: str
    index: str
    bundles: list[str]


class Notebook:
    """Files in the mirror's folder; every method blocks.

    Args:
        folder: exists.
        policy: fingerprint of what is accepted; under another one a refusal is looked at again.
    """

    def __init__(self, folder: Path, policy: Digest) -> None:
        self._mark = folder / "channel.json"
        self._refused = folder / "refused"
        self._policy = policy
        self._refused.mkdir(exist_ok=True)

    def mark(self) -> ChannelMark | None:
        """The highest channel accepted, None on a site's first day.

        Raises:
            RefusedError: the file is damaged: forgetting it would forgive a rollback.
        """
        try:
            return msgspec.json.decode(self._mark.read_bytes(), type=ChannelMark)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RefusedError(
                f"{self._mark}: expected the last channel accepted, found: {error}; restore it "
                "from the backup, or remove it if you know the current channel to be right"
            ) from None

    def keep_mark(self, mark: ChannelMark) -> None:
        """Remember *mark*; returns when it would survive a power cut."""
        replace_bytes(self._mark, msgspec.json.encode(mark))

    def refused(self) -> set[Digest]:
        """What was refused under the policy in force."""
        return {each.digest for each in self._all() if each.policy == self._policy}

    def keep_refusal(self, digest: Digest, reason: str, offer: Offer | None) -> None:
        """Put a refused release aside: what it said and who signed it, never its models."""
        refusal = Refusal(
            digest=digest,
            policy=self._policy,
            reason=reason[:2000],
            index=_text(offer.index.raw) if offer else "",
            bundles=[_text(bundle) for bundle in offer.bundles] if offer else [],
        )
        name = f"{digest.removeprefix('sha256:')}.json"
        replace_bytes(self._refused / name, msgspec.json.encode(refusal))
        self._prune()

    def _all(self) -> list[Refusal]:
        found = []
        for path in self._refused.glob("*.json"):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Refusal))
            except (msgspec.DecodeError, UnicodeDecodeError, OSError):
                # Evidence that cannot be read decides nothing: the release is looked at again.
                continue
        return found

    def _prune(self) -> None:
        paths = sorted(self._refused.glob("*.json"), key=os.path.getmtime)
        for path in paths[:-REFUSALS_MAX]:
            path.unlink(missing_ok=True)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
