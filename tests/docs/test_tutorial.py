"""docs/tutorial.md from top to bottom: its commands, and what another program does with the student.

The commands are the page's; the specs that the first one writes are made small, and one other method is compared
over one seed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from kdcore.cli import main

PAGE = "docs/tutorial.md"
SMALL = "image_size = 16\ntrain_samples = 60\neval_samples = 40\nworkers = 0"
FEWER = {"kd,dkd": "kd", "2": "1"}  # of distillers and seeds


def make_small(spec):
    text = spec.read_text("utf-8")
    text = re.sub(r"^image_size = .*$", SMALL, text, flags=re.MULTILINE)
    text = re.sub(r"^(epochs) = \d+", r"\1 = 1", text, flags=re.MULTILINE)
    text = re.sub(r"^(model = .*)$", r"\1\noptions = {channels = [8, 8, 16, 16]}", text, flags=re.MULTILINE)
    spec.write_text(text, "utf-8")


def test_the_tutorial(blocks_of, tmp_path, monkeypatch, capsys):
    for module in ("sklearn", "matplotlib", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason=f"the tutorial needs {module}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
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
        with pytest.raises(SystemExit) as ended:  # as `kd` ends; in this process, which has imported torch
            main(words)
        out, err = capsys.readouterr()
        assert not ended.value.code, f"{words}:\n{out}\n{err}"
        if words[0] == "init":
            for name in ("digits.toml", "digits-teacher.toml"):
                make_small(tmp_path / name)
    assert "onnx" in out
    assert (tmp_path / "runs" / "digits" / "report.html").is_file()
    (code,) = [block.text for block in blocks_of(PAGE) if block.language == "python"]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert "(1, 10)" in done.stdout, done.stderr
