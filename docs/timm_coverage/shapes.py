"""Every model as student, by shapes: heads are built and one step runs on the meta device."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, Final

from kdcore.inspect import count_parameters
from timm_coverage.meta_layers import quick_layers
from timm_coverage.pair import (
    EMBEDDING_METHODS,
    ENCODER,
    HINTS,
    METHODS,
    STUDENT,
    TEACHER_SIZE,
    TEACHERS,
    Smaller,
    attempt,
    class_of,
    create,
    distillation,
    encoder,
    encoder_distillation,
    image_size,
    images_for,
    one_skeleton,
    step,
    try_each,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

Record = dict[str, Any]
Worked = bool | str
"""True, or the reasons why it does not work."""

# models that read a tensor's value in their forward pass (a meta tensor has no values), and options for small ones
ON_CPU: Final = {"gemma4_vit_*": Smaller(96, {"img_size": 96})}


def check_shapes(name: str) -> Record:
    """The record of one model.

    - `class`, `parameters`, `image_size`; `options` if it runs on the CPU instead of the meta device
    - `excluded`: why nothing can be distilled into it
    - `failures`: {method: {teacher: reason}}, without those that work
    - `unreached`: parameters to which the loss of all methods has no path
    - `lost`: those of them to which the model's logits have one
    - `hints`: of the further methods, {method: reason} of those that `refused` the pair before training, or `failed`
    - `embedding`: true, or why an encoder does not teach it
    - `as_teacher`: of an encoder: true, or why it does not teach
    """
    quick_layers()
    one_skeleton()
    smaller = next((found for pattern, found in ON_CPU.items() if fnmatch(name, pattern)), None)
    device, options = ("cpu", smaller.options) if smaller else ("meta", {})
    student = create(name, device, **options)
    size = (smaller.side, smaller.side) if smaller else image_size(student)
    record: Record = {
        "class": class_of(student),
        "parameters": count_parameters(student),
        "image_size": list(size),
        **({"options": options} if smaller else {}),
    }
    images = images_for(size, device)
    unreached: set[str] = set()
    for teacher_name in TEACHERS:

        def run(methods: Sequence[str], teacher_name: str = teacher_name) -> set[str]:
            module = distillation(student, teacher_name, methods, size, device)
            return out_of_reach(student, step(module, images).loss)

        value, failures = attempt(METHODS, run)
        unreached |= value or set()
        for method, why in failures.items():
            record.setdefault("failures", {}).setdefault(method, {})[teacher_name] = why
    if not hasattr(student, "get_classifier"):
        record["as_teacher"] = _as_teacher(student, size, device)
        return {"excluded": _only_reason(record), **record}
    record["embedding"] = _from_encoder(student, size, device)
    record["hints"] = _hints(student, size, device)
    if unreached:
        record["unreached"] = sorted(unreached)
        lost = unreached - out_of_reach(student, student(images).sum())
        if lost:
            record["lost"] = sorted(lost)
    return record


def check_missing(name: str, parts: Sequence[str]) -> Record:
    """Only these parts of the record of one model: `embedding` (of an encoder `as_teacher`), `hints`."""
    quick_layers()
    one_skeleton()
    smaller = next((found for pattern, found in ON_CPU.items() if fnmatch(name, pattern)), None)
    device, options = ("cpu", smaller.options) if smaller else ("meta", {})
    student = create(name, device, **options)
    size = (smaller.side, smaller.side) if smaller else image_size(student)
    if not hasattr(student, "get_classifier"):
        return {"as_teacher": _as_teacher(student, size, device)} if "embedding" in parts else {}
    found: Record = {}
    if "embedding" in parts:
        found["embedding"] = _from_encoder(student, size, device)
    if "hints" in parts:
        found["hints"] = _hints(student, size, device)
    return found


def _hints(student: nn.Module, size: tuple[int, int], device: str) -> dict[str, dict[str, str]]:
    """Why the further methods refused this student, or failed: those that work are in neither."""
    refused: dict[str, str] = {}
    failed: dict[str, str] = {}
    for teacher_name, methods in HINTS.items():

        def run(names: Sequence[str], teacher_name: str = teacher_name) -> None:
            step(distillation(student, teacher_name, names, size, device), images_for(size, device))

        found = try_each(methods, run)
        refused |= found[0]
        failed |= found[1]
    return {"refused": refused, "failed": failed}


def _from_encoder(student: nn.Module, size: tuple[int, int], device: str) -> Worked:
    """Whether a teacher without a classifier teaches it by embeddings."""
    teacher = encoder(ENCODER, device)

    def run(methods: Sequence[str]) -> None:
        module = encoder_distillation(student, teacher, methods, size, TEACHER_SIZE, device)
        step(module, images_for(size, device))

    return _worked(attempt(EMBEDDING_METHODS, run).failures)


def _as_teacher(teacher: nn.Module, size: tuple[int, int], device: str) -> Worked:
    """Whether an encoder teaches a student by embeddings."""

    def run(methods: Sequence[str]) -> None:
        student = create(STUDENT, device)
        module = encoder_distillation(student, teacher, methods, TEACHER_SIZE, size, device)
        step(module, images_for(TEACHER_SIZE, device))

    return _worked(attempt(EMBEDDING_METHODS, run).failures)


def _worked(failures: dict[str, str]) -> Worked:
    return "; ".join(f"{method}: {why}" for method, why in failures.items()) or True


def _only_reason(record: Record) -> str:
    """What kd says of a model without a classifier: the same for each method and teacher."""
    failures = record.pop("failures", {})
    reasons = {failures.get(method, {}).get(one, "it works") for method in METHODS for one in TEACHERS}
    return "; ".join(sorted(reasons))


def out_of_reach(model: nn.Module, loss: Tensor) -> set[str]:
    """The parameters to which a loss has no path: its graph is walked, no gradient computed."""
    seen, waiting = set(), [loss.grad_fn]
    reached = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            reached.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return {name for name, parameter in model.named_parameters() if id(parameter) not in reached}
