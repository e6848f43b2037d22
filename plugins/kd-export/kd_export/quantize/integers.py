"""The 8-bit form of a student that was trained on grids: integer weights, batch norms folded, and rounding operations.

The operations are those of PyTorch's quantised programs (`quantized_decomposed`), which ExecuTorch, OpenVINO and
torch's exporter to ONNX read.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kd_export import compat
from kd_export.quantize.grids import HIGHEST, LARGEST, LOWEST, ActivationGrid, weight_steps
from kd_export.quantize.rounded import NAMES, attach, rounded_part
from kdcore.ops import widest_float

if TYPE_CHECKING:
    from kd_export.quantize.plan import Plan

_SIGNED: Final = 0
_UNSIGNED: Final = 128
_NOTHING: Final = 1e-9


def integer_form(
    model: nn.Module, *, unsigned: bool, multiplied: bool = False, logits: bool = False
) -> nn.Module:
    """A copy of a rounded network in evaluation mode, for tracing.

    Args:
        model: the network; the rounded one may be a part of it, as in a student with the head of a distiller.
        unsigned: activations as integers from 0 to 255, otherwise from -128 to 127: the same grid.
        multiplied: write a weight as a product of integers and steps, which OpenVINO keeps in 8 bits; otherwise as the
            operation `dequantize_per_channel`.
        logits: round the logits too.
    """
    compat.load_quantised_operations()
    whole = copy.deepcopy(model).eval()
    twin = rounded_part(whole)
    assert twin is not None
    plan: Plan = twin.int8_plan  # type: ignore[assignment]
    with torch.no_grad():
        for path, norm in plan.layers.items():
            _to_integers(twin, path, norm, multiplied=multiplied)
        for path, side in plan.points:
            module = twin.get_submodule(path)
            grid = module.get_submodule(NAMES[side])
            assert isinstance(grid, ActivationGrid)
            rounding = _Rounding(grid, _UNSIGNED if unsigned else _SIGNED)
            module.add_module(NAMES[side], rounding if logits or side != "logits" else nn.Identity())
    return whole


def _to_integers(model: nn.Module, path: str, norm_path: str | None, *, multiplied: bool) -> None:
    layer = model.get_submodule(path)
    weight = model.get_parameter(f"{path}.parametrizations.weight.original")
    steps = weight_steps(weight)
    shape = (-1, *[1] * (weight.dim() - 1))
    integers = (weight / steps.view(shape)).round().clamp(-LARGEST, LARGEST)
    if norm_path is not None:
        scale = _fold(model, layer, norm_path)
        integers, steps = integers * scale.sign().view(shape), steps * scale.abs()
    # channels of zeros, or that their norm multiplies by 0: runtimes refuse such steps
    gone = steps < _NOTHING
    integers = integers.masked_fill(gone.view(shape), 0)
    steps = steps.masked_fill(gone, max(float(steps.max()), _NOTHING))
    # not by remove_parametrizations, which changes the class, and copies of a network share it
    layer.__class__ = type(layer).__mro__[1]
    del layer.parametrizations
    layer.weight = nn.Parameter(integers.to(torch.int8), requires_grad=False)
    parametrize.register_parametrization(layer, "weight", _Weight(steps, multiplied), unsafe=True)


def _fold(model: nn.Module, layer: nn.Module, norm_path: str) -> Tensor:
    """Fold a batch norm into the bias of the layer before it; what it multiplies each channel by, `[O]`."""
    norm = model.get_submodule(norm_path)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    wide = widest_float(norm.running_var.device)
    scale = (norm.running_var.to(wide) + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.to(wide)
    shift = -norm.running_mean.to(wide) + (0 if layer.bias is None else layer.bias.to(wide))  # type: ignore[operator]
    bias = shift * scale + (0 if norm.bias is None else norm.bias.to(wide))
    layer.bias = nn.Parameter(bias.float(), requires_grad=False)
    rest = _Rest(norm)
    model.set_submodule(norm_path, rest)
    if hasattr(rest, NAMES["out"]):
        attach(rest, "out")
    return scale.float()


class _Rest(nn.Module):
    """What is left of a batch norm that was folded: the activation that timm's have, and the grid of the output."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        for name, child in norm.named_children():
            self.add_module(name, child)

    def forward(self, values: Tensor) -> Tensor:
        act = getattr(self, "act", None)
        found: Tensor = values if act is None else act(values)
        return found


class _Weight(nn.Module):
    """Integers times the step of each output channel."""

    steps: Tensor
    zeros: Tensor

    def __init__(self, steps: Tensor, multiplied: bool) -> None:
        super().__init__()
        self.multiplied = multiplied
        self.register_buffer("steps", steps)
        self.register_buffer("zeros", torch.zeros_like(steps, dtype=torch.int64))

    def forward(self, integers: Tensor) -> Tensor:
        if self.multiplied:
            return integers.float() * self.steps.view(-1, *[1] * (integers.dim() - 1))
        found: Tensor = torch.ops.quantized_decomposed.dequantize_per_channel(
            integers, self.steps, self.zeros, 0, -LARGEST, LARGEST, torch.int8
        )
        return found


class _Rounding(nn.Module):
    """To integers and back, with the range of a grid."""

    def __init__(self, grid: ActivationGrid, shift: int) -> None:
        super().__init__()
        step, zero = grid.step_and_zero()
        kind = torch.int8 if shift == _SIGNED else torch.uint8
        self._given = (step.item(), int(zero) + shift, LOWEST + shift, HIGHEST + shift, kind)

    def forward(self, values: Tensor) -> Tensor:
        operations = torch.ops.quantized_decomposed
        integers = operations.quantize_per_tensor(values, *self._given)
        found: Tensor = operations.dequantize_per_tensor(integers, *self._given)
        return found
