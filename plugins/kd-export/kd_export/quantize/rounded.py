"""A network with its weights and activations on grids of 8-bit integers, as it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from torch.nn.utils import parametrize

from kd_export.quantize.grids import ActivationGrid, WeightGrid

if TYPE_CHECKING:
    from torch import nn

    from kd_export.quantize.plan import Plan

NAMES: Final = {"in": "int8_input", "out": "int8_output", "logits": "int8_output"}
"""What the grid at a module's input or output is called in that module."""


def round_to_plan(model: nn.Module, plan: Plan) -> None:
    """Round the layers and points of a plan, in place. Modules keep their classes, paths and hooks."""
    for path in plan.layers:
        parametrize.register_parametrization(model.get_submodule(path), "weight", WeightGrid())
    for path, side in plan.points:
        module = model.get_submodule(path)
        grid = ActivationGrid(rounds=side != "logits").to(next(model.parameters()).device)
        module.add_module(NAMES[side], grid)
        attach(module, side)
    model.int8_plan = plan  # type: ignore[assignment]


def attach(module: nn.Module, side: str) -> None:
    """Let a module's child for this side see its input or output.

    The hooks are functions that know no module, so copies of the network are independent of it.
    """
    if side == "in":
        module.register_forward_pre_hook(_input)
    else:
        module.register_forward_hook(_output)


def rounded_part(model: nn.Module) -> nn.Module | None:
    """The network, or the part of it, that is on grids of 8-bit integers; it has its plan as `int8_plan`."""
    return next((module for module in model.modules() if hasattr(module, "int8_plan")), None)


def _input(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return (module.get_submodule(NAMES["in"])(arguments[0]), *arguments[1:])


def _output(module: nn.Module, _: Any, output: Any) -> Any:
    return module.get_submodule(NAMES["out"])(output)
