"""Settings of a source of pictures."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Label
from edge_runtime.bounds import MIB, Seconds, Text


class FramesConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="frames"
):
    """Pictures from a folder into which they are dropped, or from a camera's stream or a video.

    Attributes:
        role: what the pictures show; a model asks for it by this name.
        folder: PNG and JPEG files appear in it, and are moved to `taken` or `refused` below it. A
            file counts as taken when it was last written; one that is a minute off shows nothing.
        video: `rtsp://...`, `rtsps://...`, `https://...`, or a file; needs edge-mlops[frames].
        user: of a camera that asks who we are.
        password: file with the password; mode 0600.
        transport: how the pictures of an RTSP stream travel.
        bytes_max: a larger file is refused unread.
        pixels_max: a larger picture is refused before it is decoded; with `bytes_max` it bounds
            the memory of the process that decodes.
        decode_s: a picture that takes longer is given up, with the process that decodes it.
        stale_s: a picture stands for what is there for so long, or until the model's contract
            expects the next. After the contract's gap on top of that there is no verdict.
        look_s: how often the folder is looked through where the system does not tell of new files.
        every_s: of a video at most one picture in so long is taken.
        kept_max: so many files stay in `taken`, and so many in `refused`; the oldest go.
        silence_s: a camera that shows nothing for so long is dialled again.
    """

    name: Label
    role: Label
    folder: Path | None = None
    video: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    user: Text | None = None
    password: Path | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    bytes_max: Annotated[int, Meta(ge=1024, le=256 * MIB)] = 16 * MIB
    pixels_max: Annotated[int, Meta(ge=1, le=100_000_000)] = 25_000_000
    decode_s: Annotated[float, Meta(gt=0, le=600)] = 5.0
    stale_s: Seconds | None = None
    look_s: Seconds = 2.0
    every_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    kept_max: Annotated[int, Meta(ge=0, le=100_000)] = 100
    silence_s: Seconds = 5.0
    retry_s: Seconds = 1.0

    def __post_init__(self) -> None:
        """Refuse none or two places to take pictures from.

        Raises:
            ValueError: neither or both are named.
        """
        if (self.folder is None) == (self.video is None):
            raise ValueError("frames: expected either `folder` or `video`")
