"""The files of a draft: written only if they are valid, never over existing files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kd_init.draft import draft
from kd_init.write import as_dict, written
from kdcore import Problem, UserError, validate
from kdcore.inspect import SPEC_SUFFIXES, load_spec
from kdcore.plugin import kind_of, write_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kd_init.interview import Interview


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was written.

    Attributes:
        files: the spec, and behind it that of its teacher if there is one.
        spec: the content of the first file; `kdcore.run` takes it, or the file.
        warnings: what may be wrong.
    """

    files: tuple[Path, ...]
    spec: dict[str, Any]
    warnings: tuple[str, ...]


def write_specs(
    file: Path, interview: Interview, epochs: int | None, *, models: bool, check: Callable[[], None]
) -> InitResult:
    """Ask for a spec, write it and the teacher's, and check them as `kd validate` does, with or without the models.

    If timm or another library would download the data, the models are not built. `check` is called after the last
    question, and before anything is written.

    Raises:
        UserError: a file already exists, or what would be written is wrong; then nothing is written.
    """
    suffix = file.suffix.lower()
    if suffix not in SPEC_SUFFIXES:
        message = "the suffix of a spec's file must say its format"
        raise UserError(Problem("FILE", message, str(file), ", ".join(SPEC_SUFFIXES)))
    if kind_of(file.parent) != "folder":
        raise UserError(Problem("FILE", f"the folder {file.parent} does not exist", str(file)))
    teacher_file = file.with_name(f"{file.stem}-teacher{suffix}")
    _refuse_to_overwrite(file)
    wish = interview.wish(epochs)
    check()
    made = draft(wish, teacher_file=teacher_file.name)
    files = {file: made.spec} if made.teacher is None else {teacher_file: made.teacher, file: made.spec}
    for path in files:
        _refuse_to_overwrite(path)
    try:
        for path, lines in files.items():
            write_text(path, written(lines, suffix))
        loaded = load_spec(file)
        warnings = validate(loaded).warnings if models and "root" not in as_dict(made.spec)["data"] else ()
    except BaseException:
        for path in files:
            path.unlink(missing_ok=True)
        raise
    return InitResult(tuple(reversed(files)), as_dict(made.spec), warnings)


def _refuse_to_overwrite(path: Path) -> None:
    if kind_of(path) is not None:
        raise UserError(Problem("FILE", f"{path} already exists", hint="give another name, or delete it"))
