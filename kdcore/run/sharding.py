"""Sharded weights: torch's `fully_shard` (FSDP2) for student, heads and, if asked for, the teacher.

Each process holds a part of every weight, of its gradient and of the optimizer's state. A block's weights are
gathered only for its forward and backward pass. In a checkpoint each process writes its parts; any number of processes
can read them (`kdcore.rundir.sharded_state`).
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from kdcore.errors import Problem
from kdcore.ops import world_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from accelerate import Accelerator
    from timm.utils import ModelEmaV3
    from torch.distributed.device_mesh import DeviceMesh

    from kdcore.distill.distillation import Distillation
    from kdcore.distill.passes import Extract
    from kdcore.run.prepare import Prepared
    from kdcore.spec.models import RunSpec

_CONTAINERS = (nn.Sequential, nn.ModuleList)


class Root(nn.Module):
    """Gathers the weights of `model` outside its blocks, for every call through this module.

    A feature adapter calls parts of a model, which `fully_shard` does not notice; it notices the call of this module.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, call: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Call `call` (the model by default) with all weights that it may read."""
        return (call or self.model)(*args, **options)


class Shards:
    """The sharded modules of one run, and functions to call them.

    Args:
        distillation: its student and heads are sharded; with `teacher`, its teacher too.
        ema: the averaged student, sharded like the student.
        teacher: whether the teacher is sharded; otherwise each process holds all of it.
        idle: one image `[1, C, H, W]` of the student's size, on the device of the weights.

    Attributes:
        root: the module to train; it is called like the distillation.
    """

    def __init__(
        self, distillation: Distillation, ema: ModelEmaV3 | None, *, teacher: bool, idle: Tensor
    ) -> None:
        self._idle = idle
        mesh = init_device_mesh(idle.device.type, (world_size(),))
        _from_main_process(distillation)
        self.root = _sharded(distillation, distillation.student, mesh)
        self._roots: dict[nn.Module, Root] = {distillation.student: self.root}
        if ema is not None:
            ema.foreach = False  # one call cannot take sharded weights and whole buffers
            self._roots[ema.module] = _sharded(ema.module, ema.module, mesh)
        for frozen in distillation.teacher_passes.values() if teacher else ():
            # a distiller may call the teacher's classifier directly
            root = _sharded(frozen.model, frozen.model, mesh, whole=frozen.info.classifier)
            self._roots[frozen.model] = root
            frozen.wrap(partial(_called_by, root))

    def caller(
        self, model: nn.Module, call: Callable[[Tensor], Tensor] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """A function that calls `model`: the student, its average, a teacher; or `call`, which reads its weights."""
        root = self._roots.get(model)
        return call or model if root is None else partial(root, call=call or model)

    def in_step(self, data: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The batches of this process; after the last, the idle image and None while another process has more.

        Either all processes call a sharded model, or none does.
        """
        batches = iter(data)
        while True:
            batch = next(batches, None)
            going = torch.tensor([batch is not None], dtype=torch.int32, device=self._idle.device)
            dist.all_reduce(going)
            if not going.item():
                return
            yield (self._idle, None) if batch is None else batch


def _called_by(root: Root, extract: Extract) -> Extract:
    return partial(root, call=extract)


def shard(spec: RunSpec, prepared: Prepared, accelerator: Accelerator) -> Shards | None:
    """Shard what the spec says; None if nothing is sharded, as in a single process."""
    if spec.train.fsdp is None or accelerator.num_processes == 1:
        return None
    size = prepared.models.input.image_size
    return Shards(
        prepared.distillation,
        prepared.ema,
        teacher=spec.train.fsdp == "student+teacher",
        idle=torch.zeros(1, spec.data.channels, *size, device=accelerator.device),
    )


