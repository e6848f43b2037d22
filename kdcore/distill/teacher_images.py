"""The teacher's view of the student's images: its own mean, deviation and input size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


class TeacherImages(nn.Module):
    """Turns images that are normalised for the student, `[B, C, H, W]`, into images as the teacher was trained on."""

    scale: Tensor
    shift: Tensor

    def __init__(self, student: InputConfig, teacher: InputConfig) -> None:
        super().__init__()
        own, other = (
            torch.tensor([config.mean, config.std], dtype=torch.float64) for config in (student, teacher)
        )
        # ((x * own_std + own_mean) - mean) / std, in one multiplication and one addition
        scale = own[1] / other[1]
        shift = (own[0] - other[0]) / other[1]
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.float().view(1, -1, 1, 1), persistent=False)
        self.size = teacher.image_size if teacher.image_size != student.image_size else None
        self.renormalise = bool((scale != 1).any() or (shift != 0).any())

    @property
    def identity(self) -> bool:
        """Whether teacher and student take the same images."""
        return self.size is None and not self.renormalise

    def forward(self, images: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, *teacher's size]`."""
        if self.size is not None:
            images = F.interpolate(images, self.size, mode="bicubic", antialias=True, align_corners=False)
        return torch.addcmul(self.shift, images, self.scale) if self.renormalise else images
