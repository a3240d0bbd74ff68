"""Opens and reads the files of a model: plain, bounded, and what was recorded.

The process that decides opens them and hands on descriptors, so what is checked and what is
loaded are the same bytes even when the path is exchanged meanwhile.
"""

import hashlib
import os
import stat

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import Digest


def open_model(file: ModelFile, bytes_max: int) -> int:
    """An open descriptor for reading; the caller closes it.

    Raises:
        ModelRefusedError: not there, not a plain file, or larger than *bytes_max*.
    """
    try:
        # A pipe under that name would block the one who opens it for ever.
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ModelRefusedError(
            f"{file.name}: expected a readable file, found: {error.strerror}"
        ) from error
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size <= bytes_max:
        return fd
    os.close(fd)
    found = f"{status.st_size} bytes" if stat.S_ISREG(status.st_mode) else "something else"
    raise ModelRefusedError(
        f"{file.name}: expected a plain file of at most {bytes_max} bytes, found {found}"
    )


def read_model(name: str, fd: int, bytes_max: int, recorded: Digest | None) -> bytes:
    """The bytes behind *fd* from the start; the descriptor's position is neither used nor moved.

    Raises:
        ModelRefusedError: more than *bytes_max*, or they do not hash to *recorded*.
    """
    content = bytearray()
    while chunk := os.pread(fd, 1 << 20, len(content)):
        content += chunk
        if len(content) > bytes_max:
            raise ModelRefusedError(f"{name}: expected at most {bytes_max} bytes")
    found = digest_of(content)
    if recorded is not None and found != recorded:
        raise ModelRefusedError(f"{name}: expected {recorded}, found {found}")
    return bytes(content)


def digest_of(content: bytes | bytearray) -> Digest:
    """The SHA-256 of *content* as artefacts write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
