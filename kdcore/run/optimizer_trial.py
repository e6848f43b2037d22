"""A few steps of an optimizer on tiny weights: what would fail in a run fails here, before anything is trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from kdcore.errors import Problem
from kdcore.ops import Dot
from kdcore.run.optimizer import create_optimizer
from kdcore.rundir.statefile import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.spec.models import OptimizerSpec

_SIDE: Final = 3  # the longest side of a tiny weight
_STEPS: Final = 2
_LR: Final = 0.01


@dataclass(frozen=True)
class Trial:
    """What came of it: problems, and what the optimizer warned of."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def try_optimizer(spec: OptimizerSpec, parameters: Iterable[Tensor]) -> Trial:
    """Build, step, save, load and step the optimizer on weights of the same numbers of dimensions.

    Args:
        spec: the optimizer.
        parameters: what it would train; only the shapes are read.

    Raises:
        UserError: it cannot be built.
    """
    # a learning rate that is too high is not a fault of the optimizer: the run reports it
    spec = spec.model_copy(update={"lr": min(spec.lr, _LR)})
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    shapes = sorted({tuple(min(side, _SIDE) for side in parameter.shape) for parameter in parameters})
    with (
        warnings.catch_warnings(record=True) as caught,
        torch.random.fork_rng(devices=[]),
        # timm's kron compiles some of its functions, which takes half a minute
        torch.compiler.set_stance("force_eager"),
    ):
        warnings.simplefilter("always")
        problem = _problem(spec, shapes, device)
    told = dict.fromkeys(f"optimizer: {item.message}" for item in caught if item.category is UserWarning)
    return Trial(() if problem is None else (problem,), tuple(told))


def _problem(spec: OptimizerSpec, shapes: list[tuple[int, ...]], device: torch.device) -> Problem | None:
    weights, again = _weights(shapes, device), _weights(shapes, device)
    optimizer = create_optimizer(spec, [{"params": list(weights)}])
    try:
        _steps(optimizer, weights, first=0)
        state = unpack(pack({"weights": weights.state_dict(), "optimizer": optimizer.state_dict()}))
        _steps(optimizer, weights, first=_STEPS)
        resumed = create_optimizer(spec, [{"params": list(again)}])
        again.load_state_dict(state["weights"])
        resumed.load_state_dict(state["optimizer"])
        _steps(resumed, again, first=_STEPS)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"'{spec.name}' fails on {device.type} when it is tried on a few small weights: {lines[0]}"
        hint = (
            "change optimizer.options, or use another optimizer" if spec.options else "use another optimizer"
        )
        return Problem("optimizer", message, value=spec.options or spec.name, hint=hint)
    if not all(weight.isfinite().all() for weight in weights):
        message = f"{2 * _STEPS} steps of '{spec.name}' on a few small weights make them NaN or infinite"
        return Problem("optimizer", message, hint="change optimizer.options")
    if not all(map(torch.equal, weights, again)):
        message = f"the state of '{spec.name}' cannot be saved: a resumed run would go another way"
        return Problem("optimizer.name", message, spec.name, hint="use another optimizer")
    return None


def _weights(shapes: list[tuple[int, ...]], device: torch.device) -> nn.ParameterList:
    generator = torch.Generator().manual_seed(0)
    return nn.ParameterList(torch.randn(shape, generator=generator).to(device) for shape in shapes)


def _steps(optimizer: torch.optim.Optimizer, weights: nn.ParameterList, first: int) -> None:
    for step in range(first, first + _STEPS):
        generator = torch.Generator().manual_seed(1 + step)
        for weight in weights:
            weight.grad = (0.1 * torch.randn(weight.shape, generator=generator)).to(weight.device)
        if isinstance(optimizer, Dot):
            gradients = [weight.grad for weight in weights]
            optimizer.take(list(weights), gradients, [None, *gradients[1:]])
        torch.default_generator.manual_seed(
            step
        )  # some optimizers draw from it, as a run seeds it in each step
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
