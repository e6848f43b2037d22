"""A distiller in use: a `Distillation` of tiny models, and its batch."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import torch

from kd_dev.testing.check import Violation, skip
from kd_dev.testing.models import SIDE, TRAIN_SIZE, Pair, train_labels
from kdcore import Batch, FeatureMap, ModelOutput, PreparesFromTeacher, Progress, UserError
from kdcore.inspect import kept_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor, nn

    from kdcore import Distillation, DistillationOutput

MIDDLE: Final = Progress(epoch=50.0, step=500, total_steps=1000, total_epochs=100)  # after any warm-up
_STEP_SEED: Final = 11


class SetupRefused(Violation):
    """A distiller refuses with the right exception; if it is not allowed to, a rule is broken."""


@contextlib.contextmanager
def may_refuse() -> Iterator[None]:
    """Skip the check if the distiller refuses."""
    try:
        yield
    except SetupRefused as refused:
        skip(f"it refuses: {refused}")


@dataclass(frozen=True)
class Seen:
    """The arguments of a distiller's call."""

    student: ModelOutput
    teacher: ModelOutput | dict[str, ModelOutput] | None  # by name, for a distiller that reads several
    batch: Batch
    progress: Progress


class Rig:
    """One instance of a distiller in its `Distillation`.

    Attributes:
        distillation: student, teacher and the distiller.
        model: the module that a step calls: the distillation, or a wrapper of it.
        seed: torch's seed before each step.
        distiller: the distiller.
        images: `[B, C, H, W]`, or `[B, V, C, H, W]` for V views.
        target: class indices `[B]`.
        index: positions in the training set `[B]`.
        partner: another image of the class for each, `[B, C, H, W]`, if the distiller requires it.
        random_state: the state of torch's generator after the last step.
    """

    def __init__(
        self,
        distillation: Distillation,
        distiller: nn.Module,
        pair: Pair,
        samples: int,
        dtype: torch.dtype,
        memory_format: torch.memory_format,
        prepared: bool = True,
    ) -> None:
        self.distillation = distillation
        self.model: Any = distillation
        self.distiller = distiller
        self.pair = pair
        self.seed = _STEP_SEED
        generator = torch.Generator().manual_seed(_STEP_SEED)
        views = distillation.requires.num_views
        shape = (samples, 3, SIDE, SIDE) if views == 1 else (samples, views, 3, SIDE, SIDE)
        images = torch.randn(shape, generator=generator).to(dtype)
        self.images = images if images.dim() == 5 else images.contiguous(memory_format=memory_format)
        self.index = torch.randperm(TRAIN_SIZE, generator=generator)[:samples]
        self.partner: Tensor | None = None
        if distillation.requires.partner is not None:
            self.partner = torch.randn(samples, 3, SIDE, SIDE, generator=generator).to(dtype)
        self.target: Tensor = train_labels(pair)[self.index]
        self.random_state = torch.empty(0)
        if prepared:
            self._prepare()

    def _prepare(self) -> None:
        """Show the distiller the teacher's outputs before the first step, if it asks for them, as a run does."""
        if not isinstance(self.distiller, PreparesFromTeacher):
            return
        target = self.target if self.pair.labelled else None
        whole = self.images if self.images.dim() == 4 else self.images[:, 0]
        with torch.no_grad():
            outputs = self.distillation.forward_teachers(self.images)
            seen = self.distillation.seen_by(self.distillation.names[0], outputs)
            self.distiller.prepare([(seen, Batch(whole, target, self.index))])

    def step(self, progress: Progress = MIDDLE, **changes: Any) -> dict[str, Tensor]:
        """The loss terms of one step, without the task loss of a teacher that learns; see `output`."""
        terms = self.output(progress, **changes).terms
        return {
            name: term for name, term in terms.items() if not (self.pair.learns and name.endswith(".task"))
        }

    def output(
        self, progress: Progress = MIDDLE, rows: slice = slice(None), **changes: Any
    ) -> DistillationOutput:
        """One step, with some rows of the batch; `changes` replace `images`, `target` or `index`.

        Raises:
            SetupRefused: it raised ValueError or UserError.
            RunFailed: it returned something other than named scalars.
            unittest.SkipTest: it keeps the graph of an earlier step: another check reports that.
        """
        self.require_no_graph()
        given: dict[str, Any] = {"images": self.images, "target": self.target, "index": self.index}
        given |= {"partner": self.partner, **changes}
        given = {name: None if value is None else value[rows] for name, value in given.items()}
        images, target = given.pop("images"), given.pop("target")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # a run seeds each step, too
            try:
                output: DistillationOutput = self.model(images, target, **given, progress=progress)
            except (UserError, ValueError) as error:
                raise SetupRefused(f"{type(error).__name__}: {error}") from error
            self.random_state = torch.get_rng_state()
        return output

    def require_no_graph(self) -> None:
        """End the check if the distiller keeps the graph of a step: another one reports that.

        Raises:
            unittest.SkipTest: in this case.
        """
        if kept_graph(self.distiller) is not None:
            skip("it keeps the graph of a step: see the check 'keeps_no_graph'")

    def hand_over(self, change: Callable[[Seen], Seen]) -> None:
        """From now on, pass the distiller's arguments through `change`."""

        def hook(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            seen = change(Seen(*arguments))
            return seen.student, seen.teacher, seen.batch, seen.progress

        self.distiller.register_forward_pre_hook(hook)

    def gradients(self) -> dict[str, Tensor]:
        """The gradients of student and distiller that exist, by parameter."""
        return {
            name: parameter.grad
            for name, parameter in self.distillation.named_parameters()
            if parameter.grad is not None
        }


def kept_tensors(value: Any) -> Iterator[Tensor | nn.Module]:
    """The tensors and modules in a value, also in lists, tuples, sets and dictionaries."""
    if isinstance(value, torch.Tensor | torch.nn.Module):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from kept_tensors(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from kept_tensors(item)


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of the loss terms."""
    return torch.stack(
        [term.to(torch.promote_types(term.dtype, torch.float32)) for term in terms.values()]
    ).sum()


def backward(terms: Mapping[str, Tensor]) -> None:
    """Compute the gradient of the terms' sum, if it has one."""
    loss = total(terms)
    if loss.requires_grad:
        with torch.random.fork_rng(devices=[]):
            loss.backward()  # type: ignore[no-untyped-call]


def state_of(module: nn.Module) -> dict[str, Any]:
    """A copy of a module's state."""
    return {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else value
        for name, value in module.state_dict().items()
    }


def require_finite(values: Mapping[str, Tensor], what: str) -> None:
    """Refuse numbers that are NaN or infinite.

    Raises:
        Violation: names the first one.
    """
    for name, value in values.items():
        if not value.isfinite().all():
            seen = "NaN" if value.isnan().any() else "infinite"
            raise Violation(f"{what} {name!r} is {seen}")


def require_finite_step(rig: Rig, terms: Mapping[str, Tensor], when: str) -> None:
    """Refuse terms, or gradients of them, that are not finite; computes the gradients.

    Raises:
        Violation: names the first one.
    """
    require_finite(terms, f"{when} the loss term")
    backward(terms)
    require_finite(rig.gradients(), f"{when} the gradient of")


def require_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Refuse values that are not bit-equal.

    Raises:
        Violation: names the missing values, or the first one that differs, with both values.
    """
    if found.keys() != wanted.keys():
        raise Violation(f"{what}: there are {sorted(found)} instead of {sorted(wanted)}")
    for name, value in found.items():
        if not torch.equal(value, wanted[name]):
            raise Violation(f"{what}: {name!r} is {described(value)} instead of {described(wanted[name])}")


def described(value: Tensor) -> str:
    """A tensor for a message: its value, or its shape and norm."""
    if value.dim() == 0:
        return f"{value.item():.9g}"
    norm = value.double().norm().item()
    return f"{list(value.shape)} of norm {norm:.9g}"


def logits_in(output: ModelOutput) -> Tensor:
    """The output's logits.

    Raises:
        Violation: it has none.
    """
    if output.logits is None:
        raise Violation("the output has no logits")
    return output.logits


def tensors_of(output: ModelOutput | Mapping[str, ModelOutput] | None, prefix: str = "") -> dict[str, Tensor]:
    """All tensors of a model's output, or of several models' by name, by their place in it."""
    if output is None:
        return {}
    if not isinstance(output, ModelOutput):
        named = [tensors_of(one, f"{prefix}{name}.") for name, one in output.items()]
        return {place: tensor for found in named for place, tensor in found.items()}
    found = {} if output.logits is None else {f"{prefix}logits": output.logits}
    for stage, feature in output.features.items():
        found[f"{prefix}features[{stage!r}].map"] = feature.map
        if feature.prefix is not None:
            found[f"{prefix}features[{stage!r}].prefix"] = feature.prefix
    if output.embedding is not None:
        found[f"{prefix}embedding"] = output.embedding
    if output.distillation_logits is not None:
        found[f"{prefix}distillation_logits"] = output.distillation_logits
    found |= tensors_of(output.partner, f"{prefix}partner.")
    for number, view in enumerate(output.views):
        found |= tensors_of(view, f"{prefix}views[{number}].")
    return found


def tensors_in(seen: Seen) -> dict[str, Tensor]:
    """All tensors in the arguments of a distiller's call, by their place."""
    found = tensors_of(seen.student, "student.") | tensors_of(seen.teacher, "teacher.")
    for name in ("images", "target", "index"):
        value = getattr(seen.batch, name)
        if value is not None:
            found[f"batch.{name}"] = value
    return found


def of_teachers(
    teacher: ModelOutput | dict[str, ModelOutput] | None, change: Callable[[ModelOutput], ModelOutput]
) -> ModelOutput | dict[str, ModelOutput] | None:
    """What a distiller gets of one teacher or of several, with `change` applied to each output."""
    if isinstance(teacher, dict):
        return {name: change(output) for name, output in teacher.items()}
    return None if teacher is None else change(teacher)


def mapped(output: ModelOutput, change: Callable[[Tensor], Tensor]) -> ModelOutput:
    """A model's output with `change` applied to each tensor."""
    return replace(
        output,
        logits=None if output.logits is None else change(output.logits),
        features={
            stage: FeatureMap(change(one.map), None if one.prefix is None else change(one.prefix))
            for stage, one in output.features.items()
        },
        embedding=None if output.embedding is None else change(output.embedding),
        views=tuple(mapped(view, change) for view in output.views),
        partner=None if output.partner is None else mapped(output.partner, change),
        distillation_logits=None
        if output.distillation_logits is None
        else change(output.distillation_logits),
    )


def names(parameters: Iterable[str], most: int = 5) -> str:
    """Names for a message, at most `most` of them."""
    listed = list(parameters)
    text = ", ".join(listed[:most])
    return text if len(listed) <= most else f"{text} and {len(listed) - most} more"
