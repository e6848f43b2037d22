"""A spec for a pair of models, line by line, with what each line is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_init.families import family_of
from kd_init.suggest import BASELINE, LARGE, SMALL
from kdcore.inspect import SPEC_SUFFIXES
from kdcore.plugin import kind_of, sides

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_init.suggest import KnownOption

WEIGHTS: Final = {
    "pretrained": "timm's; the data must have their classes",
    "train": "from scratch, by a spec of its own",
    "finetune": "from timm's weights, by a spec of its own",
}
OF_FILE: Final = {
    "given": "as they are; the data must have their classes",
    "finetune": "from that file, by a spec of its own: for data with other classes",
}
"""What can be done with a teacher's file of weights."""
_FINETUNE: Final = "cifar-224-finetune"
_QUICK_EPOCHS: Final = 30


@dataclass(frozen=True, slots=True)
class Wish:
    """What a spec should do.

    Attributes:
        dataset: as `data.dataset`.
        student: a model.
        teacher: a model; None if `weights` has it, or for no teacher.
        weights: of the teacher: a key of `WEIGHTS` or `OF_FILE`, or the path of a checkpoint, a run directory or a
            spec; None for no teacher.
        distiller: its name.
        recipe: None for the spec's defaults.
        image_size: side of the student's input in pixels, or (height, width).
        small_input: the student's variant for small images.
        splits: whether the data has a split for training.
        epochs: instead of the recipe's.
        teacher_recipe: of a teacher that is trained from scratch.
        options: of the distiller.
        start: the file of weights from which a teacher is fine-tuned; None: timm's.
    """

    dataset: str
    student: str
    teacher: str | None
    weights: str | None
    distiller: str
    recipe: str | None
    image_size: int | tuple[int, int]
    small_input: bool
    splits: bool = True
    epochs: int | None = None
    teacher_recipe: str | None = None
    options: tuple[KnownOption, ...] = ()
    start: str | None = None


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A value of a spec, its place, and a comment."""

    path: tuple[str, ...]
    value: Any
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec, and the spec of its teacher if it has one."""

    spec: tuple[DraftLine, ...]
    teacher: tuple[DraftLine, ...] | None


def draft(wish: Wish, *, teacher_file: str) -> Draft:
    """The spec for a wish; `teacher_file` is how it names the teacher's spec, if there is one."""
    own = wish.weights in ("train", "finetune")
    lines = [*_recipe(wish.recipe), *_data(wish, wish.image_size), *_teacher(wish, teacher_file)]
    lines += _student(wish.student, small_input=wish.small_input)
    lines.append(
        DraftLine(
            ("distiller", "name"), wish.distiller, f"its options go next to it: kd show {wish.distiller}"
        )
    )
    lines += [
        DraftLine(("distiller", option.name), option.value, f"for this pair, as in {option.source}")
        for option in wish.options
    ]
    lines += _training(wish)
    return Draft(tuple(lines), tuple(_teachers_own(wish)) if own else None)


def _recipe(name: str | None) -> Iterator[DraftLine]:
    if name is not None:
        yield DraftLine(("recipe",), name, f"how a paper trains; values here override it: kd show {name}")


def _data(wish: Wish, size: int | tuple[int, int]) -> Iterator[DraftLine]:
    yield DraftLine(
        ("data", "dataset"), wish.dataset, "a name (kd list-datasets), a folder, tar, zip or table of images"
    )
    if wish.dataset.partition("/")[0] in ("torch", "hfds", "tfds") and not kind_of(wish.dataset):
        yield DraftLine(("data", "root"), "data", "its folder; a download goes there")
    if not wish.splits:
        yield DraftLine(("data", "train_split"), "", "the images have no splits, so ...")
        yield DraftLine(
            ("data", "eval_split"), "", "... the same images are evaluated: other images are better"
        )
    if isinstance(size, int):
        yield DraftLine(("data", "image_size"), size, "side of the student's input in pixels")
    else:
        yield DraftLine(("data", "image_size"), list(size), "height and width of the student's input")


def _teacher(wish: Wish, teacher_file: str) -> Iterator[DraftLine]:
    weights = wish.weights
    if weights is None:
        return
    if weights in ("train", "finetune"):
        yield DraftLine(("teacher", "run"), teacher_file, "trained first, unless its run is finished")
    elif Path(weights).suffix.lower() in SPEC_SUFFIXES:
        yield DraftLine(("teacher", "run"), weights, "trained first, unless its run is finished")
    else:
        if wish.teacher is not None:
            yield DraftLine(("teacher", "model"), wish.teacher, "a timm model, or a plugin's")
        if weights == "pretrained":
            yield DraftLine(("teacher", "pretrained"), True, WEIGHTS[weights])
        else:
            # the model of a run directory is known; the path is relative to the spec's folder, so no look at it here
            what = "a run directory" if wish.teacher is None else "a file of weights"
            yield DraftLine(("teacher", "checkpoint"), weights, what)


def _student(model: str, *, small_input: bool) -> Iterator[DraftLine]:
    yield DraftLine(("student", "model"), model, "a timm model, or a plugin's")
    if small_input:
        yield DraftLine(("student", "small_input"), True, "its variant for 32-px images")


def _training(wish: Wish) -> Iterator[DraftLine]:
    if wish.recipe is None:
        yield DraftLine(("train", "epochs"), wish.epochs or _QUICK_EPOCHS, "passes over the training images")
        yield DraftLine(
            ("optimizer", "lr"), 0.05, "learning rate, of 'sgd' unless 'name' says another optimizer"
        )
    elif wish.epochs is not None:
        yield DraftLine(("train", "epochs"), wish.epochs, "instead of the recipe's")
        yield DraftLine(("scheduler", "name"), "cosine", "the recipe's steps fit only its own epochs")
        yield DraftLine(("scheduler", "warmup_epochs"), 0)


def _teachers_own(wish: Wish) -> Iterator[DraftLine]:
    assert wish.teacher is not None  # a teacher that is trained has a model
    finetune = wish.weights == "finetune"
    recipe = _FINETUNE if finetune and wish.recipe is not None else wish.teacher_recipe
    yield from _recipe(recipe)
    yield from _data(wish, LARGE if finetune else wish.image_size)
    small = not finetune and max(sides(wish.image_size)) <= SMALL and family_of(wish.teacher).small_input
    yield from _student(wish.teacher, small_input=small)
    if finetune:
        if wish.start is None:
            yield DraftLine(("student", "pretrained"), True, "starts from timm's weights (downloads them)")
        else:
            what = "starts from this file, with a new classifier if the classes are others"
            yield DraftLine(("student", "checkpoint"), wish.start, what)
    yield DraftLine(("distiller", "name"), BASELINE, "no teacher: plain training")
    yield from _training(wish)
