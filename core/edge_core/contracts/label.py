"""What a name that people and machines both use may be made of."""

from typing import Annotated

from msgspec import Meta

LABEL_PATTERN = r"^[a-z][a-z0-9_-]{0,39}$"

Label = Annotated[str, Meta(pattern=LABEL_PATTERN)]
