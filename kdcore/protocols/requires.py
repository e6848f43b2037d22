"""What a distiller asks the engine for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from kdcore.protocols.stage import Stage, checked_stages
from kdcore.task_kinds import NO_LABELS, TASKS


@dataclass(frozen=True, slots=True)
class Requires:
    """What the engine gives a distiller in addition to the logits.

    Attributes:
        teacher: it reads the teacher; False for methods without a teacher.
        student_stages: stages of the student whose feature maps it reads.
        teacher_stages: stages of the teacher whose feature maps it reads; with `several_teachers` also a mapping from a
            teacher's name to its stages.
        student_embedding: it reads the student's embedding.
        teacher_embedding: it reads the teacher's embedding.
        sample_index: it needs each sample's position in the training set (a memory bank).
        whole_batch: it relates samples to each other, so in a run of several processes it gets all of them.
        views: the number of augmented views of each sample that it gets; or a recipe for each: `"weak"` (the run's own
            augmentation), `"strong"`, or changes of `data.augment` such as `{"hflip": 0.0}`.
        partner: `"class"`: it reads the student's output for another sample of the same class, `student.partner`.
        target: it reads the ground truth, so images without labels are refused.
        unlabelled: what it gets if only some samples have a label, and it reads the target or partners. `"skipped"`:
            the labelled samples of each batch (also in `prepare`), so it must give means over samples, and work with
            one; it is not called for a batch without any. `"given"`: all samples, and `Batch.labelled`; the target is
            -1 where it is not known, with several labels an image for each label by itself. None: such training sets
            are refused. What reads neither always gets all samples.
        teacher_logits: it reads the teacher's logits. If no distiller of a run reads them or the embedding, the teacher
            stops at the deepest stage that is read, and its logits are None.
        distillation_logits: it reads the logits of the student's second classifier; a student without one is refused.
        teacher_learns: it needs a teacher that learns, and gets its outputs with a gradient.
        several_teachers: it reads all teachers of the run: its `forward` gets a dict of their outputs by name.
        student_pass: it calls `student.student_pass` for another pass of the student.
        student_momentum: decay of a moving average of the student, for `student.student_pass(images, ema=True)`.
        idle_parameters: some steps leave out some of its trained parameters, which then get no gradient and do not
            change. Without it, a run of several processes fails in the step after such a step.
        tasks: those that it works with, of `kdcore.plugin.TASKS`; None: all, unless it reads logits, the target or
            partners, which are those of one class an image. With `none` works what is for `classes` and needs neither
            target nor partners nor a teacher that learns; it need not be listed. It is not combined with other
            requirements.
        student_logits: it reads the student's logits, so a student without a classifier is refused; None: yes, unless
            it reads a teacher without its logits.
    """

    teacher: bool = True
    student_stages: tuple[Stage, ...] = ()
    teacher_stages: tuple[Stage, ...] | Mapping[str, tuple[Stage, ...]] = ()
    student_embedding: bool = False
    teacher_embedding: bool = False
    sample_index: bool = False
    whole_batch: bool = False
    views: int | tuple[str | Mapping[str, Any], ...] = 1
    partner: Literal["class"] | None = None
    target: bool = False
    teacher_logits: bool = True
    distillation_logits: bool = False
    several_teachers: bool = False
    student_pass: bool = False
    student_momentum: float | None = None
    idle_parameters: bool = False
    student_logits: bool | None = None
    teacher_learns: bool = False
    unlabelled: Literal["skipped", "given"] | None = None
    tasks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "student_stages", checked_stages("student_stages", self.student_stages))
        given = self.teacher_stages
        if isinstance(given, Mapping):
            if not self.several_teachers:
                raise ValueError("teacher_stages by teacher needs several_teachers=True")
            stages: Any = {name: checked_stages("teacher_stages", its) for name, its in given.items()}
        else:
            stages = checked_stages("teacher_stages", given)
        object.__setattr__(self, "teacher_stages", stages)
        if not isinstance(self.views, int):
            object.__setattr__(self, "views", tuple(self.views))
        _check_views(self.views)
        if self.student_momentum is not None:
            if not 0 <= self.student_momentum < 1:
                raise ValueError(f"student_momentum is {self.student_momentum}; it must be from 0 to below 1")
            object.__setattr__(self, "student_pass", True)
        if self.unlabelled not in (None, "skipped", "given"):
            raise ValueError(f"unlabelled is {self.unlabelled!r}; it must be 'skipped', 'given' or None")
        if self.tasks is not None:
            object.__setattr__(self, "tasks", tuple(self.tasks))
            wrong = [task for task in self.tasks if task not in TASKS]
            if wrong or not self.tasks:
                raise ValueError(f"tasks is {self.tasks!r}; it must name some of {', '.join(TASKS)}")
        if self.partner not in (None, "class"):
            raise ValueError(f"partner is {self.partner!r}; it must be 'class' or None")
        if not self.teacher and (self.teacher_stages or self.teacher_embedding):
            raise ValueError("teacher is False, but teacher features are requested")

    @property
    def num_views(self) -> int:
        """The number of views, whichever way they are given."""
        return self.views if isinstance(self.views, int) else len(self.views)

    @property
    def reads_labels(self) -> bool:
        """Whether what it reads depends on the labels: the target, or partners of a sample's class."""
        return self.target or self.partner is not None

    @property
    def skips_unlabelled(self) -> bool:
        """Whether it gets only the labelled samples of a batch, if some have no label."""
        return self.reads_labels and self.unlabelled == "skipped"

    @property
    def reads_student_logits(self) -> bool:
        """Whether it reads the student's logits: `student_logits`, or what None stands for."""
        if self.student_logits is None:
            return self.teacher_logits or not self.teacher
        return self.student_logits

    def works_with(self, task: str) -> bool:
        """Whether the distiller is for this task: `tasks`, or what None stands for."""
        if task == NO_LABELS:
            listed = self.tasks is None or not {"classes", NO_LABELS}.isdisjoint(self.tasks)
            return listed and not self.reads_labels and not self.teacher_learns
        if self.tasks is not None:
            return task in self.tasks
        reads_logits = (self.teacher and self.teacher_logits) or self.reads_student_logits
        return task == "classes" or not (reads_logits or self.distillation_logits or self.reads_labels)

    def of_member(self, name: str | None) -> Requires:
        """The same, with the stages of one teacher; None: without those that are given by teacher."""
        if not isinstance(self.teacher_stages, Mapping):
            return self
        return replace(self, teacher_stages=() if name is None else self.teacher_stages.get(name, ()))

    def union(self, other: Requires) -> Requires:
        """The requirements of both together; stages by teacher are chosen first, see `of_member`.

        Raises:
            ValueError: the stages of one of them are given by teacher, or they ask for views by different recipes.
        """
        mine, theirs = self.teacher_stages, other.teacher_stages
        if isinstance(mine, Mapping) or isinstance(theirs, Mapping):
            raise ValueError("teacher_stages are given by teacher: call of_member first")
        return Requires(
            teacher=self.teacher or other.teacher,
            student_stages=tuple(dict.fromkeys(self.student_stages + other.student_stages)),
            teacher_stages=tuple(dict.fromkeys(mine + theirs)),
            student_embedding=self.student_embedding or other.student_embedding,
            teacher_embedding=self.teacher_embedding or other.teacher_embedding,
            sample_index=self.sample_index or other.sample_index,
            whole_batch=self.whole_batch or other.whole_batch,
            views=_views_of_both(self.views, other.views),
            partner=self.partner or other.partner,
            student_pass=self.student_pass or other.student_pass,
            student_momentum=_momentum_of_both(self.student_momentum, other.student_momentum),
            idle_parameters=self.idle_parameters or other.idle_parameters,
            target=self.target or other.target,
            teacher_logits=(self.teacher and self.teacher_logits) or (other.teacher and other.teacher_logits),
            distillation_logits=self.distillation_logits or other.distillation_logits,
            several_teachers=self.several_teachers or other.several_teachers,
            student_logits=self.reads_student_logits or other.reads_student_logits,
            teacher_learns=self.teacher_learns or other.teacher_learns,
        )


Views = int | tuple[str | Mapping[str, Any], ...]
RECIPES: tuple[str, ...] = ("weak", "strong")
"""Names of recipes in `Requires.views`."""


def _check_views(views: Views) -> None:
    if isinstance(views, int):
        if views < 1:
            raise ValueError(f"views is {views}; it must be 1 or more")
        return
    if len(views) < 2:
        raise ValueError(f"views is {views}; recipes are for two or more views")
    for view in views:
        if not isinstance(view, Mapping) and view not in RECIPES:
            raise ValueError(
                f"views has {view!r}; a recipe is 'weak', 'strong' or a dict of changes of data.augment"
            )


def _momentum_of_both(one: float | None, other: float | None) -> float | None:
    if one is not None and other is not None and one != other:
        raise ValueError(f"the averages of the student with the decays {one} and {other} cannot both be kept")
    return other if one is None else one


def _views_of_both(one: Views, other: Views) -> Views:
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    if isinstance(one, int) or isinstance(other, int):
        recipes, number = (other, one) if isinstance(one, int) else (one, other)
        if not isinstance(recipes, int) and isinstance(number, int) and number <= len(recipes):
            return recipes
    elif one == other:
        return one
    raise ValueError(f"the views {one} and the views {other} cannot both be given")
