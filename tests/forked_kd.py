"""What a process does that the fixture `fork_kd` starts: become one that `python -m kdcore` has started, and run.

It was forked from one that has imported torch and timm, and has done nothing with them.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import runpy
import signal
import sys


def become(
    arguments: list[str], environment: dict[str, str], paths: list[str], folder: str, out: str, err: str
) -> None:
    """Take over the arguments, the variables, the folder, and files for both streams."""
    for file, number in ((out, 1), (err, 2)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    faulthandler.register(signal.SIGUSR1)  # where it waits, for a test that has waited too long
    os.environ.clear()
    os.environ.update(environment)
    given = environment.get("PYTHONPATH", "")
    sys.path[:] = [*filter(None, given.split(os.pathsep)), *paths]
    importlib.invalidate_caches()
    os.chdir(folder)
    sys.argv[:] = ["kd", *arguments]
    threads = environment.get("OMP_NUM_THREADS")  # read when torch was imported
    if threads is not None and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))


become(**globals()["REQUEST"])  # given by who starts it
runpy.run_module("kdcore", run_name="__main__", alter_sys=True)
