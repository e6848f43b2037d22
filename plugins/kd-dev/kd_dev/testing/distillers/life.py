"""Checks of copying, saving, loading and training an instance."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.rig import backward, require_equal, total
from kdcore.inspect import read_state, write_state

if TYPE_CHECKING:
    from kd_dev.testing.rig import Rig
    from kd_dev.testing.subject import DistillerSubject

_LOOKS: Final = (6, 12, 20)  # steps after which the losses so far decide
_STEPS: Final = _LOOKS[-1]
_RATES: Final = (0.01, 0.001)


@rule(
    "distiller",
    summary="A deep copy gives bit-equal terms, and changes of the original do not affect the copy.",
    why="Averaged weights, searches over learning rates and notebooks copy models.",
    fix="Keep state in buffers. With hooks, lambdas or caches that hold the instance itself, copies "
    "share it.",
)
def deepcopy(subject: DistillerSubject) -> None:
    rig = subject.rig()
    backward(rig.step())
    rig.require_no_graph()
    twin = copy.deepcopy(rig.distillation)
    wanted = {name: term.detach() for name, term in rig.step().items()}
    with torch.no_grad():
        for parameter in rig.distillation.parameters():
            parameter.add_(1.0)
    rig.model = twin
    require_equal(rig.step(), wanted, "in the copy, after the original was used and changed,")


@rule(
    "distiller",
    summary="If it has a method `student`, the module that this returns gives logits `[B, K]`; for a copy of the "
    "student it works apart from the original.",
    why="kd evaluates, averages, saves and exports this module.",
    fix="Build it from the given model and from submodules of the distiller, and keep no other reference to either.",
)
def ships(subject: DistillerSubject) -> None:
    rig = subject.rig()
    if rig.distillation.changes_student is None:
        skip("it has no method 'student'")
    images = rig.images if rig.images.dim() == 4 else rig.images[:, 0]
    shipped = rig.distillation.shipped.eval()
    apart = rig.distillation.shipped_copy(copy.deepcopy(rig.distillation.student)).eval()
    with torch.no_grad():
        logits = shipped(images)
        wanted = (len(images), rig.pair.classes)
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
            found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise Violation(
                f"the module that 'student' returned gives {found} instead of logits {list(wanted)}"
            )
        require_equal({"logits": apart(images)}, {"logits": logits}, "with a copy of the student")
        for parameter in rig.distillation.parameters():
            parameter.add_(1.0)
        require_equal(
            {"logits": apart(images)}, {"logits": logits}, "after the original was changed, the copy's"
        )


@rule(
    "distiller",
    summary="A new instance that loads the saved state continues with bit-equal terms and gradients.",
    why="A run that was stopped continues from a checkpoint with the state of student and distiller, "
    "written as safetensors and JSON. It does not call `prepare` again.",
    fix="Keep everything that changes in parameters and persistent buffers; plain numbers through `get_extra_state` "
    "and `set_extra_state`.",
)
def state_roundtrip(subject: DistillerSubject) -> None:
    rig = subject.rig()
    optimizer = torch.optim.Adam(rig.distillation.parameters(), lr=1e-3)
    for _ in range(3):
        _train(rig, optimizer)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        try:
            digest = write_state(path, dict(rig.distillation.state_dict()))
        except TypeError as error:
            raise Violation(str(error)) from error
        terms, gradients = _next_step(rig)
        resumed = subject.rig(prepared=False)
        resumed.distillation.load_state_dict(read_state(path, digest))
    found, found_gradients = _next_step(resumed)
    require_equal(found, terms, "after loading")
    require_equal(found_gradients, gradients, "after loading, the gradients")


@rule(
    "distiller",
    summary="Within 20 steps on one batch the sum of the loss terms goes down.",
    why="The gradient must point to smaller losses.",
    fix="Compare the gradient with finite differences, `torch.autograd.gradcheck`, in float64.",
)
def trains(subject: DistillerSubject) -> None:
    seen = []
    for rate in _RATES:
        rig = subject.rig()
        optimizer = torch.optim.Adam(rig.distillation.parameters(), lr=rate)
        values: list[float] = []
        while len(values) < _STEPS:
            values.append(_train(rig, optimizer))
            if len(values) in _LOOKS and sum(values[-3:]) < sum(values[:3]):
                return
        seen.append(f"from {values[0]:.6g} to {values[-1]:.6g} with Adam at {rate:g}")
    raise Violation(f"the sum of the terms went {' and '.join(seen)} in {_STEPS} steps")


def _train(rig: Rig, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    terms = rig.step()
    backward(terms)
    optimizer.step()
    return total(terms).item()


def _next_step(rig: Rig) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    rig.distillation.zero_grad(set_to_none=True)
    terms = rig.step()
    backward(terms)
    gradients = {name: grad.clone() for name, grad in rig.gradients().items()}
    return {name: term.detach() for name, term in terms.items()}, gradients
