"""A student that was trained outside of kd: taken out of its wrappers, and compared with the model of the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from kdcore.data.inputs import resolve_input, student_input
from kdcore.distill.adapted_model import AdaptedModel
from kdcore.distill.distillation import Distillation
from kdcore.errors import Problem, UserError
from kdcore.models import build_model
from kdcore.spec.channels import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdcore.data import InputConfig
    from kdcore.models import BuiltModel
    from kdcore.plugins import Plugins
    from kdcore.spec.models import RunSpec

_WRAPPERS: Final = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "_FabricModule": "module",
}
"""Classes around a model, by name, and where each has it."""
_MOST: Final = 3  # weights that a message names
_TOLERANCE: Final = {torch.float32: 1e-3, torch.float64: 1e-6}
_HALF: Final = 5e-2


def module_of(student: nn.Module | AdaptedModel | Distillation) -> nn.Module:
    """The student's own module.

    Raises:
        UserError: it is not a module, or it has no weights.
    """
    found: object = student
    while True:
        if isinstance(found, Distillation):
            found = found.student
        elif isinstance(found, AdaptedModel):
            found = found.model
        elif isinstance(found, nn.Module) and type(found).__name__ in _WRAPPERS:
            found = getattr(found, _WRAPPERS[type(found).__name__])
        else:
            break
    if not isinstance(found, nn.Module) or next(found.parameters(), None) is None:
        message = "it is not a torch.nn.Module with weights"
        raise UserError(Problem("student", message, type(found).__name__))
    return found


def check_student(
    module: nn.Module, spec: RunSpec, num_classes: int, plugins: Plugins
) -> tuple[BuiltModel, InputConfig]:
    """Build the model of the spec, and compare it with the student that was trained.

    Returns:
        The model of the spec with the student's weights, and the images that it takes.

    Raises:
        UserError: the weights are not finite, or the two are different models.
    """
    weights = module.state_dict()
    bad = [name for name, value in weights.items() if not _finite(value)]
    if bad:
        raise UserError(Problem("student", f"not all of its weights are finite numbers: {_first(bad)}"))
    channels = count_of(spec.student.channels, spec.data.channels)
    built = build_model(
        spec.student,
        num_classes=num_classes if spec.student.classifier else 0,
        in_chans=channels,
        image_size=spec.data.image_size,
        plugins=plugins,
        where="student",
        load_weights=False,
    )
    differing = list(_differences(weights, built.model.state_dict()))
    if differing:
        what = f"'{built.name}'" + (f" with {num_classes} classes" if spec.student.classifier else "")
        message = f"it is not the model that the spec names, {what}: {_first(differing, '; ')}"
        hint = "student.model, student.options, student.small_input and data must say how it was built"
        raise UserError(Problem("student", message, hint=hint))
    built.model.load_state_dict(weights)
    taken = student_input(spec, resolve_input(spec.data, built.input))
    _check_outputs(module, built, (channels, *taken.image_size))
    return built, taken


def _check_outputs(module: nn.Module, built: BuiltModel, shape: tuple[int, int, int]) -> None:
    """Raises UserError if the two give different outputs for the same images."""
    first = next(value for value in module.parameters())
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    images = images.to(first.device, first.dtype)
    theirs = _outputs(module, images)
    ours = _outputs(built.model.to(first.device, first.dtype), images)
    built.model.to("cpu")
    allowed = _TOLERANCE.get(first.dtype, _HALF) * max(1.0, float(ours.abs().max()))
    if theirs.shape != ours.shape or not float((theirs - ours).abs().max()) <= allowed:
        message = f"it gives other outputs than '{built.name}' of the spec with the same weights"
        hint = "student.options, student.small_input and data.image_size must say how it was built"
        raise UserError(Problem("student", message, hint=hint))


def _outputs(module: nn.Module, images: Tensor) -> Tensor:
    """What it gives in evaluation mode; its modes stay as they are."""
    modes = [(one, one.training) for one in module.modules()]
    try:
        with torch.no_grad():
            found: object = module.eval()(images)
    finally:
        for one, mode in modes:
            one.training = mode
    if not isinstance(found, Tensor):
        raise UserError(Problem("student", f"it gives {type(found).__name__}, not a tensor of logits"))
    return found.double().cpu()


def _differences(given: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> Iterator[str]:
    """Which weights only one of the two has, or has in another shape."""
    for name, value in built.items():
        if name not in given:
            yield f"it has no {name}"
        elif given[name].shape != value.shape:
            yield f"its {name} has the shape {list(given[name].shape)}, not {list(value.shape)}"
    yield from (f"it has {name}" for name in given if name not in built)


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _first(texts: list[str], joint: str = ", ") -> str:
    more = f"{joint}... ({len(texts) - _MOST} more)" if len(texts) > _MOST else ""
    return joint.join(texts[:_MOST]) + more
