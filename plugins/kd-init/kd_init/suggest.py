"""What suits a pair of models and their images: distiller, recipe, input size."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore import DistillerEntry, UserError
from kdcore.inspect import distiller_part, find_recipe, paper_settings
from kdcore.plugin import pip_install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_init.families import ModelFamily
    from kdcore import Suits
    from kdcore.plugin import Plugins

SMALL: Final = 64  # images up to this side in pixels are small, as in CIFAR and Tiny ImageNet
LARGE: Final = 224
BASELINE: Final = "vanilla"  # of the core
_IMAGENET: Final = re.compile(r"ilsvrc[-_]?(2012)?|imagenet[-_]?(1k|1000|2012)?([-_](wds|train|full))?")
QUICK: Final = "digits"  # a dataset so small that a paper's recipe would be too much


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A value, and why."""

    value: str
    why: str


@dataclass(frozen=True, slots=True)
class KnownOption:
    """An option that a paper gives for a pair of models, and where."""

    name: str
    value: Any
    source: str


def distillers(student: ModelFamily, teacher: ModelFamily | None, plugins: Plugins) -> list[Suggestion]:
    """The installed distillers that suit the pair, the best first."""
    if teacher is None:
        return [Suggestion(BASELINE, "there is no teacher")]
    pair = _pair(student, teacher)
    installed = plugins.all(DistillerEntry)
    count = Counter(item.entry.name for item in installed)
    found = [
        (suits.rank, item.qualified if count[item.entry.name] > 1 else item.entry.name, suits.why)
        for item in installed
        if (suits := _suits(item.entry.suits, pair)) is not None
    ]
    return [Suggestion(name, why) for _, name, why in sorted(found)] or [
        Suggestion(BASELINE, f"no distiller for this pair is installed: {pip_install('kd-classic')}")
    ]


def _pair(student: ModelFamily, teacher: ModelFamily) -> str:
    if student.tokens != teacher.tokens:
        return "other kind"
    return "same family" if student.file == teacher.file else "other family"


def _suits(records: Sequence[Suits], pair: str) -> Suits | None:
    return next((record for wanted in (pair, "any") for record in records if record.pair == wanted), None)


def teacher_weights(dataset: str, side: int | None, teacher: ModelFamily) -> Suggestion:
    """Where a teacher's weights come from."""
    if _is_imagenet(dataset):
        return Suggestion("pretrained", "timm's weights have ImageNet's classes")
    if dataset == QUICK or (side is not None and side <= SMALL and not teacher.tokens):
        return Suggestion("train", "small images are learned from scratch")
    return Suggestion("finetune", "pretrained weights have other classes")


def _is_imagenet(dataset: str) -> bool:
    """Whether a name or path is that of the 1000 classes of ImageNet, not of a part of it or of more classes."""
    names = [part.partition(".")[0] for part in re.split(r"[/\\:]", dataset.lower())]
    about = [name for name in names if "imagenet" in name or "ilsvrc" in name]
    return bool(about) and _IMAGENET.fullmatch(about[-1]) is not None


def image_size(side: int | None, student: ModelFamily) -> Suggestion:
    """The side of the student's input, for images whose side is `side`."""
    if side is None or side > SMALL:
        return Suggestion(str(LARGE), "what most models of timm are made for")
    if student.tokens and not student.small_input:
        return Suggestion(str(LARGE), "small images are enlarged: this student has no variant for them")
    return Suggestion(str(max(side, 32)), "the size of the images")


def recipe(
    side: int | None, size: int, student: ModelFamily, plugins: Plugins, *, quick: bool, distiller: str
) -> Suggestion | None:
    """The recipe for such images and such a student; None if the defaults are right."""
    if quick:
        return None
    general = _general(side, size, student)
    own = _own_recipe(general.value, distiller, plugins)
    return general if own is None else Suggestion(own, general.why)


def general_recipe(name: str, plugins: Plugins) -> str:
    """The recipe that a method's own one is a variant of, otherwise the recipe itself.

    Raises:
        UserError: there is no such recipe, or its file is wrong.
    """
    return find_recipe(name, "recipe", plugins).variant_of or name


def known_options(
    distiller: str, teacher: str | None, student: str, recipe: str | None, plugins: Plugins
) -> tuple[KnownOption, ...]:
    """The options that papers use for these models, without those that the recipe sets anyway.

    Raises:
        UserError: the distiller's settings are wrong.
    """
    provided = plugins.find(DistillerEntry, distiller, "distiller")
    if teacher is None or provided.entry.settings is None:
        return ()
    given: dict[str, Any] = {}
    names: tuple[str, ...] = ()
    if recipe is not None:
        values = find_recipe(recipe, "recipe", plugins)
        part = distiller_part(values, provided, "distiller")
        given = {} if part is None else part.options
        names = values.name, values.qualified
    found: dict[str, KnownOption] = {}
    for pair in paper_settings(provided, "distiller").pairs:
        if pair.matches(teacher, student, *names):
            found |= {name: KnownOption(name, value, pair.source) for name, value in pair.options.items()}
    return tuple(option for option in found.values() if given.get(option.name) != option.value)


def _general(side: int | None, size: int, student: ModelFamily) -> Suggestion:
    small = side is not None and side <= SMALL
    if student.tokens:
        return Suggestion("cifar-224-vit" if small else "imagenet-300-vit", "for ViT, Swin and MLP students")
    if small and size > SMALL:
        return Suggestion("cifar-224-cnn", "for small images that are enlarged")
    if small:
        name = "cifar-240-mobile" if student.mobile else "cifar-240"
        return Suggestion(name, "how the CIFAR tables are made")
    if student.mobile:
        return Suggestion("imagenet-450", "for mobile students")
    return Suggestion("imagenet-100", "how the ImageNet tables are made")


def _own_recipe(general: str, distiller: str, plugins: Plugins) -> str | None:
    """The variant of a general recipe that is made for the distiller."""
    for name in plugins.find(DistillerEntry, distiller, "distiller").entry.recipes:
        try:
            variant_of = find_recipe(name, "recipe", plugins).variant_of
        except UserError:  # it is not installed, or broken, which its own lookup reports
            continue
        if variant_of == general:
            return name
    return None
