"""Checks of precision, memory format, and extreme numbers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn import functional as F

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.rig import (
    backward,
    of_teachers,
    require_equal,
    require_finite,
    require_finite_step,
)

_EXTREMES: Final = ("random", "opposed", "agreed", "sure student's", "sure teacher's")

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from kd_dev.testing.rig import Seen
    from kd_dev.testing.subject import DistillerSubject
    from kdcore import ModelOutput


@rule(
    "distiller",
    summary="Under bfloat16 autocast, terms and gradients are finite, and the terms are close to those in float32.",
    why='`"precision": "bf16"` runs student, teacher and heads in this way. Logits are float32, feature maps '
    "bfloat16 with three digits; differences of large sums lose all of them.",
    fix="Convert features to float32 before sums, norms and products: `with torch.autocast(device_type, "
    "enabled=False)` and `.float()`.",
)
def bf16_autocast(subject: DistillerSubject) -> None:
    exact = {name: term.detach() for name, term in subject.rig().step().items()}
    rig = subject.rig()
    with torch.autocast("cpu", torch.bfloat16):
        terms = rig.step()
    require_finite_step(rig, terms, "under autocast")
    _require_near(terms, exact, 0.25, "under bfloat16 autocast", "in float32")


@rule(
    "distiller",
    summary="In float64 the terms are float64, finite, and close to those in float32.",
    why="Numerical checks of a gradient or of a reimplementation use float64.",
    fix="Create tensors with `new_zeros`, `zeros_like` or the `dtype` of the inputs, and do "
    "not call `.float()` on wider formats.",
)
def float64(subject: DistillerSubject) -> None:
    exact = subject.apart(dtype=torch.float64)
    terms = exact.step()
    for name, term in terms.items():
        if term.dtype != torch.float64:
            raise Violation(
                f"the term {name!r} of float64 inputs is {str(term.dtype).removeprefix('torch.')}"
            )
    require_finite_step(exact, terms, "in float64")
    _require_near(subject.rig().step(), terms, 0.01, "in float32", "in float64")


@rule(
    "distiller",
    summary="With models and images in channels-last format the terms are the same.",
    why='`"channels_last": true` in a spec sets this format. `view` fails with it, and code that reads raw memory '
    "gets a different order.",
    fix="Use `flatten` and `reshape` instead of `view`.",
)
def channels_last(subject: DistillerSubject) -> None:
    usual = {name: term.detach() for name, term in subject.rig().step().items()}
    rig = subject.apart(memory_format=torch.channels_last)
    terms = rig.step()
    require_finite_step(rig, terms, "in channels-last order")
    _require_near(terms, usual, 0.01, "in channels-last order", "in the usual order")


@rule(
    "distiller",
    summary="Terms and gradients are finite for logits up to 1e4 in float32, and up to 1e3 under bfloat16 "
    "autocast.",
    why="A confident teacher, or a student with a learning rate that is too high, has such logits. exp overflows "
    "at 89, and the logarithm of a probability that is rounded to 0 is infinite.",
    fix="Stay in log space: `log_softmax`, `logsumexp`, `F.kl_div(..., log_target=True)`.",
)
def large_logits(subject: DistillerSubject) -> None:
    usual = {name: term.detach() for name, term in subject.rig().step().items()}
    rig = subject.rig()
    now: dict[str, Any] = {}

    def enlarge(seen: Seen) -> Seen:
        student, teacher = _extreme(now["name"], _any_logits(seen), now["largest"])
        now["logits"] = student.requires_grad_()
        taught = of_teachers(seen.teacher, lambda output: _with_logits(output, teacher))
        return replace(seen, student=_with_logits(seen.student, student), teacher=taught)

    rig.hand_over(enlarge)
    for largest, autocast in ((1e4, False), (1e3, True)):
        for name in _EXTREMES:
            now.update(name=name, largest=largest)
            rig.distillation.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
                terms = rig.step()
            if name == _EXTREMES[0] and all(torch.equal(term, usual[key]) for key, term in terms.items()):
                skip("it does not read the logits")
            when = f"with {name} logits of {largest:g}{' under autocast' if autocast else ''}"
            require_finite_step(rig, terms, when)
            grad = now["logits"].grad
            require_finite({} if grad is None else {"logits": grad}, f"{when} the gradient of the student's")


def _any_logits(seen: Seen) -> Tensor:
    """The logits of the student, or those of a teacher if the distiller gets only these."""
    given = seen.teacher
    taught = list(given.values()) if isinstance(given, dict) else [] if given is None else [given]
    both = ((output.logits, output.distillation_logits) for output in (seen.student, *taught))
    found = [logits for pair in both for logits in pair if logits is not None]
    if not found:
        skip("it does not read the logits")
    return found[0]


def _with_logits(output: ModelOutput, logits: Tensor) -> ModelOutput:
    """The output with these in place of the logits that it has; what the distiller does not get stays absent."""
    return replace(
        output,
        logits=None if output.logits is None else logits,
        distillation_logits=None if output.distillation_logits is None else logits,
    )


def _extreme(name: str, like: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Logits of student and teacher."""
    samples, classes = like.shape
    noise = torch.rand(2, samples, classes, generator=torch.Generator().manual_seed(3)) * 2 - 1
    order = torch.arange(samples) % classes
    sure = (2 * F.one_hot(order, classes) - 1.0) * largest
    other = sure.roll(1, 1)
    student, teacher = {
        "random": (largest * noise[0], largest * noise[1]),
        "opposed": (sure, other),
        "agreed": (sure, sure),
        "sure student's": (sure, noise[0]),
        "sure teacher's": (noise[0], sure),
    }[name]
    return student.to(like.dtype, copy=True), teacher.to(like.dtype, copy=True)


@rule(
    "distiller",
    summary="Two instances that are built with the same seed give bit-equal terms and gradients in each step; it does "
    "not seed torch's global generator.",
    why="The same spec gives bit-equal weights, and a resumed run ends like one that was not stopped. With a seed of "
    "its own, every step would draw the same numbers, and so would the distillers after it.",
    fix="Draw from `setup.generator` in the constructor, and from torch's global generator, which kd seeds "
    "before each step, in `forward`; not from `random`, numpy or the clock. Call no `torch.manual_seed`.",
)
def deterministic(subject: DistillerSubject) -> None:
    results = []
    for _ in range(2):
        rig = subject.rig()
        steps = []
        for _ in range(2):
            terms = rig.step()
            backward(terms)
            steps.append({name: term.detach() for name, term in terms.items()})
        results.append((steps, {name: grad.clone() for name, grad in rig.gradients().items()}))
    (first, first_gradients), (second, second_gradients) = results
    for number, (one, other) in enumerate(zip(first, second, strict=True), 1):
        require_equal(other, one, f"the second time, in step {number}")
    require_equal(second_gradients, first_gradients, "the second time, the gradients")
    states = []
    for seed in (1, 2):
        rig = subject.rig()
        rig.seed = seed
        rig.step()
        states.append(rig.random_state)
    if torch.equal(*states):
        raise Violation(
            "forward seeds torch's global generator: after a step it is the same, whatever it was before"
        )


def _require_near(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], relative: float, when: str, otherwise: str
) -> None:
    largest = max(term.abs().item() for term in wanted.values())
    for name, term in found.items():
        value, exact = term.item(), wanted[name].item()
        if abs(value - exact) > relative * max(abs(exact), 0.01 * largest) + 1e-4:
            raise Violation(f"the term {name!r} is {value:.6g} {when}, {exact:.6g} {otherwise}")
