"""From answers to a wish: each answer is checked at once; missing answers are asked for or suggested."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from kd_init.draft import OF_FILE, WEIGHTS, Wish
from kd_init.families import ModelFamily, family_of
from kd_init.images import has_splits, image_side
from kd_init.suggest import QUICK, SMALL, Suggestion, general_recipe, known_options
from kd_init.suggest import distillers as suggested_distillers
from kd_init.suggest import image_size as suggested_size
from kd_init.suggest import recipe as suggested_recipe
from kd_init.suggest import teacher_weights as suggested_weights
from kdcore import DistillerEntry, Problem, UserError
from kdcore.inspect import SPEC_SUFFIXES, find_dataset, find_model, find_recipe
from kdcore.plugin import kind_of, missing, nearest, read_image_size, sides

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdcore.plugin import Plugins

NONE: Final = "none"


class _Teacher(NamedTuple):
    """A teacher's model, its weights as `Wish` has them, and the file from which it is fine-tuned."""

    model: str | None
    weights: str | None
    start: str | None = None


class Ask(Protocol):
    """Asks a question: the flag that answers it, its text, the suggested answer, and the check of an answer."""

    def __call__(self, flag: str, question: str, default: Suggestion, check: Callable[[str], object]) -> str:
        """An answer that the check accepts.

        Raises:
            UserError: the value of a flag is wrong, or there is nobody to ask.
        """


@dataclass(frozen=True)
class Interview:
    """Asks everything that a spec in `folder` needs."""

    folder: Path
    plugins: Plugins
    ask: Ask

    def wish(self, epochs: int | None) -> Wish:
        """All questions, in an order in which each answer helps to suggest the next."""
        dataset, path = self._dataset()
        side = image_side(dataset, path)
        quick = dataset == QUICK
        student = self._model(
            "--student", "student", Suggestion("resnet10t" if quick else "resnet18", "small")
        )
        teacher, weights, start = self._teacher(dataset, side)
        family = family_of(student)
        suited = suggested_distillers(
            family, None if weights is None else self._family(teacher, family), self.plugins
        )
        distiller = self.ask("--distiller", _question("distiller", suited), suited[0], self._is_distiller)
        question = "image size in pixels, or height and width such as 48x96"
        size = _size(self.ask("--image-size", question, suggested_size(side, family), _size))
        largest = max(sides(size))
        recipe = self._recipe(
            suggested_recipe(side, largest, family, self.plugins, quick=quick, distiller=distiller)
        )
        return Wish(
            dataset=dataset,
            student=student,
            teacher=teacher,
            weights=weights,
            distiller=distiller,
            recipe=recipe,
            teacher_recipe=None if recipe is None else general_recipe(recipe, self.plugins),
            options=known_options(distiller, teacher, student, recipe, self.plugins),
            image_size=size,
            small_input=self._small_input(largest, family),
            splits=path is None or has_splits(path) is not False,
            epochs=epochs,
            start=start,
        )

    def _dataset(self) -> tuple[str, Path | None]:
        default = Suggestion(QUICK, "built in, no download")
        answer = self.ask(
            "--dataset", "dataset: a name, or a folder, tar, zip or table of images", default, find_dataset
        )
        path = find_dataset(answer)
        return (answer, None) if path is None else (self._from_folder(answer), path)

    def _model(self, flag: str, role: str, default: Suggestion) -> str:
        return self.ask(flag, f"{role}: a timm model, or a plugin's", default, find_model)

    def _teacher(self, dataset: str, side: int | None) -> _Teacher:
        default = Suggestion("resnet34", "a larger one of the same family")
        question = f"teacher: a model; or a checkpoint, run directory or spec; or {NONE}"
        answer = self.ask("--teacher", question, default, self._is_teacher)
        if answer == NONE:
            return _Teacher(None, None)
        if _is_path(answer):
            if kind_of(answer) == "folder" or Path(answer).suffix.lower() in SPEC_SUFFIXES:
                return _Teacher(None, self._from_folder(answer))
            model = self._model("--teacher-model", "model of that checkpoint", default)
            texts = "; ".join(f"{name} ({what})" for name, what in OF_FILE.items())
            given = Suggestion("given", "the weights are for these classes")
            use = self.ask("--teacher-weights", f"its weights: {texts}", given, _are_of_file)
            file = self._from_folder(answer)
            return _Teacher(model, "finetune", file) if use == "finetune" else _Teacher(model, file)
        texts = "; ".join(f"{name} ({what})" for name, what in WEIGHTS.items())
        weights = suggested_weights(dataset, side, family_of(answer))
        use = self.ask("--teacher-weights", f"its weights: {texts}", weights, _are_weights)
        return _Teacher(answer, use)

    def _recipe(self, suggested: Suggestion | None) -> str | None:
        def check(answer: str) -> None:
            if answer != NONE:
                find_recipe(answer, "--recipe", self.plugins)

        default = suggested or Suggestion(NONE, "the defaults are right")
        answer = self.ask("--recipe", f"recipe (kd list-recipes), or {NONE}", default, check)
        return None if answer == NONE else answer

    def _small_input(self, size: int, family: ModelFamily) -> bool:
        if not family.small_input or size > SMALL:
            return False
        default = Suggestion("yes", "its first layers keep the size of small images")
        return (
            self.ask("--small-input", "the student's variant for small images", default, _is_yes_or_no)
            == "yes"
        )

    def _family(self, teacher: str | None, student: ModelFamily) -> ModelFamily:
        return student if teacher is None else family_of(teacher)

    def _from_folder(self, answer: str) -> str:
        """A path relative to the current folder, made relative to the spec's folder."""
        if Path(answer).is_absolute() or answer.startswith("~"):
            return answer
        return Path(os.path.relpath(answer, self.folder)).as_posix()  # a spec is read on every system

    def _is_teacher(self, answer: str) -> None:
        if answer == NONE:
            return
        if not _is_path(answer):
            find_model(answer)
        elif kind_of(answer) is None:
            _raise([missing("teacher", answer, answer, "checkpoint, run directory or spec")])

    def _is_distiller(self, answer: str) -> None:
        self.plugins.find(DistillerEntry, answer, "distiller")


def _question(what: str, suited: list[Suggestion]) -> str:
    return f"{what} (kd list-distillers; suited: {'; '.join(f'{item.value}, {item.why}' for item in suited)})"


def _is_path(answer: str) -> bool:
    return (
        kind_of(answer) is not None or "/" in answer.removeprefix("timm/") or answer.endswith(SPEC_SUFFIXES)
    )


def _size(answer: str) -> int | tuple[int, int]:
    return read_image_size(answer, "image size")


def _are_of_file(answer: str) -> None:
    _is_one_of(answer, tuple(OF_FILE), "weights")


def _are_weights(answer: str) -> None:
    _is_one_of(answer, tuple(WEIGHTS), "weights")


def _is_yes_or_no(answer: str) -> None:
    _is_one_of(answer, ("yes", "no"), "answer")


def _is_one_of(answer: str, allowed: tuple[str, ...], where: str) -> None:
    if answer not in allowed:
        _raise(
            [
                Problem(
                    where,
                    "not one of the allowed values",
                    answer,
                    ", ".join(allowed),
                    nearest(answer, allowed),
                )
            ]
        )


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise UserError(problems)
