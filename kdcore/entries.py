"""The records that plugins declare: frozen, without torch, checked when they are created."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

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
TASKS: tuple[str, ...] = ("classes", "labels")
Pair = Literal["any", "same family", "other family", "other kind"]
PAIRS: tuple[str, ...] = get_args(Pair)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_COMMAND = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FILE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[\w-][\w.-]*(/[\w-][\w.-]*)*\.toml")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Paper:
    """The publication of a method."""

    title: str
    year: int
    url: str


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
class Entry:
    """The fields of every declaration: a name, one line about it, and the location of its code.

    Raises:
        ValueError: a field does not have the form in its comment.
    """

    name: str  # letters, digits and "_.-"; the name in a spec
    summary: str  # one line for the lists
    target: str  # "package.module:attribute", imported when it is first used

    def __post_init__(self) -> None:
        _check_common(self)


@dataclass(frozen=True, slots=True)
class DistillerEntry:
    """Declares a distiller.

    `options` names the pydantic model of its options (a subclass of `kdcore.DistillerOptions`), `task_weight` is the
    default weight of the task loss, and `formula` is its loss in one line.

    What papers say about it, for `kd init`, `kd show` and specs with a recipe: `suits` has the kinds of pairs for which
    it is suggested, `recipes` the names of recipes that are made for it, and `settings` a TOML file in a package,
    `package.module:folder/file.toml`, with its options per recipe and for known pairs of models.

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

    def __post_init__(self) -> None:
        _check_common(self)
        if self.kind not in KINDS:
            raise ValueError(f"{_label(self)}: kind is {self.kind!r}; it must be one of {', '.join(KINDS)}")
        _check_text(self, "options", _TARGET, "'package.module:attribute'")
        _check_paper(self)
        if isinstance(self.task_weight, bool) or not isinstance(self.task_weight, int | float):
            raise ValueError(f"{_label(self)}: task_weight must be a number, not {self.task_weight!r}")
        if not 0 <= self.task_weight < float("inf"):
            raise ValueError(f"{_label(self)}: task_weight is {self.task_weight}; it must be 0 or more")
        if self.formula is not None:
            _check_line(self, "formula")
        _check_suits(self)
        _check_strings(self, "recipes")
        if self.settings is not None:
            _check_text(self, "settings", _FILE, "'package.module:folder/file.toml', or None")


@dataclass(frozen=True, slots=True)
class AdapterEntry(Entry):
    """Declares a feature adapter for the model classes in `models`, dotted names like `timm.models.resnet:ResNet`.

    Raises:
        ValueError: a field has the wrong form.
    """

    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_common(self)
        _check_strings(self, "models")
        for model in self.models:
            if not _TARGET.fullmatch(model):
                raise ValueError(
                    f"{_label(self)}: models has {model!r}; it must be like 'package.module:Class'"
                )


@dataclass(frozen=True, slots=True)
class DatasetEntry(Entry):
    """Declares a dataset: `target` is called as `(root, split)` and returns pairs of PIL image and class index.

    `options` names the pydantic model (a subclass of `kdcore.Options`) of the spec's `data.options`; its fields become
    keyword arguments of `target`. Without it, the dataset has no options.

    Raises:
        ValueError: a field has the wrong form.
    """

    num_classes: int | None = None
    options: str | None = None

    def __post_init__(self) -> None:
        _check_common(self)
        if self.num_classes is not None and (type(self.num_classes) is not int or self.num_classes < 1):
            raise ValueError(
                f"{_label(self)}: num_classes must be a positive integer, not {self.num_classes!r}"
            )
        _check_options(self)


@dataclass(frozen=True, slots=True)
class ModelEntry(Entry):
    """Declares a model: `target` is called as `(num_classes, in_chans, **options)` and returns an `nn.Module`.

    `options` names the pydantic model (a subclass of `kdcore.Options`) of the options in a spec.
    Without it, the options are keyword arguments of `target`, which are checked when the model is built.

    Raises:
        ValueError: a field has the wrong form.
    """

    options: str | None = None

    def __post_init__(self) -> None:
        _check_common(self)
        _check_options(self)


@dataclass(frozen=True, slots=True)
class CommandEntry(Entry):
    """Declares a command: `target` is a function that typer can call, or a `typer.Typer` with commands of its own.

    `kd --help` shows name and summary; the target is imported when the command is called.

    Raises:
        ValueError: a field has the wrong form; a command's name is lower-case words with "-" between them.
    """

    def __post_init__(self) -> None:
        _check_common(self)
        _check_text(self, "name", _COMMAND, "lower-case letters and digits, in words with '-' between them")


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """Declares a recipe: `path` is a TOML file in a package, `package.module:folder/file.toml`.

    Raises:
        ValueError: a field has the wrong form.
    """

    name: str
    summary: str
    path: str
    paper: Paper | None = None

    def __post_init__(self) -> None:
        _check_text(self, "name", _NAME, "letters, digits, '_', '.' and '-'")
        _check_line(self, "summary")
        _check_text(self, "path", _FILE, "'package.module:folder/file.toml'")
        _check_paper(self)


