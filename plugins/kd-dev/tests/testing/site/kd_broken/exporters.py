"""Exporters that break one rule each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kdcore import ExportedFiles, Problem, UserError

LOAD = """
model = torch.load(folder / "model.pt", weights_only=False)
return lambda images: model(torch.from_numpy(images)).detach().numpy()"""


def good(student, folder, about):
    path = folder / "sub" / "weights.npz"
    path.parent.mkdir()
    np.savez(path, **{name: value.numpy() for name, value in student.model.state_dict().items()})
    return [path]


def with_load(student, folder, about, zero=False):
    torch.save(student.model, folder / "model.pt")
    load = f"{LOAD} * 0" if zero else LOAD
    return ExportedFiles(files=["model.pt"], load=load, imports=["import torch"], needs=["torch"])


def in_forms(student, folder, about, int8=False, fp16=False):
    returned = with_load(student, folder, about)
    assert int8 + fp16 < 2
    return replace(returned, exact=not (int8 or fp16))


def raises_in_int8(student, folder, about, int8=False):
    if int8:
        raise ValueError("no ranges")
    return good(student, folder, about)


def other_logits_in_fp16(student, folder, about, fp16=False):
    return with_load(student, folder, about, zero=fp16)


def one_argument(student):
    return []


def refuses(student, folder, about):
    raise UserError(Problem("--to", "this network is too small"))


def absent(student, folder, about):
    good(student, folder, about)
    return [folder / "absent.bin"]


def returns_text(student, folder, about):
    return str(good(student, folder, about)[0])


def elsewhere(student, folder, about):
    Path("notes.txt").write_text("notes")
    return good(student, folder, about)


def in_the_run(student, folder, about):
    (student.run.path / "export.log").write_text(f"{student.run.path}")
    return good(student, folder, about)


def changes_student(student, folder, about):
    files = good(student, folder, about)
    with torch.no_grad():
        next(student.model.parameters()).zero_()
    return files


def changes_about(student, folder, about):
    about["mine"] = 1
    return good(student, folder, about)


def loads_zeros(student, folder, about):
    return with_load(student, folder, about, zero=True)
