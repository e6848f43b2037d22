"""The declarations of everything but distillers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from kdcore.entries.checks import (
    COMMAND,
    FILE,
    NAME,
    TARGET,
    Paper,
    check_common,
    check_line,
    check_options,
    check_paper,
    check_strings,
    check_tasks,
    check_text,
    label,
)
from kdcore.task_kinds import NO_LABELS


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
        check_common(self)


@dataclass(frozen=True, slots=True)
class AdapterEntry(Entry):
    """Declares a feature adapter for the model classes in `models`, dotted names like `timm.models.resnet:ResNet`.

    Raises:
        ValueError: a field has the wrong form.
    """

    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_common(self)
        check_strings(self, "models")
        for model in self.models:
            if not TARGET.fullmatch(model):
                raise ValueError(
                    f"{label(self)}: models has {model!r}; it must be like 'package.module:Class'"
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
        check_common(self)
        if self.num_classes is not None and (type(self.num_classes) is not int or self.num_classes < 1):
            raise ValueError(
                f"{label(self)}: num_classes must be a positive integer, not {self.num_classes!r}"
            )
        check_options(self)


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
        check_common(self)
        check_options(self)


@dataclass(frozen=True, slots=True)
class TransformEntry(Entry):
    """Declares a transform of the student: `target` is called as `(options)` and returns a `kdcore.Transform`.

    It changes the built student before it is trained. `options` names the pydantic model (a subclass of
    `kdcore.Options`) of the options that a spec gives next to its name; without it, there are none and `target` gets
    None.

    Raises:
        ValueError: a field has the wrong form.
    """

    options: str | None = None

    def __post_init__(self) -> None:
        check_common(self)
        check_options(self)


@dataclass(frozen=True, slots=True)
class CommandEntry(Entry):
    """Declares a command: `target` is a function that typer can call, or a `typer.Typer` with commands of its own.

    `kd --help` shows name and summary; the target is imported when the command is called.

    Raises:
        ValueError: a field has the wrong form; a command's name is lower-case words with "-" between them.
    """

    def __post_init__(self) -> None:
        check_common(self)
        check_text(self, "name", COMMAND, "lower-case letters and digits, in words with '-' between them")


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
        check_text(self, "name", NAME, "letters, digits, '_', '.' and '-'")
        check_line(self, "summary")
        check_text(self, "path", FILE, "'package.module:folder/file.toml'")
        check_paper(self)


@dataclass(frozen=True, slots=True)
class ExporterEntry(Entry):
    """Declares a format of `kd export`: `target` is called as `(student, folder, about)` and returns what it wrote.

    It returns the paths of its files, or a `kdcore.ExportedFiles` that says how they are loaded as well. `requires` are
    the distributions that the format needs, as pip takes them: `("onnx>=1.19",)`. With `int8`, the format offers
    `--int8`, and `target` is then called with the keyword `int8=True`; `fp16` is the same for `--fp16`. `options` names
    the pydantic model (a subclass of `kdcore.Options`) of what `--option` sets; `target` gets it as the keyword
    `options`.

    Raises:
        ValueError: a field has the wrong form.
    """

    requires: tuple[str, ...] = ()
    int8: bool = False
    fp16: bool = False
    options: str | None = None

    def __post_init__(self) -> None:
        check_common(self)
        check_strings(self, "requires")
        for name in ("int8", "fp16"):
            if not isinstance(value := cast("object", getattr(self, name)), bool):
                raise ValueError(f"{label(self)}: {name} must be True or False, not {value!r}")
        check_options(self)


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
        check_common(self)
        check_tasks(self)
        if NO_LABELS in self.tasks:
            raise ValueError(f"{label(self)}: tasks has 'none', and a metric compares with labels")


@dataclass(frozen=True, slots=True)
class SectionEntry(Entry):
    """Declares a section of reports: `target` is called with the opened run and returns a `kdcore.ReportSection`.

    Sections are sorted by `order`, then by name.

    Raises:
        ValueError: a field has the wrong form.
    """

    order: int = 100

    def __post_init__(self) -> None:
        check_common(self)
        if type(self.order) is not int:
            raise ValueError(f"{label(self)}: order must be an integer, not {self.order!r}")


@dataclass(frozen=True, slots=True)
class LauncherEntry(Entry):
    """Declares a way to start runs, such as processes of this machine or a cluster's queue.

    `options` names the pydantic model (a subclass of `kdcore.Options`) of its options.

    Raises:
        ValueError: a field has the wrong form.
    """

    options: str | None = None

    def __post_init__(self) -> None:
        check_common(self)
        check_options(self)
