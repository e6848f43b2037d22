"""`data.options` of a Hugging Face dataset. Imports no torch."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from kdcore.options import Options

HUB: Final = "hfds"
"""The prefix of its names."""


class HubOptions(Options):
    """Which columns are read."""

    image: str | None = Field(None, description="The column of the images. By default 'image'.")
    label: str | None = Field(
        None,
        description="The column of the classes, or of lists of labels, which are several labels an image. By default "
        "'label', or 'labels'.",
    )


def is_hub(dataset: str) -> bool:
    """Whether a dataset's name is that of a Hugging Face dataset."""
    prefix, slash, _ = dataset.partition("/")
    return bool(slash) and prefix.lower() == HUB
