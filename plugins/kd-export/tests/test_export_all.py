"""Several formats at once: what is written, left out and measured."""

from __future__ import annotations

import json
import re

import pytest
from kd_export import export_all
from kd_export import latency as measuring
from kd_export.export_several import _nothing, cannot_hold
from kd_export.folder import NotWritable

from kdcore import Problem, RunFailed, UserError


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", 3)


def test_formats_are_written_checked_and_timed_next_to_the_student(a_run, tmp_path):
    result = export_all(a_run(), ["torch", "torchscript"], samples=12, output=tmp_path / "out")
    assert [one.target for one in result.exports] == ["torch", "torchscript"]
    assert [one.path for one in result.exports] == [
        tmp_path / "out" / name for name in ("torch", "torchscript")
    ]
    assert all(one.check.same_top1 == 12 for one in result.exports)
    assert [one.name for one in result.latencies] == ["student", "torch", "torchscript"]
    assert result.latencies[0].of_student == 1
    assert all(one.milliseconds > 0 and one.rounds == 3 for one in result.latencies)


def test_all_leaves_out_what_is_not_installed(kd, a_run, monkeypatch):
    monkeypatch.setattr(
        "kd_export.exporters.metadata.version", lambda name: (_ for _ in ()).throw(_missing(name))
    )
    run = a_run()
    done = kd("export", run, "--to", "all", "--samples", 3, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert {one["target"] for one in told["exports"]} == {"timm", "torch", "pt2", "torchscript"}
    assert set(told["left_out"]) >= {"onnx", "onnx-int8", "openvino"}
    assert "pip install" in told["left_out"]["openvino"]
    assert "warning: openvino was left out: " in done.err
    assert told["failed"] == {}
    assert told["latencies"] == []


def _missing(name):
    from importlib.metadata import PackageNotFoundError

    return PackageNotFoundError(name)


def test_a_format_that_cannot_hold_the_student_is_named_and_the_others_are_written(kd, a_run, monkeypatch):
    import torch

    def fail(*args, **more):
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(torch.export, "export", fail)
    done = kd("export", a_run(), "--to", "pt2,torch", "--samples", 3, "--compare")
    assert done.code == 1
    assert "warning: pt2 was not written: this student cannot be exported to pt2" in done.err
    head, student, torch_row, note = done.out.splitlines()
    assert re.split(r"  +", head.strip())[:2] == ["format", "size"]
    assert student.startswith("student, in PyTorch")
    assert torch_row.startswith("torch ")
    assert "3 of 3" in torch_row
    assert note.startswith("one image at a time on the CPU, 3 rounds in turns")


def test_of_all_formats_one_that_cannot_hold_the_student_is_no_error(kd, make_run, own_model, monkeypatch):
    import torch

    monkeypatch.setattr(
        "kd_export.exporters.metadata.version", lambda name: (_ for _ in ()).throw(_missing(name))
    )
    run = make_run("own", own_model)
    done = kd("export", run, "--to", "all", "--samples", 3)
    assert done.code == 0, done.err
    assert "warning: timm was not written: --to: timm cannot build this student: own_net" in done.err
    assert not (run / "export" / "timm").exists()
    assert kd("export", run, "--to", "timm,torch", "--samples", 3, "--force").code == 2

    def fail(*args, **more):
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(torch.export, "export", fail)
    assert kd("export", run, "--to", "all", "--samples", 3, "--force").code == 1


def test_a_full_disk_is_an_error_also_with_all_formats(kd, a_run, monkeypatch):
    from kd_export import export_several

    real = export_several.write_export

    def write(student, exporter, *args, **more):
        if exporter.name == "torch":
            raise NotWritable(Problem("--output", "it cannot be written: no space"))
        return real(student, exporter, *args, **more)

    monkeypatch.setattr(export_several, "write_export", write)
    monkeypatch.setattr(
        "kd_export.exporters.metadata.version", lambda name: (_ for _ in ()).throw(_missing(name))
    )
    done = kd("export", a_run(), "--to", "all", "--samples", 0)
    assert done.code == 2
    assert "torch was not written: --output" in done.err


def test_nothing_was_written_because_the_input_is_wrong(kd, make_run, own_model):
    run = make_run("own", own_model)
    done = kd("export", run, "--to", "timm", "--compare")
    assert done.code == 2
    assert done.err.startswith("error: --to: timm cannot build this student: own_net")
    wrong = {name: UserError(Problem("--to", "no", name)) for name in ("one", "two")}
    assert str(_nothing(wrong, {})) == '--to: one: no (got "one")\n--to: two: no (got "two")'
    assert _nothing(wrong, {}).exit_code == 2
    mixed = _nothing({**wrong, "three": RunFailed("differs")}, {})
    assert mixed.exit_code == 1
    assert str(mixed).startswith("no export was written\n    one: --to: no")


def test_nothing_is_written_if_a_folder_is_taken_or_a_name_is_wrong(kd, a_run):
    run = a_run()
    export_all(run, ["torch"], samples=0, compare=False)
    with pytest.raises(UserError, match="an earlier export is here"):
        export_all(run, ["torchscript", "torch"], samples=0)
    assert not (run / "export" / "torchscript").exists()
    assert export_all(run, ["torch"], samples=0, force=True, compare=False).exports
    done = kd("export", run, "--to", "torch,onxn")
    assert done.code == 2
    assert "did you mean 'onnx'?" in done.err
    done = kd("export", run, "--to", "torch,pt2", "--int8")
    assert done.code == 2
    assert "8 bits are part of a format's name" in done.err


def test_a_wrong_option_is_no_format_that_cannot_hold_the_student():
    assert cannot_hold(UserError(Problem("--to", "timm cannot build this student")))
    assert not cannot_hold(UserError(Problem("--option.opset", "torch does not write this opset", 3)))
    assert not cannot_hold(NotWritable(Problem("--output", "no space")))
    assert not cannot_hold(RunFailed("it crashed"))