def blocks(model: nn.Module, whole: Iterable[nn.Parameter] = ()) -> list[nn.Module]:
    """The repeated blocks of a model, inner ones first: modules in a sequence or a list that have submodules.

    Blocks are left out if they hold a parameter of `whole`, or share a parameter with a module outside.
    """
    left_out = {id(parameter) for parameter in whole}
    uses = _uses(model)
    found: dict[nn.Module, int] = {}
    for name, parent in model.named_modules():
        if not isinstance(parent, _CONTAINERS):
            continue
        for child in parent.children():
            inside = _uses(child)
            alone = all(uses[key] == times for key, times in inside.items()) and left_out.isdisjoint(inside)
            if inside and alone and not isinstance(child, _CONTAINERS) and next(child.children(), None):
                found[child] = name.count(".")
    return sorted(found, key=lambda block: -found[block])


def _uses(module: nn.Module) -> Counter[int]:
    return Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))


def problems(spec: RunSpec, distillation: Distillation) -> Iterator[Problem]:
    """Reasons why a run's weights cannot be sharded."""
    if spec.train.fsdp is None:
        return
    teachers = distillation.teacher_passes.values()
    if any(info.tails for info in (distillation.student_info, *(teacher.info for teacher in teachers))):
        message = (
            "a distiller runs layers of a model apart from the others, which sharded weights do not allow"
        )
        yield Problem("train.fsdp", message, spec.train.fsdp, "null")
    if distillation.requires.student_pass:
        message = "a distiller runs the student a second time, which sharded weights do not allow"
        yield Problem("train.fsdp", message, spec.train.fsdp, "null")
    if spec.train.compile == "step":
        message = (
            "sharded weights are gathered block by block within the passes, so a step is not one function"
        )
        hint = "true compiles student and teacher; or leave train.fsdp out"
        yield Problem("train.compile", message, value="step", allowed="true or false", hint=hint)
    modules = [("student", distillation.student), ("distiller", distillation.distillers)]
    if spec.train.fsdp == "student+teacher":
        modules += [("teacher", teacher) for teacher in distillation.teachers.values()]
    for role, module in modules:
        single = [name for name, parameter in module.named_parameters() if parameter.dim() == 0]
        if single:
            message = f"the {role}'s parameter '{single[0]}' is a single number, which cannot be sharded"
            yield Problem("train.fsdp", message, spec.train.fsdp, "null")


# -- tensors ---------------------------------------------------------------------------------------------------


def spread(values: Mapping[str, Any], like: nn.Module) -> dict[str, Any]:
    """Shard the whole tensors of a state like the state of `like`."""
    current = like.state_dict()
    return {name: _like(value, current.get(name)) for name, value in values.items()}


def spread_optimizer(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Shard the whole tensors of an optimizer's state like its parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    placed = dict(state)
    placed["state"] = {
        number: {
            name: _like(value, parameters[int(number)])
            if _same_shape(value, parameters[int(number)])
            else value
            for name, value in of_one.items()
        }
        for number, of_one in state["state"].items()
    }
    return placed


def make_whole(model: nn.Module, keep: bool = True) -> None:
    """Gather a sharded model permanently, after training; every process must call it."""
    for module in model.modules():
        parameters: dict[str, Any] = module._parameters
        for name, parameter in parameters.items():
            if isinstance(parameter, DTensor):
                full = parameter.full_tensor().detach()
                if keep:
                    parameters[name] = nn.Parameter(full.cpu())


def _sharded(module: nn.Module, model: nn.Module, mesh: DeviceMesh, whole: nn.Module | None = None) -> Root:
    left_out = set() if whole is None else set(whole.parameters())
    for block in blocks(model, left_out):
        fully_shard(block, mesh=mesh)
    root = Root(module)
    # after each forward pass: an average or a teacher has no backward pass that would do it
    fully_shard(root, mesh=mesh, reshard_after_forward=True, ignored_params=left_out)
    return root


def _from_main_process(module: nn.Module) -> None:
    """Start with the same weights on all processes, as DDP does."""
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.detach(), 0)


def _same_shape(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape == parameter.shape


def _like(value: Any, current: Any) -> Any:
    if not isinstance(current, DTensor) or isinstance(value, DTensor):
        return value
    # every process has read the whole tensor: nothing needs to be sent
    return distribute_tensor(
        value.to(current.device), current.device_mesh, current.placements, src_data_rank=None
    )
