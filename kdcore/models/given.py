"""Module objects in place of names: a Python program gives them to `kdcore.run`."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import json
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from kdcore.description import ModelDescription, description_of
from kdcore.errors import Problem, UserError, nearest
from kdcore.models.digest import weights_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME: Final = "module"
"""The name of such a model in a spec."""
STUDENT: Final = "student"
TEACHER: Final = "teacher"

_LIBRARIES: Final = frozenset({"builtins", "timm", "torch"})
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")

_given: ContextVar[dict[str, nn.Module] | None] = ContextVar("given", default=None)


@contextlib.contextmanager
def given_modules(
    student: nn.Module | None, teacher: nn.Module | Mapping[str, nn.Module] | None
) -> Iterator[tuple[str, ...]]:
    """Within it, specs find these modules. Yields the changes that name them in a spec, as for `--set`."""
    teachers = dict(teacher) if not isinstance(teacher, nn.Module | None) else {}
    modules: dict[str, nn.Module] = dict(teachers)
    changes: list[str] = []
    if student is not None:
        modules[STUDENT] = student
        changes += _changes(STUDENT, STUDENT, student)
    if isinstance(teacher, nn.Module):
        modules[TEACHER] = teacher
        changes += _changes(TEACHER, TEACHER, teacher)
    if STUDENT in teachers:
        raise UserError(Problem("teacher", "a teacher cannot have this name", STUDENT))
    if teachers:
        sections = [
            {"name": name, "model": NAME, "options": _options(name, one)} for name, one in teachers.items()
        ]
        changes.append(f"teacher={json.dumps(sections)}")
    token = _given.set(modules)
    try:
        yield tuple(changes)
    finally:
        _given.reset(token)


def build(num_classes: int, in_chans: int, *, role: str, type: str, weights: str) -> nn.Module:
    """A copy of the module that was given for `role`; on the meta device without its values.

    The module itself is never changed.

    Args:
        num_classes: K, which the module has to have.
        in_chans: channels of the images.
        role: `student`, or the teacher's name.
        type: its class, for the message.
        weights: digest of its weights.

    Raises:
        UserError: no module was given, or another one.
    """
    modules = _given.get() or {}
    if role not in modules:
        what = "the student" if role == STUDENT else f"the teacher '{role}'"
        message = f"{what} of this spec is a module object of a Python program ({type or 'unknown'})"
        argument = "student=MODULE" if role == STUDENT else "teacher=MODULE"
        hint = (
            f"give it again: kdcore.run(SPEC, {argument}); the weights of a finished student are in "
            "student/model.safetensors of the run directory"
        )
        raise UserError(Problem("model", message, nearest=nearest(role, modules), hint=hint))
    own = modules[role]
    if weights and weights != weights_digest(own):
        message = "the module has other weights than the one that the spec was made with"
        raise UserError(Problem("options.weights", message, weights, weights_digest(own)))
    if torch.get_default_device().type == "meta":
        tensors = [*own.parameters(), *own.buffers()]
        memo: dict[int, Any] = {id(tensor): _on_meta(tensor) for tensor in tensors}
        twin = copy.deepcopy(own, memo)
    else:
        twin = copy.deepcopy(own)
    if description_of(twin) is None:
        twin.kd_description = _described(twin)  # type: ignore[assignment]  # no tensor
    return twin.train()


def source_digest(module: nn.Module) -> str:
    """SHA-256, in hex, of how a module is put together and of the source of its classes, as far as there is one.

    Its weights do not count. The classes of torch and timm are only named: their versions say what they do.
    """
    classes = {cls for part in module.modules() for cls in type(part).__mro__}
    parts = [_ADDRESS.sub("", str(module)), *sorted(map(_with_source, classes))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _with_source(cls: type) -> str:
    source = "" if cls.__module__.partition(".")[0] in _LIBRARIES else _source(cls)
    return f"{cls.__module__}:{cls.__qualname__}\n{source}"


def _source(cls: type) -> str:
    """The source of a class, or of those of its functions that have one; a notebook knows only these."""
    found = []
    parts: tuple[Any, ...] = (cls, *(value for value in vars(cls).values() if inspect.isfunction(value)))
    for part in parts:
        with contextlib.suppress(OSError, TypeError, SyntaxError):
            found.append(inspect.getsource(part))
    return "".join(found)


def _described(module: nn.Module) -> ModelDescription:
    config: Any = getattr(module, "pretrained_cfg", None) or {}
    classes = getattr(module, "num_classes", None)
    return ModelDescription(
        has_weights=True,
        num_classes=classes if isinstance(classes, int) and classes > 0 else None,
        mean=tuple(config["mean"]) if "mean" in config else None,
        std=tuple(config["std"]) if "std" in config else None,
        interpolation=config.get("interpolation", "bicubic"),
        place="model",
    )


def _on_meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def _changes(section: str, role: str, module: nn.Module) -> list[str]:
    return [f"{section}.model={NAME}", f"{section}.options={json.dumps(_options(role, module))}"]


def _options(role: str, module: nn.Module) -> dict[str, str]:
    cls = type(module)
    return {"role": role, "type": f"{cls.__module__}:{cls.__qualname__}", "weights": weights_digest(module)}
