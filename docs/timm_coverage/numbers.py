"""The smallest model of each class as student, with numbers: on the CPU, forward and backward."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.inspect import count_parameters
from timm_coverage.pair import (
    HINTS,
    METHODS,
    TEACHERS,
    Smaller,
    attempt,
    create,
    distillation,
    image_size,
    images_for,
    step,
    try_each,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from timm_coverage.shapes import Record

DROP_RATE: Final = 0.2
DROP_PATH_RATE: Final = 0.1
# where the smallest model of a class, at its own input size, would take long or much memory
SMALLER: Final = {
    "beit_base_patch16_224": Smaller(96, {"img_size": 96}),
    "convmixer_768_32": Smaller(64, {}),
    "deepseek_vit_412m": Smaller(84, {"img_size": 84, "depth": 8}),
    "gemma4_vit_167m": Smaller(96, {"img_size": 96, "depth": 8}),
    "mobilenetv5_base": Smaller(128, {}),
    "naflexvit_base_patch16_parfac_gap": Smaller(96, {}),
    "nasnetalarge": Smaller(128, {}),
    "pnasnet5large": Smaller(128, {}),
    "qwen3_vit_88m": Smaller(96, {"img_size": 96}),
    "sam2_hiera_tiny": Smaller(224, {}),
    "samvit_base_patch16_224": Smaller(96, {"img_size": 96}),
}


def representatives(models: Mapping[str, Record]) -> list[str]:
    """The smallest classifier of each class, of equal ones the first by name; sorted by class."""
    smallest: dict[str, str] = {}
    for name, record in sorted(models.items(), key=lambda item: (item[1]["parameters"], item[0])):
        if "excluded" not in record:
            smallest.setdefault(record["class"], name)
    return [smallest[cls] for cls in sorted(smallest)]


def check_numbers(name: str) -> Record:
    """The record of one model.

    - `model`, `image_size`, `parameters`, `drop_path`: what it was built with; `options` where it was made smaller
    - `eval_equal`, `train_equal`: logits bit-equal to `model(images)`, in training mode with dropout under one seed
    - `finite`: all losses and gradients
    - `failures`: {method: {teacher: reason}}, without those that work
    - `hints`: of the further methods, {method: reason} of those that `refused` the pair, or `failed`
    - `unreached`: parameters without a gradient from the loss of all methods
    - `lost`: parameters with a gradient from the model's logits, and without from that loss
    """
    smaller = SMALLER.get(name)
    options = smaller.options if smaller else {}
    torch.manual_seed(0)
    student, drop_path = _create(name, options)
    perturb(student)
    size = (smaller.side, smaller.side) if smaller else image_size(student)
    images = images_for(size, "cpu")
    record: Record = {
        "model": name,
        **({"options": options} if smaller else {}),
        "image_size": list(size),
        "parameters": count_parameters(student),
        "drop_path": drop_path,
    }
    student.zero_grad(set_to_none=True)
    student(images).sum().backward()
    expected = with_gradient(student)
    found: list[Record] = []
    for teacher_name in TEACHERS:
        value, failures = attempt(METHODS, partial(_run, student, teacher_name, size, images))
        found += [value] if value else []
        for method, why in failures.items():
            record.setdefault("failures", {}).setdefault(method, {})[teacher_name] = why
    record["hints"] = _hints(student, size, images)
    for key in ("eval_equal", "train_equal", "finite"):
        record[key] = bool(found) and all(one[key] for one in found)
    reached = set.intersection(*(one["reached"] for one in found)) if found else set()
    for key, names in (
        ("unreached", {name for name, _ in student.named_parameters()} - reached),
        ("lost", expected - reached),
    ):
        if names:
            record[key] = sorted(names)
    return record


def check_missing_numbers(name: str) -> Record:
    """Only the part `hints` of the record of one model."""
    smaller = SMALLER.get(name)
    torch.manual_seed(0)
    student, _ = _create(name, smaller.options if smaller else {})
    perturb(student)
    size = (smaller.side, smaller.side) if smaller else image_size(student)
    return {"hints": _hints(student, size, images_for(size, "cpu"))}


def _hints(student: nn.Module, size: tuple[int, int], images: Tensor) -> dict[str, dict[str, str]]:
    """Why the further methods refused this student, or failed with numbers: those that work are in neither."""
    refused: dict[str, str] = {}
    failed: dict[str, str] = {}
    for teacher_name, methods in HINTS.items():
        found = try_each(methods, partial(_finite, student, teacher_name, size, images))
        refused |= found[0]
        failed |= found[1]
    student.zero_grad(set_to_none=True)
    return {"refused": refused, "failed": failed}


def _finite(
    student: nn.Module, teacher_name: str, size: tuple[int, int], images: Tensor, methods: Sequence[str]
) -> None:
    """One step in training mode; an error if a loss or a gradient is not finite."""
    module = distillation(student, teacher_name, methods, size, "cpu")
    module.train()
    out = step(module, images)
    module.zero_grad(set_to_none=True)
    out.loss.backward()  # type: ignore[no-untyped-call]
    wrong = [name for name, value in out.terms.items() if not value.isfinite()]
    wrong += [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ][:3]
    if wrong:
        raise ValueError(f"not finite: {', '.join(wrong)}")


def _create(name: str, options: Mapping[str, Any]) -> tuple[nn.Module, bool]:
    try:
        return create(name, "cpu", drop_rate=DROP_RATE, drop_path_rate=DROP_PATH_RATE, **options), True
    except TypeError:  # of a constructor without drop path
        return create(name, "cpu", drop_rate=DROP_RATE, **options), False


@torch.no_grad()
def perturb(model: nn.Module) -> None:
    """Make norms, biases, layer scales and all that starts at one value different from each other.

    A zero at the start, or a layer scale of 1e-6, would hide what is computed behind it.
    """
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.dim() <= 1 or parameter.amin() == parameter.amax():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def with_gradient(model: nn.Module) -> set[str]:
    """The parameters that have a gradient. It may be zero: a bias in front of a batch norm has no effect."""
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def _run(
    student: nn.Module, teacher_name: str, size: tuple[int, int], images: Tensor, methods: Sequence[str]
) -> Record:
    module = distillation(student, teacher_name, methods, size, "cpu")
    module.eval()
    with torch.no_grad():
        eval_equal = torch.equal(step(module, images).logits, student(images))
    module.train()
    torch.manual_seed(3)
    expected = student(images)
    torch.manual_seed(3)
    out = step(module, images)
    module.zero_grad(set_to_none=True)
    out.loss.backward()  # type: ignore[no-untyped-call]
    losses = torch.stack([out.loss, *out.terms.values()])
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return {
        "eval_equal": eval_equal,
        "train_equal": torch.equal(out.logits, expected),
        "finite": bool(losses.isfinite().all() and all(one.isfinite().all() for one in gradients)),
        "reached": with_gradient(student),
    }
