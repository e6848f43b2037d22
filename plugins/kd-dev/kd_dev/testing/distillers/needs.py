"""The check of what a distiller says that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, cast

from torch import nn

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.models import setup_of
from kd_dev.testing.rig import SetupRefused, of_teachers
from kdcore import ModelOutput
from kdcore.plugin import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.rig import Seen
    from kd_dev.testing.subject import DistillerSubject
    from kdcore import ModelInfo, Requires, Setup

_UNSEEN: Final = frozenset({"second-pass"})  # what a check would have to guess
_READ: Final = {"logits": "logits", "classifier": "classifier", "module": "layers", "tail": "layers"}
_TOKENS: Final = frozenset({"tokens", "attention", "distilled-student"})
_ATTENTION: Final = "attention:"


@rule(
    "distiller",
    summary="Its `needs` are what it uses: what `requires` has, the logits and classifiers that it reads, and whether "
    "it works without transformers. So are its `tasks`.",
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
    entry = subject.provided.entry
    for task in TASKS:
        if task == "none" and entry.kind == "baseline":
            continue  # it has the task loss alone, so there would be no loss
        stated, works = entry.works_with(task), cast("Any", distiller).requires.works_with(task)
        if stated != works:
            answers = {True: "works", False: "does not work"}
            raise Violation(
                f"by its declaration it {answers[stated]} with the task '{task}', and by requires it {answers[works]}: "
                "say the same in DistillerEntry.tasks and Requires.tasks"
            )


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
        "every-label": requires.reads_labels and requires.unlabelled is None,
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
    """Of `logits`, `classifier` and `layers` what it reads, when it is built and in a step."""
    read: set[str] = set()
    rig = subject.rig()
    distiller = subject.build(_watched(setup_of(subject.home), read))
    rig.distillation.distillers = nn.ModuleList([distiller])
    rig.distiller = distiller
    rig.hand_over(lambda seen: _with_watched_logits(seen, read))
    rig.step()
    return {need for name, need in _READ.items() if name in read}


def _with_watched_logits(seen: Seen, read: set[str]) -> Seen:
    class Watched(ModelOutput):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    def watched(output: ModelOutput) -> ModelOutput:
        given = {field.name: getattr(output, field.name) for field in fields(output)}
        return Watched(**{**given, "views": tuple(watched(view) for view in output.views)})

    found = replace(seen, student=watched(seen.student), teacher=of_teachers(seen.teacher, watched))
    read.discard("logits")  # of making it
    return found


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
