"""Checks that a model gives the same results through the adapter as without it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import adapter_faults, model_faults
from kd_dev.testing.rig import logits_in, require_equal, state_of, tensors_of
from kdcore import UserError
from kdcore.inspect import Extractor, find_adapter
from kdcore.plugin import cause, get_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from kd_dev.testing.adapters.subject import AdapterSubject
    from kdcore import ModelOutput

_SEED = 5
_MORE_WORK = 1.05  # the embedding may be computed separately from the logits


@rule(
    "adapter",
    summary="The declaration names an adapter class, and model classes that exist; the adapter of the model is "
    "this one.",
    why="kd finds a model's adapter by these names. With a wrong name, no model is supported, and nothing reports "
    "so.",
    fix="Correct `target` and `models` in the `AdapterEntry`: `models` contains `module:Class`, with "
    "`type(model).__module__` and `__qualname__`.",
)
def declaration(subject: AdapterSubject) -> None:
    if subject.provided is None:
        skip("a class was given, which has no declaration")
    entry = subject.provided.entry
    faults = [fault for named in entry.models for fault in model_faults(named)]
    try:
        faults += adapter_faults(subject.factory, entry.target)
        if not faults and entry.models:
            model = subject.any_model()
            own = [f"{cls.__module__}:{cls.__qualname__}" for cls in type(model).__mro__]
            found = find_adapter(model, None, get_plugins(), "model")
            if type(found) is not subject.factory or not set(own) & set(entry.models):
                faults.append(
                    f"the adapter of {own[0]} is {type(found).__name__}; models contains {', '.join(entry.models)}"
                )
    except UserError as error:
        faults.append(str(error))
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "adapter",
    summary="`stages` and `forward` give StageInfo and ModelOutput for the model.",
    why="All other checks use these values.",
    fix="The message says which error was raised. An adapter without stages or without an embedding for a model "
    "raises UserError if they are requested.",
)
def serves(subject: AdapterSubject) -> None:
    if isinstance(subject.plain, Exception):
        raise Violation(cause(subject.plain)) from subject.plain


@rule(
    "adapter",
    summary="The logits are bit-equal to `model(images)`, in evaluation and in training mode, whatever else is "
    "requested.",
    why="The student is evaluated without the adapter. In training mode, dropout and batch norm must run "
    "once, as in the model's own pass.",
    fix="Call what the model's `forward` calls, in the same order, including dropout.",
)
def logits_equal_model(subject: AdapterSubject) -> None:
    asked = [((), False), (subject.numbers, subject.embeds), (subject.numbers[-1:], False)]
    for training in (False, True):
        when = f"in {'training' if training else 'evaluation'} mode"
        wanted, state = _after(subject.model().train(training), lambda model: model(subject.images()))
        for stages, embedding in asked:
            forward = partial(
                subject.adapter().forward, images=subject.images(), stages=stages, embedding=embedding
            )
            output, after = _after(subject.model().train(training), forward)
            found = logits_in(output)
            what = f"{when}, with stages {list(stages)}{' and the embedding' if embedding else ''}"
            if found.shape != wanted.shape or not torch.equal(found, wanted):
                apart = (
                    "" if found.shape != wanted.shape else f" by {(found - wanted).abs().max().item():.3g}"
                )
                raise Violation(f"{what}, the logits {list(found.shape)} differ from model(images){apart}")
            require_equal(after, state, f"{what}, the model's state afterwards")


@rule(
    "adapter",
    summary="Everything together needs no more arithmetic than `model(images)`.",
    why="Each step of a run requests it. A second pass doubles the time, and updates the statistics of batch "
    "norm twice.",
    fix="Take the features during the pass that computes the logits.",
)
def one_pass(subject: AdapterSubject) -> None:

    def work(call: Callable[[nn.Module], Any]) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            call(subject.model())
        return int(counter.get_total_flops())

    alone = work(lambda model: model(subject.images()))
    together = work(lambda model: subject.ask(model, subject.images()))
    if together > _MORE_WORK * alone:
        raise Violation(f"it needs {together:,} floating-point operations, model(images) {alone:,}")


@rule(
    "adapter",
    summary="Under bfloat16 autocast the logits are bit-equal to `model(images)`.",
    why='`"precision": "bf16"` runs student and teacher under autocast.',
    fix="Do not change number formats.",
)
def autocast(subject: AdapterSubject) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted = subject.model()(subject.images())
        found = logits_in(subject.ask(subject.model(), subject.images()))
    if found.shape != wanted.shape:
        raise Violation(f"the logits are {list(found.shape)} instead of {list(wanted.shape)}")
    if found.dtype != wanted.dtype or not torch.equal(found, wanted):
        apart = (found.float() - wanted.float()).abs().max().item()
        raise Violation(f"the logits are {found.dtype} instead of {wanted.dtype} and differ by {apart:.3g}")


@rule(
    "adapter",
    summary="`torch.compile` makes one graph of it if it makes one of the model, and the values stay the "
    "same.",
    why='`"compile": true` in a spec compiles student and teacher with their adapters. Each break of the '
    "graph costs time in each step.",
    fix="Set no hooks in `forward`, read no values of tensors, and make choices that depend on the model in "
    "`prepare(model)`, which kd calls first.",
)
def compile(subject: AdapterSubject) -> None:
    model, images = subject.model(), subject.images()
    wanted = subject.ask(subject.model(), images)
    torch._dynamo.reset()
    try:
        with torch.no_grad():
            extract = Extractor(model, subject.adapter(), subject.numbers, subject.embeds)
            try:
                found: ModelOutput = torch.compile(extract, backend="eager", fullgraph=True)(images)
            except Exception as error:
                _skip_if_the_bare_model_breaks(model, images)
                raise Violation(
                    f"the model compiles as one graph, but not with the adapter: {cause(error)}"
                ) from error
    finally:
        torch._dynamo.reset()
    require_equal(tensors_of(found), tensors_of(wanted), "compiled")


def _skip_if_the_bare_model_breaks(model: nn.Module, images: Tensor) -> None:
    """Skip the check if it is not the adapter's fault. Compiling takes seconds, so only a failure asks for this."""
    try:
        torch.compile(model, backend="eager", fullgraph=True)(images)
    except Exception as error:
        skip(f"the bare model breaks: {cause(error)}")


def _after(model: nn.Module, call: Callable[[nn.Module], Any]) -> tuple[Any, dict[str, Tensor]]:
    """The result of a call with a fixed seed, and the model's state afterwards."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        found = call(model)
    return found, state_of(model)
