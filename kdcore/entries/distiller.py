"""The declaration of a distiller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from kdcore.entries.checks import (
    FILE,
    TARGET,
    Paper,
    check_common,
    check_line,
    check_paper,
    check_strings,
    check_tasks,
    check_text,
    label,
)
from kdcore.entries.needs import NEEDS
from kdcore.task_kinds import NO_LABELS

Kind = Literal[
    "logit",
    "feature",
    "relation",
    "contrastive",
    "embedding",
    "heterogeneous",
    "mutual",
    "self",
    "baseline",
]
KINDS: tuple[str, ...] = get_args(Kind)
Pair = Literal["any", "same family", "other family", "other kind"]
PAIRS: tuple[str, ...] = get_args(Pair)
_OF_LABELS = frozenset(("labels", "every-label", "partners"))
_OF_CLASSES = _OF_LABELS | {"logits"}


@dataclass(frozen=True, slots=True)
class Suits:
    """A kind of pair of student and teacher for which `kd init` suggests a distiller.

    Raises:
        ValueError: a field does not have the form in its comment.
    """

    # "same family": ResNet and ResNet. "other family": ResNet and ConvNeXt. "other kind": one of the two works on
    # tokens and the other does not, as ViT and ResNet. "any": all pairs that no other record of the entry is for.
    pair: Pair
    why: str  # one line
    rank: int = 50  # the suggestion with the lowest rank is the first

    def __post_init__(self) -> None:
        if self.pair not in PAIRS:
            raise ValueError(f"Suits: pair is {self.pair!r}; it must be one of {', '.join(PAIRS)}")
        if not isinstance(self.why, str) or not self.why.strip() or "\n" in self.why:
            raise ValueError(f"Suits(pair={self.pair!r}): why must be one line of text, not {self.why!r}")
        if type(self.rank) is not int:
            raise ValueError(f"Suits(pair={self.pair!r}): rank must be an integer, not {self.rank!r}")


@dataclass(frozen=True, slots=True)
class DistillerEntry:
    """Declares a distiller.

    `options` names the pydantic model of its options (a subclass of `kdcore.DistillerOptions`), `task_weight` is the
    default weight of the task loss, and `formula` is its loss in one line.

    What papers say about it, for `kd init`, `kd show` and specs with a recipe: `suits` has the kinds of pairs for which
    it is suggested, `recipes` the names of recipes that are made for it, and `settings` a TOML file in a package,
    `package.module:folder/file.toml`, with its options per recipe and for known pairs of models.

    `needs` has what a user must have for it with its default options, in the words of `kdcore.plugin.NEEDS`, for the
    filters of `kd list-distillers`; `()` needs nothing, and None does not say.

    `tasks` has those of `kdcore.plugin.TASKS` that it works with. None: all of them, unless it needs logits, labels or
    partners, which are then those of one class an image. With `none` works what is for `classes` and needs no labels,
    partners or teacher that learns; it need not be listed.

    Raises:
        ValueError: a field has the wrong form.
    """

    name: str
    kind: Kind
    summary: str
    target: str
    options: str
    paper: Paper | None = None
    task_weight: float = 1.0
    formula: str | None = None
    suits: tuple[Suits, ...] = field(default=(), kw_only=True)
    recipes: tuple[str, ...] = field(default=(), kw_only=True)
    settings: str | None = field(default=None, kw_only=True)
    needs: tuple[str, ...] | None = field(default=None, kw_only=True)
    tasks: tuple[str, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_common(self)
        if self.kind not in KINDS:
            raise ValueError(f"{label(self)}: kind is {self.kind!r}; it must be one of {', '.join(KINDS)}")
        check_text(self, "options", TARGET, "'package.module:attribute'")
        check_paper(self)
        if isinstance(self.task_weight, bool) or not isinstance(self.task_weight, int | float):
            raise ValueError(f"{label(self)}: task_weight must be a number, not {self.task_weight!r}")
        if not 0 <= self.task_weight < float("inf"):
            raise ValueError(f"{label(self)}: task_weight is {self.task_weight}; it must be 0 or more")
        if self.formula is not None:
            check_line(self, "formula")
        _check_suits(self)
        check_strings(self, "recipes")
        if self.settings is not None:
            check_text(self, "settings", FILE, "'package.module:folder/file.toml', or None")
        if self.needs is not None:
            _check_needs(self)
        if self.tasks is not None:
            check_tasks(self)

    def works_with(self, task: str) -> bool:
        """Whether it is for this task; True if the declaration does not say."""
        if task == NO_LABELS:
            listed = self.tasks is None or not {"classes", NO_LABELS}.isdisjoint(self.tasks)
            return listed and not (_OF_LABELS | {"learning-teacher"}) & set(self.needs or ())
        if self.tasks is not None:
            return task in self.tasks
        return task == "classes" or self.needs is None or not _OF_CLASSES & set(self.needs)


def _check_suits(entry: DistillerEntry) -> None:
    """Check that all are `Suits`, each for another kind of pair, and make a tuple of them."""
    value: Any = entry.suits
    records = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    wrong = [record for record in records if not isinstance(record, Suits)]
    if wrong:
        raise ValueError(f"{label(entry)}: suits has {wrong[0]!r}; it must have kdcore.Suits records")
    twice = [
        record.pair
        for number, record in enumerate(records)
        if record.pair in [r.pair for r in records[:number]]
    ]
    if twice:
        raise ValueError(f"{label(entry)}: suits has two records for {twice[0]!r}; it must have one")
    object.__setattr__(entry, "suits", records)


def _check_needs(entry: DistillerEntry) -> None:
    """Check that all are words of `NEEDS`, and sort them as there."""
    check_strings(entry, "needs")
    assert entry.needs is not None
    wrong = [need for need in entry.needs if need not in NEEDS]
    if wrong:
        raise ValueError(f"{label(entry)}: needs has {wrong[0]!r}; it must have some of {', '.join(NEEDS)}")
    object.__setattr__(entry, "needs", tuple(need for need in NEEDS if need in entry.needs))