@dataclass(frozen=True, slots=True)
class ExporterEntry(Entry):
    """Declares a format of `kd export`: `target` is called as `(student, folder, about)` and returns what it wrote.

    It returns the paths of its files, or a `kdcore.ExportedFiles` that says how they are loaded as well. `requires` are
    the distributions that the format needs, as pip takes them: `("onnx>=1.19",)`. With `int8`, the format offers
    `--int8`, and `target` is then called with the keyword `int8=True`.

    Raises:
        ValueError: a field has the wrong form.
    """

    requires: tuple[str, ...] = ()
    int8: bool = False

    def __post_init__(self) -> None:
        _check_common(self)
        _check_strings(self, "requires")
        if not isinstance(cast("object", self.int8), bool):
            raise ValueError(f"{_label(self)}: int8 must be True or False, not {self.int8!r}")


@dataclass(frozen=True, slots=True)
class MetricEntry(Entry):
    """Declares a metric: `target` is called as `(probabilities, targets)` and returns a float.

    `probabilities` is `[N, K]` on the CPU; `targets` is `[N]`, class indices (task `classes`), or `[N, K]`, 0 or 1
    (task `labels`). `tasks` are those that the metric is for.

    Raises:
        ValueError: a field has the wrong form.
    """

    tasks: tuple[str, ...] = ("classes",)

    def __post_init__(self) -> None:
        _check_common(self)
        _check_strings(self, "tasks")
        wrong = [task for task in self.tasks if task not in TASKS]
        if wrong or not self.tasks:
            raise ValueError(
                f"{_label(self)}: tasks is {self.tasks!r}; it must name some of {', '.join(TASKS)}"
            )


@dataclass(frozen=True, slots=True)
class SectionEntry(Entry):
    """Declares a section of reports: `target` is called with the opened run and returns a `kdcore.ReportSection`.

    Sections are sorted by `order`, then by name.

    Raises:
        ValueError: a field has the wrong form.
    """

    order: int = 100

    def __post_init__(self) -> None:
        _check_common(self)
        if type(self.order) is not int:
            raise ValueError(f"{_label(self)}: order must be an integer, not {self.order!r}")


@dataclass(frozen=True, slots=True)
class LauncherEntry(Entry):
    """Declares a way to start runs, such as processes of this machine or a cluster's queue.

    `options` names the pydantic model (a subclass of `kdcore.Options`) of its options.

    Raises:
        ValueError: a field has the wrong form.
    """

    options: str | None = None

    def __post_init__(self) -> None:
        _check_common(self)
        _check_options(self)


AnyEntry = (
    DistillerEntry
    | AdapterEntry
    | DatasetEntry
    | ModelEntry
    | CommandEntry
    | RecipeEntry
    | ExporterEntry
    | MetricEntry
    | SectionEntry
    | LauncherEntry
)


def _label(entry: Any) -> str:
    return f"{type(entry).__name__}(name={entry.name!r})"


def _check_common(entry: AnyEntry | Entry) -> None:
    _check_text(entry, "name", _NAME, "letters, digits, '_', '.' and '-'")
    _check_line(entry, "summary")
    _check_text(entry, "target", _TARGET, "'package.module:attribute'")


def _check_options(entry: DatasetEntry | ModelEntry | LauncherEntry) -> None:
    if entry.options is not None:
        _check_text(entry, "options", _TARGET, "'package.module:attribute', or None")


def _check_suits(entry: DistillerEntry) -> None:
    """Check that all are `Suits`, each for another kind of pair, and make a tuple of them."""
    value: Any = entry.suits
    records = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    wrong = [record for record in records if not isinstance(record, Suits)]
    if wrong:
        raise ValueError(f"{_label(entry)}: suits has {wrong[0]!r}; it must have kdcore.Suits records")
    twice = [
        record.pair
        for number, record in enumerate(records)
        if record.pair in [r.pair for r in records[:number]]
    ]
    if twice:
        raise ValueError(f"{_label(entry)}: suits has two records for {twice[0]!r}; it must have one")
    object.__setattr__(entry, "suits", records)


def _check_paper(entry: DistillerEntry | RecipeEntry) -> None:
    if entry.paper is not None and not isinstance(cast("object", entry.paper), Paper):
        raise ValueError(f"{_label(entry)}: paper must be a kdcore.Paper or None, not {entry.paper!r}")


def _check_strings(entry: Any, field: str) -> None:
    """Check a sequence of strings, and make a tuple of it."""
    value = getattr(entry, field)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{_label(entry)}: {field} must be a sequence of strings, not {value!r}")
    texts = tuple(value)
    wrong = [text for text in texts if not isinstance(text, str) or not text.strip()]
    if wrong:
        raise ValueError(f"{_label(entry)}: {field} has {wrong[0]!r}; it must have strings")
    object.__setattr__(entry, field, texts)


def _check_text(entry: Any, field: str, form: re.Pattern[str], meaning: str) -> None:
    value = getattr(entry, field)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{_label(entry)}: {field} is {value!r}; it must be {meaning}")


def _check_line(entry: Any, field: str) -> None:
    value = getattr(entry, field)
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise ValueError(f"{_label(entry)}: {field} must be one line of text, not {value!r}")
