"""Compare the class names of teacher and student with those of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.errors import Problem, UserError
from kdcore.models.class_names import check_class_names, difference, pretrained_names
from kdcore.models.class_rows import TeacherClasses, class_rows

if TYPE_CHECKING:
    from kdcore.distill.models import RunModels
    from kdcore.distill.teacher_classes import DataClasses
    from kdcore.models import BuiltModel
    from kdcore.spec.loaded import LoadedSpec
    from kdcore.spec.members import Member


def check_classes(loaded: LoadedSpec, models: RunModels, classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """Compare class names if both are known; returns a warning if the student starts from other classes.

    Raises:
        UserError: a teacher's classes are not those of the data.
    """
    student = models.student.built
    for member in loaded.spec.members:
        if member.spec.classifier and member.spec.of is None:
            _check_teacher(member, models.teachers[member.name].built, classes)
    differs = difference(student.class_names, classes, "student's checkpoint")
    if differs is None or student.random_weights or len(student.class_names or ()) != len(classes or ()):
        return ()
    return (f"student.checkpoint: {differs}: the classifier starts with weights for other classes",)


def check_teacher_run(member: Member, own: DataClasses, data: DataClasses) -> None:
    """Compare the classes that a teacher's own run learns with those of the data, before that run begins.

    Raises:
        UserError: they differ, and the spec does not map them.
    """
    teacher, where = member.spec, f"{member.where}.run"
    if not teacher.classifier:
        return
    if teacher.classes is not None:
        known = TeacherClasses.of(own.count, own.names)
        class_rows(teacher.classes, known, data.names, data.count, f"{member.where}.classes")
        return
    if own.count != data.count:
        message = f"the teacher learns {own.count} classes, but the student's data has {data.count}"
        hint = "if the data's classes are some of the teacher's, name them with teacher.classes"
        raise UserError(Problem(where, message, value=teacher.run, hint=hint))
    check_class_names(own.names, data.names, where, value=teacher.run)


def _check_teacher(member: Member, teacher: BuiltModel, classes: tuple[str, ...] | None) -> None:
    source = "run" if member.spec.run is not None else "checkpoint"
    value = member.spec.run or member.spec.checkpoint
    if teacher.description is not None and value is None:
        source = teacher.description.place
    known = teacher.class_names
    if teacher.pretrained_tag is not None:
        source, value = "pretrained", None
        known = known or pretrained_names(getattr(teacher.model, "pretrained_cfg", {}), classes)
    check_class_names(known, classes, f"{member.where}.{source}", value=value)
