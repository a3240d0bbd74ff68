"""OCI content: documents, folders and registries that have releases, and how to fetch them."""

from edge_core.oci.attachments import (
    EMPTY,
    EMPTY_BYTES,
    bundle_manifest,
    channel_manifest,
    channel_tag,
    plan_manifest,
    plan_tag,
    sbom_manifest,
)
from edge_core.oci.digest import Hasher, digest_of, digest_of_file
from edge_core.oci.documents import Fetched, decode_document, encode_document, fetched
from edge_core.oci.errors import DigestMismatchError
from edge_core.oci.layout import Layout
from edge_core.oci.names import (
    check_digest,
    check_filepath,
    check_reference,
    check_repository,
    check_tag,
    fallback_tag,
    is_fallback_tag,
)
from edge_core.oci.pull import (
    Limits,
    Offer,
    Progress,
    Pulled,
    enlist,
    everything,
    fetch_channel,
    fetch_plan,
    look_up,
    pull_release,
)
from edge_core.oci.registry import Registry
from edge_core.oci.source import Meter, Source
from edge_core.oci.store import BlobStore

__all__ = [
    "EMPTY",
    "EMPTY_BYTES",
    "BlobStore",
    "DigestMismatchError",
    "Fetched",
    "Hasher",
    "Layout",
    "Limits",
    "Meter",
    "Offer",
    "Progress",
    "Pulled",
    "Registry",
    "Source",
    "bundle_manifest",
    "channel_manifest",
    "channel_tag",
    "check_digest",
    "check_filepath",
    "check_reference",
    "check_repository",
    "check_tag",
    "decode_document",
    "digest_of",
    "digest_of_file",
    "encode_document",
    "enlist",
    "everything",
    "fallback_tag",
    "fetch_channel",
    "fetch_plan",
    "fetched",
    "is_fallback_tag",
    "look_up",
    "plan_manifest",
    "plan_tag",
    "pull_release",
    "sbom_manifest",
]
