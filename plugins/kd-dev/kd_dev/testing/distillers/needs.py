"""The check of what a distiller says that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import nn

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.models import setup_of
from kd_dev.testing.rig import SetupRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.rig import Seen
    from kd_dev.testing.subject import DistillerSubject
    from kdcore import ModelInfo, ModelOutput, Requires, Setup

_UNSEEN: Final = frozenset({"second-pass", "layers"})  # what a check would have to guess
_TOKENS: Final = frozenset({"tokens", "attention", "distilled-student"})
_ATTENTION: Final = "attention:"


@rule(
    "distiller",
    summary="Its `needs` are what it uses: what `requires` has, the logits and classifiers that it reads, and whether "
    "it works without transformers.",
    why="`kd list-distillers --without labels` has to list what works without labels. Someone chooses a method by that "
    "before any model is built.",
    fix="Write into `DistillerEntry(needs=...)` what the message says. It describes the default options.",
)
def needs(subject: DistillerSubject) -> None:
    if subject.provided is None:
        skip("a class was given, which has no declaration")
    declared = subject.provided.entry.needs
    if declared is None:
        skip("its declaration has no `needs`")
    rig = subject.rig() if subject.has_terms else None
    distiller = subject.build(setup_of(subject.home))
    found = set(_required(cast("Any", distiller).requires))
    if callable(getattr(distiller, "prepare", None)):
        found.add("prepare-pass")
    if rig is not None:
        found |= _read(subject)
    if subject.provided.entry.kind == "baseline":
        found.add("labels")  # of the task loss, which is all it has
    said = set(declared) - _UNSEEN
    if _refuses_convolutions(subject):
        # which of the three is the reason, the declaration says
        found |= _TOKENS & said or {"tokens"}
    if found != said:
        right = sorted(found | (set(declared) & _UNSEEN))
        raise Violation(f"needs is {sorted(declared)}; what it uses is {right}")


def _required(requires: Requires) -> Iterator[str]:
    """What the engine is asked for."""
    teacher_stages: Any = requires.teacher_stages
    if isinstance(teacher_stages, Mapping):
        teacher_stages = [stage for stages in teacher_stages.values() for stage in stages]
    stages = (*requires.student_stages, *teacher_stages)
    attention = [isinstance(stage, str) and stage.startswith(_ATTENTION) for stage in stages]
    uses = {
        "teacher": requires.teacher,
        "several-teachers": getattr(requires, "several_teachers", False),
        "learning-teacher": getattr(requires, "teacher_learns", False),
        "labels": requires.target,
        "features": not all(attention),
        "attention": any(attention),
        "embeddings": requires.student_embedding or requires.teacher_embedding,
        "distilled-student": requires.distillation_logits,
        "views": requires.views != 1,
        "partners": bool(getattr(requires, "partner", None)),
        "sample-index": requires.sample_index,
        "whole-batch": requires.whole_batch,
    }
    yield from (need for need, used in uses.items() if used)


def _read(subject: DistillerSubject) -> set[str]:
    """`logits` if other logits give other terms, and `classifier` if it reads one."""
    found = set()
    usual = {name: term.detach() for name, term in subject.rig().step().items()}
    rig = subject.rig()
    rig.hand_over(_with_other_logits)
    if any(not torch.equal(term, usual[name]) for name, term in rig.step().items()):
        found.add("logits")
    read: set[str] = set()
    rig = subject.rig()
    setup = setup_of(subject.home)
    rig.distillation.distillers = nn.ModuleList([subject.build(_watched(setup, read))])
    rig.step()
    if "classifier" in read:
        found.add("classifier")
    return found


def _with_other_logits(seen: Seen) -> Seen:
    taught: Any = seen.teacher
    if isinstance(taught, Mapping):
        taught = {name: _other(output) for name, output in taught.items()}
    elif taught is not None:
        taught = _other(taught)
    return replace(seen, student=_other(seen.student), teacher=taught)


def _other(output: ModelOutput) -> ModelOutput:
    logits = output.logits
    if logits is not None:
        # in another order, and changed: the terms of most methods are the same for any order
        ramp = torch.linspace(0, 1, logits.numel(), device=logits.device, dtype=logits.dtype).square()
        logits = logits.flip(0, 1) + ramp.reshape(logits.shape)
    return replace(output, logits=logits, views=tuple(_other(view) for view in output.views))


def _refuses_convolutions(subject: DistillerSubject) -> bool:
    home = subject.home
    if home.student == "conv" and home.teacher in ("conv", None):
        return False
    try:
        subject.build(setup_of(replace(home, student="conv", teacher="conv")))
    except SetupRefused:
        return True
    return False


class _Watched:
    """A model's information that notes which of its modules are read."""

    def __init__(self, info: ModelInfo, read: set[str]) -> None:
        self._info = info
        self._read = read

    def __getattr__(self, name: str) -> Any:
        self._read.add(name)
        return getattr(self._info, name)


def _watched(setup: Setup, read: set[str]) -> Setup:
    def of(info: ModelInfo | None) -> Any:
        return None if info is None else _Watched(info, read)

    return replace(setup, student=of(setup.student), teacher=of(setup.teacher))
