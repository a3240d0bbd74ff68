"""What a model of pictures asks for: how a picture becomes its one input."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_core.contracts.label import Label


class FrameInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a picture becomes the model's one input; `edge_core.features.frame` says it exactly.

    `role` is played by a source of pictures on the gateway. `mean` and `sd` have one entry a
    channel, or none; they and `scale` have no meaning for uint8. `fill` is what surrounds a
    picture that is letterboxed.
    """

    role: Label
    height: Annotated[int, Meta(ge=1, le=4096)]
    width: Annotated[int, Meta(ge=1, le=4096)]
    fit: Literal["letterbox", "crop", "stretch"] = "letterbox"
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Literal["float32", "uint8"] = "float32"
    scale: Annotated[float, Meta(gt=0)] = 1 / 255
    mean: Annotated[list[float], Meta(max_length=3)] = []
    sd: Annotated[list[Annotated[float, Meta(gt=0)]], Meta(max_length=3)] = []
    fill: Annotated[int, Meta(ge=0, le=255)] = 114

    def __post_init__(self) -> None:
        """Refuse means and deviations that are not one a channel.

        Raises:
            ValueError: another number of them.
        """
        depth = 1 if self.channels == "grey" else 3
        for name, found in (("mean", self.mean), ("sd", self.sd)):
            if found and len(found) != depth:
                raise ValueError(f"{name}: expected {depth} numbers or none, found {len(found)}")
