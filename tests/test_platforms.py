"""kd on systems without POSIX modules and without fork, as Windows is: these modules cannot be imported here."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest
from PIL import Image

import kdcore
from kdcore import UserError
from kdcore.inspect import DataSpec, open_split
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_spec
from kdcore.spec.names import resolve_model
from kdcore.text import dataset_name, path_end

ROOT = Path(kdcore.__file__).parents[1]
POSIX = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline")
CALLS = ("O_DIRECTORY", "pread", "pwrite", "sched_getaffinity", "sysconf")
# read by Python when it starts, also by the loader processes; psutil's own module for Linux needs `resource`
SITE = f"""
import multiprocessing
import os
import signal
import sys

import psutil

sys.modules |= dict.fromkeys({POSIX})
for module, names in {{os: {CALLS}, signal: ("SIGHUP", "alarm", "pthread_sigmask")}}.items():
    for name in names:
        delattr(module, name)
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


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_without_reading_at_a_position(kind, tmp_path, monkeypatch):
    for label in ("cat", "dog"):
        (tmp_path / "images" / "train" / label).mkdir(parents=True)
        colour = (200, 0, 0) if label == "cat" else (0, 200, 0)
        Image.new("RGB", (4, 4), colour).save(tmp_path / "images" / "train" / label / "1.png")
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "images")
    monkeypatch.delattr(os, "pread")
    source = open_split(DataSpec(dataset=archive), "train", plugins=get_plugins(), where="data.train_split")
    found = [(image.getpixel((0, 0)), source.classes[label]) for image, label in (source[0], source[1])]
    assert found == [((200, 0, 0), "cat"), ((0, 200, 0), "dog")]


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


# -- calls that Windows does not have ----------------------------------------------------------------------------

POSIX_CALLS = {
    "os": [
        *("fork", "forkpty", "getgid", "getpgid", "getuid", "kill", "killpg", "lchown", "mkfifo", "nice"),
        *("O_DIRECTORY", "pread", "preadv", "pwrite", "pwritev", "sched_getaffinity", "sched_setaffinity"),
        *("setpgid", "setsid", "statvfs", "sysconf", "uname", "WNOHANG"),
    ],
    "signal": [
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIG_BLOCK", "alarm", "pthread_sigmask"),
        "setitimer",
    ],
    "socket": ["AF_UNIX", "SOCK_SEQPACKET", "socketpair"],
}
ON_LINUX = {
    "fork_client.py",
    "fork_server.py",
    "slurm_task.py",
}  # `can_fork` asks for Linux; Slurm runs there
ASKED = {  # the system is asked, or an error is expected, where each is used
    "files.py": {"O_DIRECTORY"},
    "positions.py": {"pread", "pwrite"},
    "signals.py": {"SIGHUP"},
    "loader.py": {"sched_getaffinity", "pthread_sigmask", "SIG_BLOCK", "alarm", "SIGALRM", "SIGHUP"},
    "local.py": {"sched_getaffinity"},
    "budget.py": {"sysconf"},
    "reasons.py": {"SIGKILL"},
    "worker.py": {"kill"},
}


