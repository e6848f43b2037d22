"""Checks of gradients, and of the owners of parameters and tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.rig import (
    backward,
    kept_tensors,
    mapped,
    names,
    of_teachers,
    require_equal,
    require_finite,
    tensors_in,
    total,
)
from kdcore.inspect import kept_graph

if TYPE_CHECKING:
    from torch import Tensor

    from kd_dev.testing.rig import Seen
    from kd_dev.testing.subject import DistillerSubject


@rule(
    "distiller",
    summary="The loss terms have a finite gradient in the student's parameters.",
    why="Without it, the student learns nothing from the method.",
    fix="Do not detach the student's outputs, and do not read their values with `.item()` or numpy.",
)
def gradient_to_student(subject: DistillerSubject) -> None:
    rig = subject.rig()
    terms = rig.step()
    if not total(terms).requires_grad:
        raise Violation(f"no term has a gradient: {', '.join(terms)}")
    backward(terms)
    require_finite(rig.gradients(), "the gradient of")
    reached = [name for name, grad in rig.gradients().items() if name.startswith("student.") and grad.any()]
    if not reached:
        raise Violation("the gradient of every parameter of the student is missing or 0")


@rule(
    "distiller",
    summary="The loss terms have a gradient in each of the distiller's own parameters.",
    why="A parameter without one is not trained, and a run of several processes fails in its second step.",
    fix="Use every head in each step, or freeze parameters that are not trained with `requires_grad_(False)`. Declare "
    "heads that only some steps use: `Requires(idle_parameters=True)`.",
)
def gradient_to_heads(subject: DistillerSubject) -> None:
    rig = subject.rig()
    heads = {
        name: parameter for name, parameter in rig.distiller.named_parameters() if parameter.requires_grad
    }
    if not heads:
        skip("it has no parameters")
    if rig.distillation.requires.idle_parameters:
        skip("it declares that some steps leave out some of its parameters")
    backward(rig.step())
    unreached = [name for name, parameter in heads.items() if parameter.grad is None]
    if unreached:
        raise Violation(f"no gradient reaches {names(unreached)} (of {len(heads)} parameters)")


@rule(
    "distiller",
    summary="The loss terms have no gradient in the teacher's outputs.",
    why="The teacher is not trained. In your own loop, its outputs may have a graph: the "
    "gradient would change the teacher, or the graph would use memory.",
    fix="Call `.detach()` on the teacher's logits, feature maps and embedding where you read them.",
)
def no_gradient_to_teacher(subject: DistillerSubject) -> None:
    rig = subject.rig()
    if rig.pair.teacher is None:
        skip("it has no teacher")
    if rig.pair.learns:
        skip("its teacher learns")
    given: dict[str, Tensor] = {}

    def leaf(value: Tensor) -> Tensor:
        return value.detach().clone().requires_grad_()

    def change(seen: Seen) -> Seen:
        changed = replace(seen, teacher=of_teachers(seen.teacher, lambda output: mapped(output, leaf)))
        given.update(tensors_in(changed))
        return changed

    rig.hand_over(change)
    backward(rig.step())
    for name, value in given.items():
        if name.startswith("teacher.") and value.grad is not None and value.grad.any():
            raise Violation(f"{name} gets a gradient of up to {value.grad.abs().max().item():.3g}")


@rule(
    "distiller",
    summary="Its parameters are its own: none belongs to the student or the teacher.",
    why="A distiller's parameters are trained. If the teacher's are among them, the teacher is trained, too; "
    "if the student's are, they are updated twice.",
    fix="Do not assign a model's module, such as `setup.teacher.classifier`, to an attribute: that makes it "
    "a submodule. Keep it in a tuple, or copy it.",
)
def owns_its_parameters(subject: DistillerSubject) -> None:
    rig = subject.rig()
    own = {id(parameter): name for name, parameter in rig.distiller.named_parameters()}
    owners = [("student", rig.distillation.student), *rig.distillation.teachers.items()]
    for owner, model in owners:
        for name, parameter in model.named_parameters():
            if id(parameter) in own:
                raise Violation(f"its parameter {own[id(parameter)]!r} is the {owner}'s {name!r}")


@rule(
    "distiller",
    summary="Tensors and modules that it stores are parameters, buffers or submodules, also after a step.",
    why="Anything else is not moved to the GPU, is not in the checkpoints, and is not trained.",
    fix="Use `register_buffer` (with `persistent=False` for values that need not be saved), `nn.ModuleList` and "
    "`nn.ParameterList`.",
)
def tensors_are_buffers(subject: DistillerSubject) -> None:
    rig = subject.rig()
    backward(rig.step())
    models = [rig.distillation.student, *rig.distillation.teachers.values()]
    others = {id(module) for model in models for module in model.modules()}
    theirs = {id(parameter) for model in models for parameter in model.parameters()}
    for path, module in rig.distiller.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") and name in vars(nn.Module()):
                continue  # torch's own containers of registered parts
            for kept in kept_tensors(value):
                if id(kept) not in others and not _is_part(kept, theirs):
                    place = ".".join(filter(None, (path, name)))
                    kind = (
                        "a module" if isinstance(kept, nn.Module) else f"a tensor of shape {list(kept.shape)}"
                    )
                    raise Violation(f"the attribute {place!r} of {type(module).__name__} holds {kind}")


def _is_part(kept: Tensor | nn.Module, parameters: set[int]) -> bool:
    """Whether it is a module of a model's own parameters, as `ModelInfo.tail` returns it."""
    own = [] if isinstance(kept, torch.Tensor) else list(kept.parameters())
    return bool(own) and all(id(parameter) in parameters for parameter in own)


@rule(
    "distiller",
    summary="Its arguments are bit-equal afterwards, and `features` has the same stages.",
    why="The distillers of a run share one forward pass: if one changes a tensor in place, or takes a map out of "
    "`features`, the next one gets that.",
    fix="Use functions without a trailing underscore, `=` instead of `+=` on your arguments, and no `pop`.",
)
def inputs_unchanged(subject: DistillerSubject) -> None:
    rig = subject.rig()
    before: dict[str, Tensor] = {}
    given: list[Seen] = []

    def look(seen: Seen) -> Seen:
        given.append(seen)
        before.update({name: value.detach().clone() for name, value in tensors_in(seen).items()})
        return seen

    rig.hand_over(look)
    rig.step()
    require_equal(tensors_in(given[0]), before, "after forward")


@rule(
    "distiller",
    summary="After a step, no buffer and no attribute has the graph of the step.",
    why="The next step's backward pass goes through the graph of this one again and fails, or the memory of all "
    "steps is kept.",
    fix="Call `.detach()` on what you keep, or update it under `torch.no_grad()`.",
)
def keeps_no_graph(subject: DistillerSubject) -> None:
    rig = subject.rig()
    backward(rig.step())
    kept = kept_graph(rig.distiller)
    if kept is not None:
        raise Violation(f"{kept!r} has a graph after a step")
