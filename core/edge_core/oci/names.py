"""Which names from outside may become a part of a path or a URL.

Grammar: OCI distribution-spec 1.1 for repositories and tags, OCI referrers tag schema for the
fallback tag. A file path inside an artefact is narrower than ModelPack's: one plain file name or
folders of them, so that no name can leave its folder or hide in it.
"""

import re
from typing import Final

from edge_core.contracts.artefact import Digest, is_digest
from edge_core.contracts.errors import RefusedError
from edge_core.trust.strict_json import shown

REPOSITORY_LENGTH_MAX: Final = 255  # the limit of most registries, host included
FILEPATH_LENGTH_MAX: Final = 200  # fits every file system with our folders before it
FILEPATH_DEPTH_MAX: Final = 8

_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_WORD}(?:/{_WORD})*\Z")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_FALLBACK: Final = re.compile(r"sha256-[0-9a-f]{64}\Z")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]{0,126}[A-Za-z0-9_])?\Z")


def check_digest(text: str) -> Digest:
    """*text*, if it is a digest.

    Raises:
        RefusedError: it is not `sha256:` and 64 lower-case hex digits.
    """
    if not is_digest(text):
        raise RefusedError(f"digest: expected sha256:<64 hex digits>, found {shown(text)}")
    return text


def is_tag(text: str) -> bool:
    """Whether *text* is a tag."""
    return _TAG.match(text) is not None


def check_tag(text: str) -> str:
    """*text*, if it is a tag.

    Raises:
        RefusedError: it is not.
    """
    if not is_tag(text):
        raise RefusedError(
            f"tag: expected up to 128 letters, digits, '.', '_' or '-', found {shown(text)}"
        )
    return text


def check_reference(text: str) -> str:
    """*text*, if it is a digest or a tag.

    Raises:
        RefusedError: it is neither.
    """
    return check_digest(text) if ":" in text else check_tag(text)


def check_repository(text: str) -> str:
    """*text*, if it is a repository name.

    Raises:
        RefusedError: it is not.
    """
    if len(text) > REPOSITORY_LENGTH_MAX or _REPOSITORY.match(text) is None:
        raise RefusedError(
            "repository: expected lower-case words separated by '/', '.', '_' or '-', "
            f"found {shown(text)}"
        )
    return text


def check_filepath(text: str) -> str:
    """*text*, if it is a relative path of plain names that stays inside its folder.

    Raises:
        RefusedError: it is absolute, climbs, hides a file, or has an odd character.
    """
    names = text.split("/")
    plain = all(_FILE_NAME.match(name) is not None and ".." not in name for name in names)
    if len(text) > FILEPATH_LENGTH_MAX or len(names) > FILEPATH_DEPTH_MAX or not plain:
        raise RefusedError(
            "file path: expected a relative path of letters, digits, '.', '_', '+' or '-', "
            f"found {shown(text)}"
        )
    return text


def fallback_tag(subject: Digest) -> str:
    """The tag that lists the referrers of *subject* where there is no referrers API."""
    return check_digest(subject).replace(":", "-", 1)


def is_fallback_tag(tag: str) -> bool:
    """Whether *tag* is bookkeeping of the tag schema, and so no release."""
    return _FALLBACK.match(tag) is not None
