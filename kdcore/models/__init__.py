"""Student and teacher: building them, loading weights into them, and handing the student on."""

from __future__ import annotations

from kdcore.models.build import BuiltModel, build_model
from kdcore.models.student import LoadedStudent, load_student, save_student
from kdcore.models.student_config import StudentConfig, load_config

__all__ = [
    "BuiltModel",
    "LoadedStudent",
    "StudentConfig",
    "build_model",
    "load_config",
    "load_student",
    "save_student",
]
