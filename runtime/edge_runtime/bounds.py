"""What the settings of a gateway may be: kinds of text and numbers with their bounds."""

from typing import Annotated

from msgspec import Meta

MIB = 1024 * 1024

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s/]+(/[^\s]*)?$", max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=255)]
