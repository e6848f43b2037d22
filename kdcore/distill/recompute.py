"""Gradient checkpointing: activations are computed a second time in the backward pass instead of being kept."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import torch

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn


def checkpoint_blocks(student: nn.Module, name: str) -> None:
    """Switch on the gradient checkpointing that timm has for the model.

    Raises:
        UserError: the model has none.
    """
    switch = getattr(student, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError
        switch(True)
    except (AssertionError, NotImplementedError) as error:  # timm asserts where a class cannot
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
    """Around a backward pass: what its second forward pass does to the running statistics is undone."""
    kept = [buffer.clone() for buffer in buffers]
    yield
    if kept:
        with torch.no_grad():
            torch._foreach_copy_(cast("list[Tensor]", list(buffers)), kept)
