"""Every contender does the same work: after some steps the students are the same, whoever trained them."""

from __future__ import annotations

import pytest
import torch

from benchmarks.steps import bare, cases, kd, peers
from benchmarks.steps.workload import Workload

TINY = Workload("tiny", "test_resnet", "test_resnet", 32, 4, batches=2)


@pytest.fixture
def students(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """The models that are built by a contender, in order."""
    built: list[torch.nn.Module] = []
    model = Workload.model

    def kept(self: Workload, name: str) -> torch.nn.Module:
        built.append(model(self, name))
        return built[-1]

    monkeypatch.setattr(Workload, "model", kept)
    return built


def state_after(step, student, steps=3):
    for _ in range(steps):
        step()
    return {name: value.clone() for name, value in student.state_dict().items()}


def test_contenders_train_alike(students):

    loops = {"bare": bare.bare_loop, "timm": peers.timm_task, "torchdistill": peers.torchdistill_box}
    states = {}
    for name, make in loops.items():
        students.clear()
        step = make(TINY)
        if step is None:
            continue
        (student,) = [one for one in students if next(one.parameters()).requires_grad]
        states[name] = state_after(step, student)
    run = kd.KdRun.begin(TINY, teacher={"model": "test_resnet", "fold": False})
    torch.manual_seed(1)
    teacher = TINY.teacher_passes()
    run.training.distillation.teacher.load_state_dict(teacher.state_dict())
    run.training.student.load_state_dict(TINY.model("test_resnet").state_dict())
    states["kd"] = state_after(run.step(), run.training.student)
    run.folder.cleanup()
    bare_state = states.pop("bare")
    for name, state in states.items():
        for place, value in state.items():
            assert torch.allclose(value.float(), bare_state[place].float(), rtol=1e-3, atol=1e-4), (
                name,
                place,
            )


def test_cached_steps_do_not_ask_the_teacher(students):
    run = kd.KdRun.begin(TINY, teacher_cache=cases.CACHE)
    run.fill_cache()
    asked = []
    run.training.distillation.teacher.register_forward_hook(lambda *_: asked.append(1))
    step = run.step()
    for _ in range(2 * TINY.batches):
        step()
    run.folder.cleanup()
    assert not asked


def test_every_workload_has_a_case():
    names = list(cases.cases())
    assert [name for name in names if name.startswith("resnet34")][:2] == [
        "resnet34 -> resnet18, 64 px",
        "resnet34 -> resnet18, 224 px",
    ]
    assert {"options", "own"} <= set(names)
