"""The published numbers of examples/papers/published.toml, and the spec of each row."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kd_compare.methods import chosen_methods
from kd_compare.request import read_comparison
from pydantic import BaseModel, ConfigDict

from kdcore.inspect import load_spec
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from kd_compare.request import Variant

    from kdcore.inspect import LoadedSpec

PAPERS: Final = Path(__file__).parents[2] / "examples" / "papers"
# where the images are does not matter here, and a name of timm's is not looked for on the disk
_ANYWHERE: Final = "data.dataset=torch/cifar100"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Table):
    """Where numbers come from."""

    title: str
    url: str


class Row(_Table):
    """A method's published top-1 in percent; None: nothing is published, or it was not found."""

    top1: float | None = None
    source: str | None = None


class Pair(_Table):
    """A teacher and a student.

    Attributes:
        file: the comparison file with all methods, relative to examples/papers.
        teacher: its published top-1; None: it was not found.
        rows: by the labels of the comparison file.
    """

    file: str
    title: str
    teacher: float | None = None
    rows: dict[str, Row]

    @property
    def name(self) -> str:
        """The name of the comparison."""
        return comparison_name(self)


class Section(_Table):
    """Tables on one set of images with one recipe; `notes` say what differs from the authors' code."""

    title: str
    text: str
    notes: tuple[str, ...] = ()
    pairs: list[Pair]


class Published(_Table):
    """The whole file."""

    sources: dict[str, Source]
    sections: list[Section]

    @property
    def pairs(self) -> dict[str, Pair]:
        """All pairs by the names of their comparisons."""
        return {pair.name: pair for section in self.sections for pair in section.pairs}


def read_published(folder: Path = PAPERS) -> Published:
    """The content of `published.toml`."""
    return Published.model_validate(tomllib.loads((folder / "published.toml").read_text("utf-8")))


def comparison_name(pair: Pair, folder: Path = PAPERS) -> str:
    """The name in the comparison file, which is that of its folder."""
    return str(tomllib.loads((folder / pair.file).read_text("utf-8"))["name"])


def methods(pair: Pair, folder: Path = PAPERS) -> dict[str, Variant]:
    """The methods of the comparison file, by their labels."""
    request = read_comparison(folder / pair.file)
    found = chosen_methods(request, get_plugins())
    return {variant.label or variant.distiller or "": variant for variant in found}


def load_row(pair: Pair, label: str, dataset: str = _ANYWHERE) -> LoadedSpec:
    """The checked spec of one row, whose images are anywhere."""
    variant = methods(pair)[label]
    return load_spec(variant.spec, overrides=(*variant.overrides, dataset))
