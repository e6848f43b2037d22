"""A teacher of a distillation, computed only as far as the distillers read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from kdcore.distill.passes import Extract, pass_of_views, tensors_of, turned, without_logits
from kdcore.features import Extractor
from kdcore.features.tail import Tail
from kdcore.models.fold import fold_batch_norm
from kdcore.protocols import Requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from kdcore.distill.adapted_model import AdaptedModel
    from kdcore.protocols import ModelOutput, Stage


class TeacherPasses:
    """A teacher, and the passes of it that the distillers need.

    A frozen teacher is in eval mode, and its passes have no gradients. It is not a module: its parameters and state are
    not those of the `Distillation`. A teacher that learns is a submodule of the `Distillation` too; it is in the
    student's mode, and its passes have gradients.

    Args:
        given: the teacher, completed.
        in_chans: channels of the images.

    Attributes:
        learns: whether it is trained together with the student.
        model: the teacher.
        info: what distillers may know of it.
        memory_format: order of the images in memory.
        stops_early: whether a pass stops at the deepest stage that is read, if the logits are not.
        requires: what the distillers read of it.
        stages: the stages among that.
    """

    def __init__(self, given: AdaptedModel, in_chans: int) -> None:
        self.learns = given.learns
        self.model = given.model if given.learns else given.model.requires_grad_(False).eval()
        self.info = given.info(in_chans)
        self.info.learns = given.learns
        self.memory_format = torch.preserve_format
        self.stops_early = True
        self.requires = Requires(teacher=False)
        self.stages: tuple[Stage, ...] = ()
        self._given = given
        self._in_chans = in_chans
        self._precision: torch.dtype | None = None
        self._whole: Extract | None = None
        self._maps: Extract | None = None

    def read(self, requires: Requires) -> None:
        """Prepare the passes for what the distillers read of this teacher; none if they do not read it."""
        self.requires = requires
        if not requires.teacher and not self.learns:
            return
        assert self._given.adapter is not None
        assert not isinstance(requires.teacher_stages, Mapping)
        self.stages = requires.teacher_stages
        extractor = Extractor(self.model, self._given.adapter, self.stages, requires.teacher_embedding)
        self._whole = extractor
        if extractor.has_maps and not requires.teacher_logits and not self.learns:
            self._maps = extractor.maps

    def embedding_pass(self) -> Callable[[Tensor], Tensor]:
        """A function that gives the embedding `[B, D]` of images of the teacher's own size and normalisation.

        Raises:
            UserError: no adapter knows the embedding of this model.
        """
        assert self._given.adapter is not None
        _ = self.info.embedding_dim  # raises if there is none
        extract = Extractor(self.model, self._given.adapter, (), True)

        def embed(images: Tensor) -> Tensor:
            embedding = extract(images).embedding
            assert embedding is not None
            return embedding

        return embed

    @property
    def is_read(self) -> bool:
        """Whether a distiller reads it."""
        return self._whole is not None

    def compute(self, images: Tensor, whole: bool = False) -> ModelOutput:
        """What the distillers read, for images as the student sees them.

        Args:
            images: `[B, C, H, W]`, or `[B, V, C, H, W]` of V views.
            whole: with the logits, even if no distiller reads them.

        Raises:
            ValueError: no distiller reads this teacher.
        """
        extract = self._maps if self._maps is not None and self.stops_early and not whole else self._whole
        if extract is None:
            raise ValueError("no distiller reads the teacher")
        with contextlib.nullcontext() if self.learns else torch.no_grad(), self.autocast(images.device):
            images = turned(images, self._given.images)
            if images.dim() == 4:
                images = images.to(memory_format=self.memory_format)
            output = pass_of_views(extract, images)
        return output if self._given.classifier else without_logits(output)

    def set(self, *, precision: torch.dtype | None, channels_last: bool) -> None:
        """Set its autocast precision (None: the surrounding one) and the order of its images in memory."""
        self._precision = precision
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def use_channels_last(self) -> bool:
        """Compute in channels-last order, if no map is read and the teacher's code allows it; whether it does now.

        In 16 bits this takes convolutional networks as little as half the time. Distillers get no tensor in this order,
        because logits and embeddings have no channels. Code with `view` may not work in this order.
        """
        extract, images = self._whole, self._one_image()
        convolves = any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        if extract is None or images is None or self.stages or not convolves:
            return False
        self.model.to(memory_format=torch.channels_last)
        try:
            with torch.no_grad(), self.autocast(images.device):
                extract(images.to(memory_format=torch.channels_last))
        except RuntimeError:
            self.model.to(memory_format=torch.contiguous_format)
            return False
        self.memory_format = torch.channels_last
        return True

    def _one_image(self) -> Tensor | None:
        """Random values, as large as an image of the teacher and where its weights are; None if it has no weights."""
        place = next(self.model.parameters(), None)
        if place is None:
            return None
        assert self._given.image_size is not None
        shape = (1, self._given.channels or self._in_chans, *self._given.image_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(place.device)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """The precision in which the teacher computes, if it has its own."""
        dtype = self._precision
        if dtype is None:
            return contextlib.nullcontext()
        half = dtype != torch.float32
        return torch.autocast(device.type, dtype=dtype if half else None, enabled=half)

    def compile(self) -> None:
        """Compile the passes with `torch.compile`."""
        if self._whole is not None:
            self._whole = torch.compile(self._whole)
        if self._maps is not None:
            self._maps = torch.compile(self._maps)

    def wrap(self, wrap: Callable[[Extract], Extract]) -> None:
        """Replace the pass by what `wrap` returns for it; it then always goes through the whole teacher."""
        if self._whole is not None:
            self._whole, self._maps = wrap(self._whole), None

    def fold(self) -> int:
        """Fold its batch norms into its convolutions, in place; its outputs stay, except for rounding.

        Returns:
            The number of norm layers removed.
        """
        extract, images = self._whole, self._one_image()
        if extract is None or images is None:
            return 0
        removed = fold_batch_norm(self.model, lambda: list(tensors_of(extract(images))))
        for tail in self.info.tails.values():
            if isinstance(tail, Tail):
                tail.renew()
        return removed
