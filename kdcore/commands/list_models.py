"""The models that a spec can name: timm's and those of plugins."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from kdcore.entries import ModelEntry
from kdcore.plugins import get_plugins
from kdcore.spec import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMM = "timm"


@dataclass(frozen=True)
class ListedModel:
    """A model that a spec can name.

    Attributes:
        name: the name for a spec; 'plugin/name' or 'timm/name' if two models have the same name.
        source: 'timm', or the plugin.
        pretrained: the tags of its pretrained weights; a spec can name them as 'name.tag'.
        summary: what a plugin says about its model; empty for timm's.
    """

    name: str
    source: str
    pretrained: tuple[str, ...]
    summary: str


def list_models(pattern: str = "", *, pretrained: bool = False) -> tuple[ListedModel, ...]:
    """The models that a spec can name, sorted by name; numbers in a name by their value.

    Args:
        pattern: a part of the name, or the whole name with the wildcards `*`, `?` and `[...]`; upper and lower case
            are the same. With a '.' it is compared with 'name.tag' too, and only the tags that match are listed.
        pretrained: only models that have pretrained weights.
    """
    wanted = pattern.lower()
    if not any(character in wanted for character in "*?["):
        wanted = f"*{wanted}*"
    found = (_matching(model, wanted) for model in _all_models())
    return tuple(
        sorted(
            (model for model in found if model is not None and (model.pretrained or not pretrained)),
            key=lambda model: _natural(model.name),
        )
    )


def _all_models() -> Iterator[ListedModel]:
    provided = get_plugins().all(ModelEntry)
    known = installed.models()
    count = Counter(item.entry.name for item in provided)
    for name, model in known.items():
        yield ListedModel(f"timm/{name}" if name in count else name, _TIMM, model.weights, "")
    for item in provided:
        ambiguous = count[item.entry.name] > 1 or item.entry.name in known
        name = item.qualified if ambiguous else item.entry.name
        yield ListedModel(name, item.plugin.name, (), item.entry.summary)


def _natural(name: str) -> list[tuple[int, str]]:
    """What a name is sorted by: 'resnet18' before 'resnet101'."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name.lower())]


def _matching(model: ListedModel, pattern: str) -> ListedModel | None:
    """The model if its name matches, or the model with those of its tags that match."""
    name = model.name.lower()
    if fnmatchcase(name, pattern):
        return model
    tags = tuple(tag for tag in model.pretrained if fnmatchcase(f"{name}.{tag}".lower(), pattern))
    if "." not in pattern or not tags:
        return None
    return ListedModel(model.name, model.source, tags, model.summary)
