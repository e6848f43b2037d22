"""Gradient checkpointing: the backward pass computes activations a second time, so that they need no memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import torch

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn


def checkpoint_blocks(student: nn.Module, name: str) -> None:
    """Switch on timm's gradient checkpointing of the model.

    Raises:
        UserError: the model does not support it.
    """
    switch = getattr(student, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError
        switch(True)
    except (AssertionError, NotImplementedError) as error:  # timm asserts if a class cannot
        raise UserError(
            Problem(
                "train.grad_checkpointing",
                f"student {name} ({type(student).__name__}) has no gradient checkpointing",
                value=True,
                allowed="false",
                hint="train.accumulate with a smaller train.batch_size saves memory too",
            )
        ) from error


@contextlib.contextmanager
def unchanged(buffers: Sequence[Tensor]) -> Iterator[None]:
    """Around a backward pass: undo what its second forward pass does to the running statistics."""
    kept = [buffer.clone() for buffer in buffers]
    yield
    if kept:
        with torch.no_grad():
            torch._foreach_copy_(cast("list[Tensor]", list(buffers)), kept)
