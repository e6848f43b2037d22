"""Names of the classes that a model was trained on, and whether they are those of the data."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST: Final = 8
"""Positions that a message shows."""

_SYNSET: Final = re.compile(r"n\d{8}")
_KEYS: Final = ("class_names", "label_names", "classes", "labels", "names", "idx_to_class", "id2label")


def names_in(content: Mapping[str, Any], num_classes: int) -> tuple[str, ...] | None:
    """Class names in a checkpoint or a `config.json`, where they are written in one of the usual ways.

    These are a list of names, a dict from index to name, or `class_to_idx`.
    """
    own = content.get("class_to_idx", content.get("label2id"))
    found = [content[key] for key in _KEYS if key in content]
    if isinstance(own, dict):
        found.insert(0, {index: name for name, index in own.items()})
    for value in found:
        if isinstance(value, dict):
            value = [value.get(index, value.get(str(index))) for index in range(len(value))]
        if not isinstance(value, list | tuple) or len(value) != num_classes:
            continue
        if all(isinstance(name, str) for name in value):
            return tuple(value)
    return None


def pretrained_names(config: Mapping[str, Any], wanted: Sequence[str] | None) -> tuple[str, ...] | None:
    """Class names of timm's weights: those in their configuration, or ImageNet's synsets.

    Synsets are compared with synsets only: folders of ImageNet have them as names, or words that vary.
    """
    names = config.get("label_names")
    if names:
        return tuple(names)
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(dict(config))
    if subset is None or not wanted or not all(_SYNSET.fullmatch(name) for name in wanted):
        return None
    synsets: Any = ImageNetInfo(subset)
    return tuple(synsets.label_names())


def same_names(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two lists name the same classes in the same order.

    Case, spaces, hyphens and underscores, and the Unicode form in which an accent is written may differ, as they do
    between a label file and folders made from it; not where two names of one list differ in nothing else.
    """
    if tuple(first) == tuple(second):
        return True
    one, other = [plain_name(name) for name in first], [plain_name(name) for name in second]
    return one == other and len(set(one)) == len(one)


def plain_name(name: str) -> str:
    """A name as it is compared: without case, and each run of spaces, hyphens and underscores as one space."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name)).strip().casefold()


def check_class_names(
    known: Sequence[str] | None,
    data: Sequence[str] | None,
    where: str,
    *,
    model: str = "teacher",
    value: str | None = None,
    hint: str | None = None,
) -> None:
    """Raises UserError where the classes that a model knows are not the data's, in the same order."""
    text = difference(known, data, model)
    if text is not None:
        default = (
            f"use the data that the {model} was trained on, give its classes these names in this order, "
            f"or train the {model} on this data"
        )
        if where.startswith("teacher"):
            default += '; teacher.classes maps the names: "by-name", or an object'
        raise UserError(Problem(where, text, value=value, hint=hint or default))


def difference(known: Sequence[str] | None, data: Sequence[str] | None, model: str = "teacher") -> str | None:
    """How the classes of a model and of the data differ, both lists shown; None where they do not, or are not known."""
    if known is None or data is None or same_names(known, data):
        return None
    what = f"the class names of the {model} and of the data differ"
    if sorted(map(plain_name, known)) == sorted(map(plain_name, data)):
        what = f"the {model} and the data have the same class names in another order"
    places = range(max(len(known), len(data)))
    if len(places) > _MOST:
        places_that_differ = [
            index for index in places if index >= min(len(known), len(data)) or known[index] != data[index]
        ]
        counts = f"{len(known)} and {len(data)} classes; " if len(known) != len(data) else ""
        what += f" ({counts}at {len(places_that_differ)} of {len(places)} positions"
        what += f", the first {_MOST} are shown)" if len(places_that_differ) > _MOST else ")"
        shown = places_that_differ[:_MOST]
    else:
        shown = list(places)
    lists = [
        f"{role}: " + ", ".join(f"{index} {printable(names[index])}" for index in shown if index < len(names))
        for role, names in ((model, known), ("data", data))
    ]
    return f"{what}; {'; '.join(lists)}"
