"""Another pass of the student, for distillers that need one: other images, masked patches, or its moving average."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kdcore.distill.passes import pass_of_views, turned
from kdcore.features import Extractor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kdcore.protocols import FeatureAdapter, ModelOutput, Requires


class StudentPass:
    """What `ModelOutput.student_pass` is: see there.

    Args:
        student: the student.
        adapter: its feature adapter.
        requires: what all distillers read.
        images: turns the images of a batch into those of the student; None: they are the same.

    Attributes:
        average: a moving average of the student; None if no distiller requires one.
    """

    def __init__(
        self,
        student: nn.Module,
        adapter: FeatureAdapter,
        requires: Requires,
        images: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        read = (requires.student_stages, requires.student_embedding)
        self.average: nn.Module | None = None
        self._followed: int | None = None  # the step in which the average moved last
        self._decay, self._student, self._images = requires.student_momentum, student, images
        if self._decay is not None:
            self.average = copy.deepcopy(student).requires_grad_(False)
            self._of_average = Extractor(self.average, adapter, *read)
        self._extract = Extractor(student, adapter, *read)

    def __call__(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        *,
        mask_token: Tensor | None = None,
        ema: bool = False,
    ) -> ModelOutput:
        """The output for `[B, C, H, W]`; see `ModelOutput.student_pass`."""
        if ema and self.average is None:
            raise ValueError("there is no average of the student: set Requires.student_momentum")
        model = self.average if ema and self.average is not None else self._student
        extract = self._of_average if ema else self._extract
        hidden = contextlib.nullcontext() if mask is None else _masked(model, mask, mask_token)
        with hidden, torch.no_grad() if ema else contextlib.nullcontext():
            return pass_of_views(extract, turned(images, self._images))

    @torch.no_grad()
    def follow(self, step: int | None = None) -> None:
        """Move the average towards the student, once in each step; None: the step is not known, so it moves now."""
        if self.average is None or self._decay is None or (step is not None and step == self._followed):
            return
        self._followed = step
        for mean, parameter in zip(self.average.parameters(), self._student.parameters(), strict=True):
            mean.lerp_(parameter.detach(), 1 - self._decay)


@contextlib.contextmanager
def _masked(model: nn.Module, mask: Tensor, token: Tensor | None) -> Iterator[None]:
    """Within it, the marked patches of each image are the token `[D]`, or zeros."""
    embed = getattr(model, "patch_embed", None)
    if not isinstance(embed, nn.Module):
        raise ValueError(f"patches of {type(model).__name__} cannot be masked: it has no patch_embed")

    def hide(_: nn.Module, __: Any, patches: Tensor) -> Tensor:
        tokens = patches.flatten(1, -2)  # [B, N, D], or [B, H, W, D] if the size of the images may change
        if mask.dtype != torch.bool or mask.shape != tokens.shape[:2]:
            kind = str(mask.dtype).removeprefix("torch.")
            raise ValueError(
                f"mask is {kind} of shape {list(mask.shape)}; allowed: bool {list(tokens.shape[:2])}, a value for each "
                "patch"
            )
        hidden = tokens.new_zeros(()) if token is None else token.to(tokens.dtype)
        return torch.where(mask.unsqueeze(-1), hidden, tokens).view_as(patches)

    handle = embed.register_forward_hook(hide)
    try:
        yield
    finally:
        handle.remove()
