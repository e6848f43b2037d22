"""Device, precision and processes of one run, by accelerate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from kdcore import compat
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from kdcore.distill.distillation import Distillation
    from kdcore.spec.models import RunSpec

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def make_accelerator(spec: RunSpec) -> Accelerator:
    """Device, precision and processes of one run.

    Raises:
        UserError: accelerate's configuration wraps the model in its own way.
    """
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"):
        if os.environ.get(name, "false").lower() == "true":
            message = "accelerate's configuration wraps the model, which kd does not support"
            hint = "remove that setting from accelerate's configuration; train.fsdp shards the weights"
            raise UserError(Problem(name, message, os.environ[name], hint=hint))
    # accelerate keeps the first Accelerator's precision for the whole process; a teacher's run has its own
    compat.reset_accelerate()
    accelerator = Accelerator(
        # by default accelerate treats each process without a GPU as a run of its own
        cpu=not torch.accelerator.is_available(),
        mixed_precision=_PRECISIONS[spec.train.precision],
    )
    if spec.train.precision == "fp16" and accelerator.device.type == "cpu":
        # accelerate supports fp16 on accelerators only, and would use fp32; torch supports it on CPUs too
        accelerator.native_amp, accelerator.scaler = True, torch.amp.GradScaler("cpu")
    return accelerator


def expect_idle_parameters(accelerator: Accelerator, distillation: Distillation) -> None:
    """Let DDP look for parameters that a step leaves out, if there may be some."""
    # without a task loss, the classifier may not be part of any loss
    if distillation.task_weight == 0 or distillation.requires.idle_parameters:
        accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)


def keep_own_buffers(distillation: Distillation) -> None:
    """Stop DDP from sending the distillers' buffers in each step: whole batches keep memory banks equal."""
    names = [f"distillers.{name}" for name, _ in distillation.distillers.named_buffers()]
    compat.leave_out_of_ddp(distillation, names)
