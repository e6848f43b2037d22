"""What a plugin's model says about itself, compared with what it is built for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.data.inputs import InputConfig, per_channel
from kdcore.errors import Problem, UserError
from kdcore.models.other_classes import FROZEN, OTHER_CLASSES, OtherClasses
from kdcore.spec.image_size import size_text

if TYPE_CHECKING:
    from kdcore.description import ModelDescription

_SIDE: Final = 224
_MEAN: Final = (0.485, 0.456, 0.406)  # ImageNet's
_STD: Final = (0.229, 0.224, 0.225)


def check_described(
    description: ModelDescription,
    *,
    num_classes: int,
    in_chans: int,
    size: tuple[int, int] | None,
    fallback: tuple[int, int] | None,
    keep_classifier: bool,
    where: str,
) -> tuple[InputConfig, tuple[str, ...]]:
    """The input of a model that describes itself, and warnings.

    Args:
        description: what it says.
        num_classes: K; 0 for an encoder.
        in_chans: channels of the images.
        size: (height, width) of the input that the spec gives, or None.
        fallback: the size if nothing else gives one.
        keep_classifier: whether weights for another number of classes are an error.
        where: the section's place in the spec.

    Raises:
        UserError: it takes images of another size, or knows another number of classes.
    """
    own = description.image_size
    wanted = size or own or fallback or (_SIDE, _SIDE)
    if description.fixed_size and own is not None and wanted != own:
        place = "data.image_size" if where == "student" else f"{where}.image_size"
        message = f"the model takes images of {own[0]}x{own[1]} pixels only"
        raise UserError(
            Problem(place, message, value=size_text(wanted), hint="leave it out, or choose this size")
        )
    warnings = tuple(f"{where}.{description.place}: {line}" for line in description.warnings)
    known = description.num_classes
    if known is not None and num_classes not in (0, known):
        what = f"the model knows {known} classes" if known else "the model has no classifier"
        if keep_classifier:
            hint = OTHER_CLASSES if description.trainable else FROZEN
            message = f"{what}, the data has {num_classes}"
            raise OtherClasses(Problem(f"{where}.{description.place}", message, hint=hint), known)
        warnings += (
            f"{where}.{description.place}: {what}, the data has {num_classes}: "
            "the classifier starts from its initial values",
        )
    mean, std = (
        per_channel(values, in_chans) for values in (description.mean or _MEAN, description.std or _STD)
    )
    return InputConfig(wanted, mean, std, description.interpolation, description.crop_pct), warnings
