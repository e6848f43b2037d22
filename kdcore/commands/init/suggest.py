"""What suits a pair of models and their images: distiller, recipe, input size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kdcore.entries import DistillerEntry
from kdcore.errors import UserError
from kdcore.plugins.pip_hint import pip_install

if TYPE_CHECKING:
    from kdcore.commands.init.families import ModelFamily
    from kdcore.plugins import Plugins

SMALL: Final = 64  # images up to this side in pixels are small, as in CIFAR and Tiny ImageNet
LARGE: Final = 224
QUICK: Final = "digits"  # a dataset so small that a paper's recipe would be too much


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A value, and why."""

    value: str
    why: str


def distillers(student: ModelFamily, teacher: ModelFamily | None, plugins: Plugins) -> list[Suggestion]:
    """The installed distillers that suit the pair, the best first."""
    if teacher is None:
        return [Suggestion("vanilla", "there is no teacher")]
    if student.tokens != teacher.tokens:
        wanted = [
            Suggestion("ofa", "made for a teacher of another family"),
            Suggestion("dist", "matches relations of the logits, whatever the family"),
            Suggestion("fitnet", "matches feature maps, through a trained head"),
        ]
    elif student.file == teacher.file:
        wanted = [
            Suggestion("dkd", "strong for pairs of one family"),
            Suggestion("dist", "for a teacher that is much stronger"),
            Suggestion("crd", "contrasts embeddings; slower"),
        ]
    else:
        wanted = [
            Suggestion("dist", "for teachers that are much stronger or of another kind"),
            Suggestion("dkd", "strong for pairs of one family"),
            Suggestion("crd", "contrasts embeddings; slower"),
        ]
    wanted.append(Suggestion("kd", "the plain method"))
    return [item for item in wanted if _installed(item.value, plugins)] or [
        Suggestion("vanilla", f"no other distiller is installed: {pip_install('kd-classic')}")
    ]


def teacher_weights(dataset: str, side: int | None, teacher: ModelFamily) -> Suggestion:
    """Where a teacher's weights are from."""
    if "imagenet" in dataset.lower():
        return Suggestion("pretrained", "timm's models know ImageNet's classes")
    if dataset == QUICK or (side is not None and side <= SMALL and not teacher.tokens):
        return Suggestion("train", "small images are learned from scratch")
    return Suggestion("finetune", "pretrained weights know other classes")


def image_size(side: int | None, student: ModelFamily) -> Suggestion:
    """The side of the student's input, for images whose side is `side`."""
    if side is None or side > SMALL:
        return Suggestion(str(LARGE), "what most models of timm are made for")
    if student.tokens and not student.small_input:
        return Suggestion(str(LARGE), "small images are enlarged: this student has no variant for them")
    return Suggestion(str(max(side, 32)), "the size of the images")


def recipe(
    side: int | None, size: int, student: ModelFamily, *, quick: bool, distiller: str
) -> Suggestion | None:
    """The recipe for such images and such a student; None where the defaults do."""
    if quick:
        return None
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
    name = "imagenet-100-ofa" if distiller.rpartition("/")[2] == "ofa" else "imagenet-100"
    return Suggestion(name, "how the ImageNet tables are made")


def _installed(name: str, plugins: Plugins) -> bool:
    try:
        plugins.find(DistillerEntry, name, "distiller")
    except UserError:
        return False
    return True
