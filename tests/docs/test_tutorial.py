"""docs/tutorial.md from top to bottom: its commands, and what another program does with the student.

The commands are the page's; the specs that the first one writes are made small, and one other method is compared
over one seed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

PAGE = "docs/tutorial.md"
SMALL = "image_size = 16\ntrain_samples = 60\neval_samples = 40\nworkers = 0"
FEWER = {"kd,dkd": "kd", "2": "1"}  # of distillers and seeds


def make_small(spec):
    text = spec.read_text("utf-8")
    text = re.sub(r"^image_size = .*$", SMALL, text, flags=re.MULTILINE)
    text = re.sub(r"^(epochs) = \d+", r"\1 = 1", text, flags=re.MULTILINE)
    text = re.sub(r"^(model = .*)$", r"\1\noptions = {channels = [8, 8, 16, 16]}", text, flags=re.MULTILINE)
    spec.write_text(text, "utf-8")


def call(folder, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_tutorial(blocks_of, tmp_path):
    for module in ("sklearn", "matplotlib", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason=f"the tutorial needs {module}")
    lines = [
        shlex.split(line.removeprefix("$ kd "))
        for block in blocks_of(PAGE)
        if block.language == "console"
        for line in block.text.splitlines()
    ]
    assert [words[0] for words in lines] == ["init", "run", "report", "compare", "export"]
    for words in lines:
        if words[0] == "compare":
            words = [FEWER.get(word, word) for word in words]
        out = call(tmp_path, "-m", "kdcore", *words)
        if words[0] == "init":
            for name in ("digits.toml", "digits-teacher.toml"):
                make_small(tmp_path / name)
    assert "onnx" in out
    assert (tmp_path / "runs" / "digits" / "report.html").is_file()
    (code,) = [block.text for block in blocks_of(PAGE) if block.language == "python"]
    assert "(1, 10)" in call(tmp_path, "-c", code)
