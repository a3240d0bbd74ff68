"""What every place that has releases can do: a registry, a site's mirror, a folder."""

from pathlib import Path
from typing import Protocol

from edge_core.contracts.artefact import Descriptor, Digest
from edge_core.oci.documents import Fetched


class Meter(Protocol):
    """Gives out bytes before they are fetched, and hears of those that came."""

    async def allow(self, missing: int) -> int:
        """How many of *missing* bytes may be fetched now; at least one.

        Raises:
            TryAgainError: none for now.
        """
        ...

    async def took(self, count: int) -> None:
        """So many came; returns when more may."""
        ...


class Source(Protocol):
    """One repository of releases, read-only.

    Raises, from every method:
        RefusedError: what came is not what was asked for, or the name makes no sense.
        NotFoundError: it is not there.
        NotPermittedError: the other side wants other credentials.
        UnreachableError: no answer, or it broke off; the same call later goes on where it was.
        TryAgainError: our own disk is full or somebody else is fetching the very same blob.
    """

    async def manifest(self, reference: str) -> Fetched:
        """The manifest or index at *reference*, a tag or a digest; checked if by digest."""
        ...

    async def blob(self, descriptor: Descriptor, into: Path) -> None:
        """Bring a blob to the file *into*, which appears only when size and digest are right.

        What came before a failure stays beside it as `<into>.part` and is not fetched again.
        """
        ...

    async def referrers(
        self, subject: Digest, artifact_type: str | None = None
    ) -> list[Descriptor]:
        """Manifests that name *subject* as theirs, of *artifact_type* if one is given."""
        ...

    async def tags(self) -> list[str]:
        """All tags, sorted, without the bookkeeping of the referrers tag schema."""
        ...
