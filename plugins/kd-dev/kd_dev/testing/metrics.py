"""The checks of metrics."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any, Final

import torch

from kd_dev.testing.check import Violation, rule
from kd_dev.testing.declared_subject import DeclaredSubject
from kdcore import MetricEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.check import Rule

MetricSubject = DeclaredSubject[MetricEntry]
Data = tuple[torch.Tensor, torch.Tensor]

SAMPLES: Final = 60
CLASSES: Final = 5
_SEED: Final = 31


def _data(subject: MetricSubject, samples: int = SAMPLES) -> Iterator[tuple[str, Data]]:
    """Predictions of a model that is right more often than not, for each task of the metric."""
    generator = torch.Generator().manual_seed(_SEED)
    logits = torch.randn(samples, CLASSES, generator=generator)
    for task in subject.entry.tasks:
        if task == "classes":
            target = torch.arange(samples) % CLASSES
            logits = logits + 2.0 * torch.nn.functional.one_hot(target, CLASSES)
            yield task, (logits.softmax(dim=1), target)
        else:
            labels = (torch.rand(samples, CLASSES, generator=generator) < 0.4).float()
            labels[:, 0] = torch.arange(samples) % 2  # each label is there, and is not there
            yield task, ((logits + 2.0 * labels).sigmoid(), labels)


def _value(subject: MetricSubject, data: Data) -> Any:
    """As kd calls it: with copies, without gradients, on the CPU."""
    probabilities, targets = data
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return subject.target(probabilities.clone(), targets.clone())


def _number(subject: MetricSubject, data: Data, when: str) -> float:
    value = _value(subject, data)
    if not isinstance(value, numbers.Real | torch.Tensor):
        raise Violation(f"{when} it returned {type(value).__name__}, not a number")
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise Violation(f"{when} it returned a tensor of shape {list(value.shape)}, not a number")
    return float(value)


@rule(
    "metric",
    summary="The declared target can be loaded, and called with `(probabilities, targets)`.",
    why="Until a run is evaluated, kd knows only the declaration.",
    fix="Correct `target` in the `MetricEntry`, or the signature of the function.",
)
def declaration(subject: MetricSubject) -> None:
    if subject.faults:
        raise Violation("; ".join(subject.faults))


@rule(
    "metric",
    summary="It returns a finite number for predictions of a usual model, for each of its tasks.",
    why="Its value stands in `metrics.jsonl` and the summary; a value that is NaN or infinite becomes null.",
    fix="Return a Python number, as `float(tensor)` or `tensor.item()`, and avoid the logarithm of 0 and "
    "divisions by 0.",
)
def finite(subject: MetricSubject) -> None:
    for task, data in _data(subject):
        value = _number(subject, data, f"for the task '{task}'")
        if not math.isfinite(value):
            raise Violation(f"for {SAMPLES} usual predictions of the task '{task}' it returned {value}")


@rule(
    "metric",
    summary="It works with a single sample.",
    why="An evaluation may have one image, or one image with a label.",
    fix="Return a value for N = 1; nan if the metric is not defined for it.",
)
def one_sample(subject: MetricSubject) -> None:
    for task, (probabilities, targets) in _data(subject):
        _number(subject, (probabilities[:1], targets[:1]), f"for one sample of the task '{task}'")


@rule(
    "metric",
    summary="The order of the samples does not change its value.",
    why="kd evaluates in batches, and several processes share them: the order is not a property of the model.",
    fix="Sum or sort over the samples, and use no neighbours.",
)
def order(subject: MetricSubject) -> None:
    for task, (probabilities, targets) in _data(subject):
        value = _number(subject, (probabilities, targets), f"for the task '{task}'")
        turned = torch.randperm(len(targets), generator=torch.Generator().manual_seed(_SEED))
        other = _number(subject, (probabilities[turned], targets[turned]), "in another order")
        if math.isfinite(value) and not math.isclose(value, other, rel_tol=1e-4, abs_tol=1e-6):
            raise Violation(f"for the task '{task}' it is {value:.6g}, and {other:.6g} in another order")


@rule(
    "metric",
    summary="It does not change its arguments.",
    why="A function that changes its arguments gives wrong values to callers that use them again, in tests and "
    "notebooks.",
    fix="Use operations without a trailing underscore, or copy first.",
)
def arguments_unchanged(subject: MetricSubject) -> None:
    for task, (probabilities, targets) in _data(subject):
        given = probabilities.clone(), targets.clone()
        with torch.no_grad():
            subject.target(*given)
        for name, before, after in zip(
            ("probabilities", "targets"), (probabilities, targets), given, strict=True
        ):
            if not torch.equal(before, after):
                raise Violation(f"for the task '{task}' it changed its argument {name}")


@rule(
    "metric",
    summary="Called again with the same values, it returns the same number.",
    why="An evaluation that is repeated has the same result, and a resumed run ends like one that was not stopped.",
    fix="Keep no state between calls, and draw random numbers from a generator with a fixed seed.",
)
def deterministic(subject: MetricSubject) -> None:
    for task, data in _data(subject):
        first, again = (_number(subject, data, f"for the task '{task}'") for _ in range(2))
        if first != again and not (math.isnan(first) and math.isnan(again)):
            raise Violation(f"for the task '{task}' it returned {first:.6g}, and then {again:.6g}")


RULES: Final[tuple[Rule[MetricSubject], ...]] = (
    declaration,
    finite,
    one_sample,
    order,
    arguments_unchanged,
    deterministic,
)
