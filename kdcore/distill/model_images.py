"""A model's view of the images that the data gives: its channels, mean, deviation and input size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.data.inputs import per_channel
from kdcore.spec.channels import GREY, GREY_WEIGHTS

if TYPE_CHECKING:
    from kdcore.data.inputs import InputConfig


_STRETCHED = 1.02  # ratio of the two shapes from which images are visibly distorted


def stretched(student: InputConfig, teacher: InputConfig, where: str) -> tuple[str, ...]:
    """A warning where the teacher's input has another shape than the student's: its images are distorted."""
    (height, width), (rows, columns) = student.image_size, teacher.image_size
    ratio = (height * columns) / (width * rows)
    if max(ratio, 1 / ratio) < _STRETCHED:
        return ()
    fitting = [rows, max(round(rows * width / height), 8)]
    return (
        f"{where}: its input is {rows}x{columns}, the student's {height}x{width}: the images are stretched for it. "
        f"{where}.image_size {fitting} keeps their shape, if the model takes it",
    )


class ModelImages(nn.Module):
    """Turns the images that the data gives, normalised, `[B, C, H, W]`, into images as a model was trained on.

    Args:
        given: how the images of the data are normalised, and their size.
        taken: the same for the model.
        channels: the channels that the model takes; None: all.
    """

    scale: Tensor
    shift: Tensor
    index: Tensor

    def __init__(
        self,
        given: InputConfig,
        taken: InputConfig,
        channels: Literal["grey"] | tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.grey = channels == GREY
        self.chooses = channels is not None and not self.grey
        # grey is the sum of the weighted colours
        picked = given if self.grey else given.of_channels(channels)
        own = torch.tensor([picked.mean, picked.std], dtype=torch.float64)
        other = torch.tensor([taken.mean, taken.std], dtype=torch.float64)
        if self.grey:
            own = torch.tensor([per_channel(values, 3) for values in own.tolist()], dtype=torch.float64)
            weights = torch.tensor(GREY_WEIGHTS, dtype=torch.float64)
            scale, shift = weights * own[1] / other[1], ((weights * own[0]).sum() - other[0]) / other[1]
        else:
            # ((x * own_std + own_mean) - mean) / std, in one multiplication and one addition
            scale = own[1] / other[1]
            shift = (own[0] - other[0]) / other[1]
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.float().view(1, -1, 1, 1), persistent=False)
        chosen = torch.tensor(channels if self.chooses else [], dtype=torch.int64)
        self.register_buffer("index", chosen, persistent=False)
        self.size = taken.image_size if taken.image_size != given.image_size else None
        self.renormalise = bool((scale != 1).any() or (shift != 0).any())

    @property
    def identity(self) -> bool:
        """Whether the model takes the images as they are."""
        return self.size is None and not self.renormalise and not self.chooses and not self.grey

    def forward(self, images: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, the model's channels, *its size]`."""
        if self.chooses:
            images = images.index_select(1, self.index)
        if self.size is not None:
            images = F.interpolate(images, self.size, mode="bicubic", antialias=True, align_corners=False)
        if self.grey:
            return (images * self.scale).sum(dim=1, keepdim=True) + self.shift
        return torch.addcmul(self.shift, images, self.scale) if self.renormalise else images
