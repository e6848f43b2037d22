"""The warning about 16-bit floats on a CPU that has no arithmetic for them."""

from __future__ import annotations

import pytest
import torch

from kdcore.run.prepare_checks import slow_precision
from kdcore.spec.models import RunSpec

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """Plays a machine: its architecture, and the instructions that torch finds."""

    def play(architecture, capability):
        monkeypatch.setattr("platform.machine", lambda: architecture)
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)

    return play


def spec(student="fp32", teacher=None):
    return RunSpec.model_validate(
        {
            "name": "run",
            "data": {"dataset": "folder"},
            "teacher": {"model": "resnet18", **({"precision": teacher} if teacher else {})},
            "student": {"model": "resnet10t"},
            "distiller": "kd",
            "train": {"precision": student},
        }
    )


@pytest.mark.parametrize("value", ["bf16", "fp16"])
@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_an_old_cpu_is_named(machine, value, capability):
    machine("x86_64", capability)
    (line,) = slow_precision(spec(value), CPU)
    assert (
        line == f"train.precision: {value} is many times slower than fp32 on this CPU, which has no AVX-512"
    )


def test_the_teacher_has_its_own_place(machine):
    machine("AMD64", "AVX2")
    lines = slow_precision(spec("fp32", "bf16"), CPU)
    assert [line.split(":")[0] for line in lines] == ["teacher.precision"]


@pytest.mark.parametrize(
    ("architecture", "capability", "device", "value"),
    [
        ("x86_64", "AVX512", "cpu", "bf16"),
        ("aarch64", "DEFAULT", "cpu", "bf16"),
        ("x86_64", "AVX2", "cuda", "bf16"),
        ("x86_64", "AVX2", "meta", "bf16"),
        ("x86_64", "AVX2", "cpu", "fp32"),
    ],
)
def test_no_warning_elsewhere(machine, architecture, capability, device, value):
    machine(architecture, capability)
    assert slow_precision(spec(value), torch.device(device)) == ()
