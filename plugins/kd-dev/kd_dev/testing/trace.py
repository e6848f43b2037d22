"""The results of a few steps: equal in one process and in two, unless something relates the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kd_dev.testing.rig import Rig

WORLD: Final = 2
SAMPLES: Final = 8
_STEPS: Final = 2
_LENGTH: Final = 0.1  # length of a step, whatever the size of the loss


def trace(rig: Rig, rows: slice, rank: int | None = None) -> dict[str, dict[str, Tensor]]:
    """Terms of each step, gradients of the last one, and the distiller's buffers after it.

    Args:
        rig: a rig with the whole batch.
        rows: this process's rows of the batch.
        rank: this process among several; None: there is only one.
    """
    if rank is not None:
        # as in a run: the process's own random draws, and its own buffers of the distiller
        names = [f"distillers.{name}" for name, _ in rig.distillation.distillers.named_buffers()]
        parallel: Any = DistributedDataParallel
        parallel._set_params_and_buffers_to_ignore_for_model(rig.distillation, names)
        idle = rig.distillation.requires.idle_parameters
        rig.model = parallel(rig.distillation, find_unused_parameters=idle)
        rig.seed += rank
    found: dict[str, Tensor] = {}
    for step in range(1, _STEPS + 1):
        rig.distillation.zero_grad(set_to_none=True)
        output = rig.output(rows=rows)
        output.loss.backward()  # type: ignore[no-untyped-call]
        found |= {f"{name!r} of step {step}": term.detach() for name, term in output.terms.items()}
        gradients = {name: grad.clone() for name, grad in rig.gradients().items()}
        _descend(rig.distillation, gradients)
    buffers = {name: value for name, value in rig.distiller.named_buffers() if value.is_floating_point()}
    return {"terms": found, "gradients": gradients, "buffers": buffers}


@torch.no_grad()
def _descend(module: nn.Module, gradients: dict[str, Tensor]) -> None:
    length = torch.stack([grad.norm() for grad in gradients.values()]).norm()
    for name, parameter in module.named_parameters():
        if name in gradients:
            parameter.sub_(gradients[name] * (_LENGTH / length))
