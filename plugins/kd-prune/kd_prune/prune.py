"""The transform `prune`: removes channels of the built student, and builds the pruned student again from its record."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kd_prune.compat import quiet, torch_pruning
from kd_prune.cut import places
from kd_prune.record import make_record, remove
from kd_prune.search import count_macs, find_cut
from kdcore import Problem, Transformed, UserError
from kdcore.inspect import count_parameters
from kdcore.plugin import short_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from kd_prune.options import PruneOptions
    from kdcore import TransformSetup

_HINT = (
    "'keep' leaves a part of the model as it is; docs/prune.md has the families of models that can be pruned"
)


class Prune:
    """Removes a share of the channels of a student.

    Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023, https://arxiv.org/abs/2301.12900.
    """

    def __init__(self, options: PruneOptions) -> None:
        self._options = options

    def apply(self, model: nn.Module, setup: TransformSetup) -> Transformed:
        """Remove channels.

        Raises:
            UserError: Torch-Pruning is missing or cannot follow the model, or a layer would have no channel left.
        """
        torch_pruning()
        modes = {name: module.training for name, module in model.named_modules()}
        before = copy.deepcopy(model).eval()
        images = torch.zeros(2, setup.in_chans, *setup.image_size)
        seed = setup.generator.initial_seed()
        try:
            with quiet():
                done = find_cut(before, images, self._options, seed)
                _check_tied(before, done.model)
                twin = places(before, images, done.history)
            after = done.model.eval()
            _check_output(before, after, images, setup.num_classes)
        except UserError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            cause = f"{type(error).__name__}: {lines[0]}"
            message = f"Torch-Pruning cannot prune this model: {cause}"
            raise UserError(Problem("", message, hint=_HINT)) from error
        record = make_record(before, twin, after)
        pruned = remove(copy.deepcopy(model), record)
        _check_record(pruned, after, images)
        for name, module in pruned.named_modules():
            module.training = modes[name]
        warnings: tuple[str, ...] = ()
        if setup.random_weights and self._options.importance != "random":
            warnings = ("the student has initial values, which do not say which channels are important",)
        return Transformed(pruned, record, (_note(before, pruned, images),), warnings)

    def rebuild(self, model: nn.Module, record: Mapping[str, Any]) -> nn.Module:
        """Remove the same channels from the same model; Torch-Pruning is not needed."""
        return remove(model, record)


def _check_tied(before: nn.Module, after: nn.Module) -> None:
    """Raises UserError if layers that have one tensor together would get one each."""
    names = dict[Tensor, str]()
    new = dict(after.named_parameters(remove_duplicate=False))
    for name, tensor in before.named_parameters(remove_duplicate=False):
        first = names.setdefault(tensor, name)
        if new[first] is not new[name]:
            message = f"'{first}' and '{name}' are one tensor, and pruned they would be two"
            hint = (
                "'keep' with these layers and those whose outputs they read leaves the tensor as it is, "
                "or choose another model"
            )
            raise UserError(Problem("", message, hint=hint))


def _check_output(before: nn.Module, after: nn.Module, images: Tensor, num_classes: int) -> None:
    """Raises ValueError if the pruned model gives another number of logits."""
    with torch.no_grad():
        old, new = before(images), after(images)
    if num_classes and new.shape != old.shape:
        raise ValueError(f"it would give {tuple(new.shape)} in place of {tuple(old.shape)}")


def _check_record(pruned: nn.Module, after: nn.Module, images: Tensor) -> None:
    """Raises RuntimeError if the record does not give the model that it was made of."""
    ours, theirs = pruned.state_dict(), after.state_dict()
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in ours):
        raise RuntimeError("the record of the removal gives another model")


def _note(before: nn.Module, after: nn.Module, images: Tensor) -> str:
    """What the model was and is."""
    sizes = [count_parameters(model) for model in (before, after)]
    text = f"pruned from {sizes[0]:,} to {sizes[1]:,} parameters ({sizes[1] / sizes[0]:.0%})"
    old, new = (count_macs(model, images) for model in (before, after))
    if old is not None and new is not None:
        text += f", from {short_count(old)} to {short_count(new)} multiply-adds ({new / old:.0%})"
    return text
