"""What a student can be exported to, and how each of these is written."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, RunFailed, UserError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.commands.export.recipe import BuildRecipe
    from kdcore.commands.export.students import RunStudent

Writer = Callable[["RunStudent", "Path", "dict[str, Any]", "BuildRecipe"], "Written"]
_EXTRA: Final = 'pip install "kdcore[export]"'


@dataclass(frozen=True)
class Written:
    """A model that was written, and what `load.py` needs for it.

    Attributes:
        needs: distributions, in addition to NumPy and Pillow.
        imports: import lines, sorted into the script's own.
        body: the lines of `load(folder)`.
        warnings: one line each for the user.
    """

    needs: tuple[str, ...]
    imports: tuple[str, ...]
    body: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A format.

    Attributes:
        name: what `--to` says.
        title: ends the sentence 'the student, ...'.
        writer: `module:function`, which writes the model into a folder.
        requires: modules that have to be there, of the extra 'export'.
    """

    name: str
    title: str
    writer: str
    requires: tuple[str, ...] = ()

    def write(self, student: RunStudent, folder: Path, about: dict[str, Any], recipe: BuildRecipe) -> Written:
        """Write the model into a folder.

        Raises:
            UserError: the format cannot hold this student.
            RunFailed: the exporter failed.
        """
        module, _, function = self.writer.partition(":")
        writer: Writer = getattr(import_module(f"kdcore.commands.export.{module}"), function)
        return writer(student, folder, about, recipe)


TARGETS: Final = {
    target.name: target
    for target in (
        Target("timm", "as a folder for timm", "weights:write_timm"),
        Target("torch", "as weights and the lines that build it", "weights:write_torch"),
        Target("onnx", "in ONNX", "onnx:write_onnx", ("onnx", "onnxscript", "onnxruntime")),
        Target("pt2", "as a program of torch.export", "programs:write_pt2"),
        Target("torchscript", "in TorchScript", "programs:write_torchscript"),
    )
}
INT8: Final = ("onnx",)
"""The targets that `--int8` is for."""


def find_target(name: str, int8: bool) -> Target:
    """The target of this name.

    Raises:
        UserError: there is none, it cannot be quantised, or a library that it needs is missing.
    """
    target = TARGETS.get(name)
    allowed = ", ".join(TARGETS)
    if target is None:
        message = "there is no such target"
        raise UserError(Problem("--to", message, name, allowed=allowed, nearest=nearest(name, TARGETS)))
    if int8 and name not in INT8:
        message = f"{name} is exported with its weights as they are"
        hint = "onnxruntime quantises; torch's own way needs a backend chosen for one kind of processor"
        raise UserError(Problem("--int8", message, allowed=f"--to {' or '.join(INT8)}", hint=hint))
    missing = [module for module in target.requires if find_spec(module) is None]
    if missing:
        message = (
            f"{name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} missing"
        )
        raise UserError(Problem("--to", message, hint=_EXTRA))
    return target


@contextlib.contextmanager
def quietly(target: str) -> Iterator[None]:
    """Silence warnings and logs of exporters, and raise RunFailed with one sentence if they fail.

    Raises:
        RunFailed: the exporter failed.
    """
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        except (UserError, RunFailed, OSError):
            raise
        except Exception as error:
            raise RunFailed(f"this student cannot be exported to {target}: {_cause(error)}") from error
        finally:
            logging.disable(disabled)


def _cause(error: BaseException) -> str:
    """The error that began it, in a line: exporters wrap it into advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
