"""The whole step compiled: the numbers of a step that is not, and a word about what cannot be compiled."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from kdcore import Distillation, ModelOutput, Progress, Requires, UserError
from kdcore.compat import MOST_COMPILED
from kdcore.distill import compiled_step

K, PER_EPOCH = 3, 3


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, K)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))


class Broken(Net):
    def forward(self, images: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return super().forward(images)


class Method(nn.Module):
    """A distiller whose only term is the student's logits times a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.requires = Requires(teacher_logits=True)

    def factor(self, progress: Progress) -> Any:
        raise NotImplementedError

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Any, progress: Progress
    ) -> dict[str, Tensor]:
        difference = student.logits - teacher.logits
        return {"term": difference.square().mean() * self.factor(progress)}


class Smooth(Method):
    def factor(self, progress: Progress) -> Any:
        return min((math.floor(progress.epoch) + 1) / 2, 1.0) * progress.step / progress.total_steps


class InPython(Method):
    def factor(self, progress: Progress) -> Any:
        if progress.epoch < 1:
            return 0.5
        return progress.epoch


class Breaks(Method):
    def factor(self, progress: Progress) -> Any:
        torch._dynamo.graph_break()
        return progress.epoch


class Uncompilable(Method):
    def factor(self, progress: Progress) -> Any:
        with torch.set_grad_enabled(progress.step >= 0):
            return 1.0


class Remembers(Method):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(2))


class OfEachStep(Method):
    def factor(self, progress: Progress) -> Any:
        return {step: 1 / (step + 1) for step in range(100)}[progress.step]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(compiled_step, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def trained(
    distiller: Any,
    *,
    compiled: bool,
    epochs: int = 2,
    teacher: type[Net] = Net,
    apart: tuple[str, ...] = (),
    **options: Any,
) -> tuple[dict[str, Tensor], list[str]]:
    torch.manual_seed(0)
    nets = Net(4), teacher(6)
    whole = Distillation(
        *nets,
        copy.deepcopy(distiller),
        num_classes=K,
        image_size=8,
        train_size=12,
        task_weight=1.0,
        **options,
    )
    warned: list[str] = []
    if compiled:
        whole.compile_step(warned.append, apart=apart)
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.1)
    for step in range(epochs * PER_EPOCH):
        torch.manual_seed(step)
        images, target, index = torch.randn(4, 3, 8, 8), torch.randint(K, (4,)), torch.randperm(12)[:4]
        progress = Progress(step / PER_EPOCH, step, epochs * PER_EPOCH, epochs)
        out = whole(images, target, index=index, progress=progress)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return whole.state_dict(), warned


def assert_same(distiller: Any, **changes: Any) -> list[str]:
    """Compiled or not, the state after the steps is the same; returns what was said."""
    plain, _ = trained(distiller, compiled=False, **changes)
    counters.clear()
    state, warned = trained(distiller, compiled=True, **changes)
    for name, value in plain.items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5, msg=name)
    return warned


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.mark.parametrize(
    "distillers",
    [
        [{"name": "dkd", "warmup_epochs": 2, "schedule": {"warmup_epochs": 2, "decay": "cosine"}}],
        [{"name": "dist"}, {"name": "ft", "paraphraser_epochs": 1, "stages": [["conv", "conv"]]}],
        Smooth(),
    ],
    ids=["logits", "relations and features", "progress"],
)
def test_one_graph_gives_the_same_results(distillers):
    assert assert_same(distillers) == []
    assert graphs() == (2 if "ft" in str(distillers) else 1)  # ft compares the epoch


def test_a_comparison_in_python_compiles_a_second_graph():
    assert assert_same(InPython(), epochs=3) == []
    assert graphs() == 2


def test_a_break_of_the_graph_is_told_once():
    (told,) = assert_same(Breaks())
    assert told.startswith("train.compile 'step': the graph breaks at ")
    assert "test_compiled_step.py:" in told
    assert graphs() <= 8


def test_a_step_that_would_be_compiled_each_time_is_told_once(capfd):
    (told,) = assert_same(OfEachStep(), epochs=4)
    assert "torch compiled" in told
    assert "runs as without compiling" in told
    assert graphs() <= MOST_COMPILED
    assert "torch._dynamo hit config" not in capfd.readouterr().err


def test_what_torch_cannot_compile_runs_as_usual():
    (told,) = assert_same(Uncompilable())
    assert "torch cannot compile a part of the step" in told


@pytest.mark.parametrize(("distiller", "tensor"), [(Remembers(), "'last'"), ("pskd", "'previous'")])
def test_a_memory_is_refused(distiller, tensor):
    with pytest.raises(UserError, match=f"train.compile: distiller '.*' keeps the tensor {tensor}"):
        trained(distiller, compiled=True)


def test_a_teacher_may_stay_outside():
    (told,) = assert_same("kd", teacher=Broken)
    assert "the graph breaks at " in told
    assert assert_same("kd", teacher=Broken, apart=("teacher",)) == []
    assert graphs() == 1


def test_only_the_loss_has_a_gradient():
    whole = Distillation(Net(4), Net(6), "kd", num_classes=K, image_size=8)
    whole.compile_step()
    images, target = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    with pytest.raises(ValueError, match="progress is missing: a compiled step needs it"):
        whole(images, target)
    with pytest.raises(ValueError, match=r"target\[1\] is 3; allowed: class indices from 0 to 2"):
        whole(images, torch.tensor([0, 3, 2, 0]), progress=Progress(0.0, 0, 1, 1))
    out = whole(images, target, progress=Progress(0.0, 0, 1, 1))
    assert out.loss.requires_grad
    assert not any(
        one.requires_grad for one in (out.task_loss, out.logits, out.teacher_logits, *out.terms.values())
    )


def with_torchs_own_compiler() -> None:
    compiled_step.BACKEND = "inductor"
    assert assert_same("kd", epochs=1) == []
    assert graphs() == 1


def test_torchs_own_compiler():
    """In a process of its own: torch's compiler imports setuptools, which fails where distutils was imported before."""
    code = f"import runpy; runpy.run_path({__file__!r})['{with_torchs_own_compiler.__name__}']()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
