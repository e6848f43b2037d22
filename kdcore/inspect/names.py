"""What names in a spec mean, for commands that write specs. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kdcore.plugins import get_plugins
from kdcore.spec.datasets import ImageFiles, ImageTable, resolve_dataset
from kdcore.spec.formats import PARSERS
from kdcore.spec.models import DataSpec
from kdcore.spec.names import TimmName, resolve_model

SPEC_SUFFIXES: Final = tuple(PARSERS)
"""The suffixes of spec files."""


def find_dataset(name: str) -> Path | None:
    """The folder, archive or table that `data.dataset` means in the current folder; None for a dataset that has a name.

    Raises:
        UserError: there is no such dataset.
    """
    found = resolve_dataset(DataSpec(dataset=name), Path.cwd(), get_plugins())
    return found.path if isinstance(found, ImageFiles | ImageTable) else None


def find_model(name: str) -> str | None:
    """The file of timm that has the model of this name, without its suffix; None for a model of a plugin.

    Raises:
        UserError: there is no such model.
    """
    found = resolve_model(name, "model", get_plugins())
    return found.model.file if isinstance(found, TimmName) else None