def posix_calls(source: str) -> set[str]:
    """The names of modules of Python that only POSIX systems have."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in POSIX_CALLS.get(node.value.id, ())
    }


def sources(*words):
    """The text of the files that have one of these words: to parse all of them takes seconds."""
    files = [*ROOT.glob("kdcore/**/*.py"), *ROOT.glob("plugins/*/kd_*/**/*.py")]
    texts = {file: file.read_text("utf-8") for file in files}
    return {file: text for file, text in texts.items() if any(word in text for word in words)}


def test_calls_of_posix_are_known():
    assert posix_calls("import os\nos.pread(1, 2, 3)\nos.path.join('a')\nself.fork()") == {"pread"}
    texts = sources(*(name for names in POSIX_CALLS.values() for name in names if name != "nice"))
    assert {"positions.py", "loader.py"} <= {file.name for file in texts}
    found = {file: posix_calls(text) for file, text in texts.items() if file.name not in ON_LINUX}
    unknown = {str(file): calls - ASKED.get(file.name, set()) for file, calls in found.items()}
    assert not {file: calls for file, calls in unknown.items() if calls}


# -- paths with backslashes --------------------------------------------------------------------------------------


def texts_of_paths(source: str) -> list[int]:
    """The lines where a relative path becomes text with the system's own separators."""
    tree = ast.parse(source)
    portable: set[ast.AST] = set()
    found = []
    for node in ast.walk(tree):  # the outer calls come first
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("as_posix", "replace"):
                portable |= set(ast.walk(node.func.value))
            if node.func.attr == "relpath" and node not in portable:
                found.append(node.lineno)
        text = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str"
        if text or isinstance(node, ast.FormattedValue):
            inner = node.args[0] if text and node.args else getattr(node, "value", None)
            if (
                isinstance(inner, ast.Call)
                and isinstance(inner.func, ast.Attribute)
                and inner.func.attr == "relative_to"
            ):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("os.path.relpath(a, b)", [1]),
        ("Path(os.path.relpath(a, b)).as_posix()", []),
        ("os.path.relpath(a, b).replace(os.sep, '/')", []),
        ("x = 1\nstr(a.relative_to(b))", [2]),
        ("f'{a.relative_to(b)}'", [1]),
        ("a.relative_to(b).as_posix()", []),
    ],
)
def test_texts_of_paths_are_found(source, lines):
    assert texts_of_paths(source) == lines


def test_names_in_outputs_have_slashes():
    """Keys of JSON, names of files in tables and labels of runs are the same on every system."""
    but = {"tiny_run.py"}  # compares the files of two runs on one machine
    texts = sources("relpath(", "relative_to(")
    found = {str(file): texts_of_paths(text) for file, text in texts.items() if file.name not in but}
    assert len(found) > 5
    assert not {file: lines for file, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("dataset", "end", "name"),
    [
        ("data\\cifar10", "cifar10", "data\\cifar10"),
        ("C:\\data\\cifar10", "cifar10", "cifar10"),
        ("C:/data/cifar10/", "cifar10", "cifar10"),
        ("\\\\server\\share\\birds.tar", "birds.tar", "birds.tar"),
        ("torch/cifar10", "cifar10", "torch/cifar10"),
        ("/data/cifar10", "cifar10", "cifar10"),
        ("digits", "digits", "digits"),
    ],
)
def test_the_name_of_a_dataset_on_another_system(dataset, end, name):
    """A run of Windows is reported on Linux too: a page or a model card has no path of that machine."""
    assert (path_end(dataset), dataset_name(dataset)) == (end, name)
    if "\\" in dataset:
        assert PureWindowsPath(dataset).name == end


@pytest.mark.skipif(os.sep != "/", reason="on Windows a backslash separates")
@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"data": {"dataset": "data\\birds"}}, "data.dataset"),
        ({"student": {"model": "resnet18", "checkpoint": "runs\\old"}}, "student.checkpoint"),
        ({"teacher": {"model": "resnet18", "checkpoint": "C:\\runs\\best.pth"}}, "teacher.checkpoint"),
        ({"teacher": {"run": "..\\teacher.json"}}, "teacher.run"),
    ],
)
def test_a_spec_of_windows_on_another_system(changes, where, tmp_path):
    """The message says what to write; the place in the spec has dots, on every system."""
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"student": {"model": "resnet18"}, "distiller": "kd", **changes}))
    with pytest.raises(UserError) as caught:
        load_spec(file)
    (problem,) = [one for one in caught.value.problems if one.where == where]
    written = next(text for text in json.loads(json.dumps(changes)).popitem()[1].values() if "\\" in text)
    assert problem.value == written
    assert problem.nearest == PureWindowsPath(written).as_posix()
    assert "write '/', which works on every system" in problem.hint


def test_a_model_is_not_a_path_of_windows(tmp_path):
    with pytest.raises(UserError, match="this is a path; a model is given by its name"):
        resolve_model("weights\\resnet18.pth", "student.model", get_plugins())


def test_slashes_are_right_on_windows_too():
    """What the messages ask for means the same there."""
    for text in ("data/cifar10", "../teacher.json", "C:/runs/best.pth"):
        assert PureWindowsPath(text) == PureWindowsPath(text.replace("/", "\\"))
