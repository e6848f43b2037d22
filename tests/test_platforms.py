"""kd on systems without POSIX modules and without fork, as Windows is: these modules cannot be imported here."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kdcore

ROOT = Path(kdcore.__file__).parents[1]
POSIX = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline")
# read by Python when it starts, also by the loader processes; psutil's own module for Linux needs `resource`
SITE = f"""
import multiprocessing
import sys

import psutil

sys.modules |= dict.fromkeys({POSIX})
multiprocessing.set_start_method("spawn")
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Run `kd` on such a system."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "kdcore", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_a_run_with_loader_processes_that_are_spawned(elsewhere, spec_file):
    data = {"workers": 1, "train_samples": 32, "eval_split": None}
    path = spec_file(data=data, train={"epochs": 1, "batch_size": 16})
    done = elsewhere("run", path, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["status"] == "finished"
    assert summary["peak_memory_bytes"] >= 0


def posix_imports(source: str) -> set[str]:
    """The POSIX modules that a file imports when it is imported itself: not those in functions."""
    found = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found & set(POSIX)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import fcntl", {"fcntl"}),
        ("class A:\n    from resource import getrusage", {"resource"}),
        ("def f():\n    import fcntl", set()),
        ("from importlib import resources", set()),
    ],
)
def test_posix_imports_are_found(source, expected):
    assert posix_imports(source) == expected


def test_no_module_needs_them_to_be_imported():
    files = [*ROOT.glob("kdcore/**/*.py"), *ROOT.glob("plugins/*/kd_*/**/*.py")]
    assert len(files) > 400
    needing = {str(file): posix_imports(file.read_text("utf-8")) for file in files}
    assert not {file: names for file, names in needing.items() if names}
