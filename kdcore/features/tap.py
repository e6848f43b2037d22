"""A forward hook that keeps a module's output as the module returned it, also if it is changed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdcore.errors import RunFailed
from kdcore.features.layout import first_of

if TYPE_CHECKING:
    from torch import nn

# which operations work in place depends on: training mode, whether there are gradients, autocast
_Mode = tuple[bool, bool, torch.dtype]


class Tap:
    """Keeps a module's output during a pass of the extractor; of several tensors the first.

    Many models change a module's output in place later in the pass: a ReLU after a batch norm, an addition after the
    last layer of a block. A tensor counts such changes. The first pass of each mode keeps both the output and a copy,
    and uses the copy if the count has grown at the end. Later passes keep only the one that was used. So the first pass
    and later passes use the same tensor, and a run that is resumed adds up its gradients in the same order.
    """

    _caught: bool
    output: Any
    _copy: Tensor | None
    _mode: _Mode | None
    _version: int

    def __init__(self) -> None:
        self._open = False
        self._forget()
        self._overwritten: dict[_Mode, bool] = {}

    def begin(self) -> None:
        """The pass starts."""
        self._forget()
        self._open = True

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """The hook."""
        if not self._open:
            return
        first = first_of(output)
        self._forget()
        self._caught, self.output = True, first
        if not isinstance(first, Tensor):
            return
        if torch.compiler.is_compiling() or first.is_inference():
            # a compiled pass has no changes in place, and leaves the copy out; inference tensors do not count
            self.output = first.clone()
            return
        mode = (module.training, torch.is_grad_enabled(), first.dtype)
        known = self._overwritten.get(mode)
        if known:
            self.output = first.clone()
            return
        self._mode, self._version = mode, first._version
        if known is None:
            self._copy = first.clone()

    def end(self, where: str) -> tuple[bool, Any]:
        """Whether the module ran, and its output, which is not kept here afterwards.

        Raises:
            RunFailed: the output was changed in place, and in the first pass of this mode it was not.
        """
        caught, output, copy, mode = self._caught, self.output, self._copy, self._mode
        changed = mode is not None and output._version != self._version
        self._open = False
        self._forget()
        if mode is None:
            return caught, output
        known = mode in self._overwritten
        if changed or not known:
            self._overwritten[mode] = changed
        if not changed:
            return caught, output
        if known:
            raise RunFailed(
                f"{where}: a later operation of the model changed its output in place, and no operation did so in "
                "earlier passes. The features of this pass are lost; the next pass makes a copy in time"
            )
        return caught, copy

    def _forget(self) -> None:
        self._caught = False
        self.output = self._copy = self._mode = None
        self._version = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Tap:
        return Tap()  # a copy of the model must not hand its features to the original's extractor
