"""Checks of side effects: in the model, and in the adapter."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from kd_dev.testing.check import Violation, rule
from kd_dev.testing.rig import names, require_equal, state_of, tensors_of

if TYPE_CHECKING:
    from torch import nn

    from kd_dev.testing.adapters.subject import AdapterSubject


@rule(
    "adapter",
    summary="After its calls the model has the same hooks as before.",
    why="Hooks slow each later pass, and are copied and saved with the model.",
    fix="Remove the hooks that you register, in a `finally`. Better: register none; kd reads module paths with its "
    "own hooks.",
)
def no_hooks_left(subject: AdapterSubject) -> None:
    model, adapter = subject.model(), subject.adapter()
    before = _hooks(model)
    _use(subject, model, adapter)
    left = {place: count for place, count in _hooks(model).items() if count != before.get(place, 0)}
    if left:
        place, count = next(iter(left.items()))
        raise Violation(f"{place} has {count} hooks instead of {before.get(place, 0)}")


@rule(
    "adapter",
    summary="After its calls the model is unchanged: attributes, methods, mode, trained parameters, and state.",
    why="A patched model cannot be copied, saved, compiled or used elsewhere as before.",
    fix="Store data about a model outside the model, in a `weakref.WeakKeyDictionary`, and copy the model "
    "before code that changes it.",
)
def no_patching(subject: AdapterSubject) -> None:
    model, adapter = subject.model(), subject.adapter()
    methods: dict[Any, Any] = {type(module): type(module).forward for module in model.modules()}
    before, state = _outline(model), state_of(model)
    _use(subject, model, adapter)
    after = _outline(model)
    for name, was in before.items():
        now = after.get(name)
        if now != was:
            place = f"module {name!r}" if name else "the model itself"
            raise Violation(f"{place} changed: {_difference(was, now)}")
    if after.keys() != before.keys():
        raise Violation(f"modules were added: {names(sorted(after.keys() - before.keys()))}")
    for cls, forward in methods.items():
        if cls.forward is not forward:
            raise Violation(f"the class {cls.__name__} has a different method 'forward'")
    require_equal(state_of(model), state, "the model's state")


@rule(
    "adapter",
    summary="A model that it was used with can be copied with the adapter, and both give the same results.",
    why="Averaged weights and tests copy models.",
    fix="Store no hooks, locks or open files.",
)
def deepcopy(subject: AdapterSubject) -> None:
    model, adapter = subject.model(), subject.adapter()
    wanted = subject.ask(model, subject.images(), adapter)
    twin, twin_adapter = copy.deepcopy((model, adapter))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    require_equal(
        tensors_of(subject.ask(twin, subject.images(), twin_adapter)), tensors_of(wanted), "the copy"
    )


@rule(
    "adapter",
    summary="One instance can be used with several models in turn.",
    why="kd may use one instance for student and teacher.",
    fix="Store nothing about a model in the adapter, or store it by model, in a `weakref.WeakKeyDictionary`.",
)
def several_models(subject: AdapterSubject) -> None:
    one, other, adapter = subject.model(), subject.model(), subject.adapter()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    for model in (one, other, one):
        wanted = subject.ask(model, subject.images())
        found = subject.ask(model, subject.images(), adapter)
        require_equal(tensors_of(found), tensors_of(wanted), "in turn with another model")


def _use(subject: AdapterSubject, model: nn.Module, adapter: Any) -> None:
    if subject.numbers:
        adapter.stages(model, subject.size)
    subject.ask(model, subject.images(), adapter)


_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)
_GLOBAL = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")


def _hooks(model: nn.Module) -> dict[str, int]:
    found = {
        f"{path or 'the model'}.{kind}": len(getattr(module, kind, ()))
        for path, module in model.named_modules()
        for kind in _HOOKS
    }
    place = torch.nn.modules.module
    return found | {f"torch's {kind}": len(getattr(place, kind, ())) for kind in _GLOBAL}


@dataclass(frozen=True)
class _Outline:
    cls: type
    attributes: frozenset[str]
    training: bool
    trained: tuple[bool, ...]


def _outline(model: nn.Module) -> dict[str, _Outline]:
    return {
        path: _Outline(
            type(module),
            frozenset(vars(module)),
            module.training,
            tuple(parameter.requires_grad for parameter in module.parameters(recurse=False)),
        )
        for path, module in model.named_modules()
    }


def _difference(was: _Outline, now: _Outline | None) -> str:
    if now is None:
        return "it was removed"
    if now.attributes != was.attributes:
        more, less = sorted(now.attributes - was.attributes), sorted(was.attributes - now.attributes)
        return f"new attributes {more}, missing {less}"
    if now.training != was.training:
        return f"training is {now.training} instead of {was.training}"
    return "its class" if now.cls is not was.cls else "requires_grad of its parameters"
