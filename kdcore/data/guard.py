"""Scripts that start loader processes, which import the script again where they are not forked."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from typing import NoReturn

from kdcore.errors import Problem, UserError


def require_guarded_script() -> None:
    """Check that the script that runs may start loader processes.

    By spawn and forkserver (the default on macOS, on Windows and since Python 3.14) each process imports the script
    again. Without a guard it would start the same run again.

    Raises:
        UserError: it has no `if __name__ == "__main__":`.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        _refuse("this script")  # it was imported again, and came here
    if multiprocessing.get_start_method() == "fork":
        return
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is not None and _without_guard(Path(script)):
        _refuse(script)


def _without_guard(script: Path) -> bool:
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False  # it is no text of Python's: a zip file, a frozen program
    return not any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(tree))


def _refuse(script: str) -> NoReturn:
    method = multiprocessing.get_start_method()
    raise UserError(
        Problem(
            script,
            "what it does is not below 'if __name__ == \"__main__\":', so that each loader process, "
            f"started by {method}, would do it again",
            hint="put the call of kdcore below that line, or set data.workers to 0",
        )
    )
