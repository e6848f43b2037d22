"""Scripts that start loader processes: if the processes are not forked, each imports the script again."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from typing import NoReturn

from kdcore.errors import Problem, UserError


def require_guarded_script() -> None:
    """Check that the running script may start loader processes.

    With spawn and forkserver (the default on macOS, on Windows and since Python 3.14), each process imports the script
    again. Without a guard, the import would start the same run again.


    Raises:
        UserError: the script does not have `if __name__ == "__main__":`.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        _refuse("this script")  # it was imported again and called this function
    if multiprocessing.get_start_method() == "fork":
        return
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is not None and _without_guard(Path(script)):
        _refuse(script)


def _without_guard(script: Path) -> bool:
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False  # it is not Python source: a zip file, a frozen program
    return not any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(tree))


def _refuse(script: str) -> NoReturn:
    method = multiprocessing.get_start_method()
    raise UserError(
        Problem(
            script,
            "the call is not below 'if __name__ == \"__main__\":', so each loader process, "
            f"started by {method}, would repeat it",
            hint="move the call of kdcore below that line, or set data.workers to 0",
        )
    )
