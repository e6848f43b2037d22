"""Runs whose distiller has a head that belongs to the student."""

from __future__ import annotations

import copy
import json

import pytest
import timm
import torch
from safetensors.torch import load_file

import kdcore
from kdcore import Distillation
from kdcore.distill.with_heads import with_heads
from kdcore.inspect import open_run_student

PLUGIN = """
    from kdcore import DistillerEntry, hookimpl
    @hookimpl
    def kd_distillers():
        return [DistillerEntry(name=name, kind="feature", summary="S.", target=f"kd_joined_code:{cls}",
                               options="kd_joined_options:JoinedOptions")
                for name, cls in (("joined", "Joined"), ("scalar", "Scalar"), ("nothing", "Nothing"))]
"""
OPTIONS = """
    from pydantic import Field
    from kdcore import DistillerOptions
    class JoinedOptions(DistillerOptions):
        width: int = Field(8, description="Channels in the head.")
"""
CODE = """
    from torch import nn
    from torch.nn import functional as F
    from kdcore import Requires
    class Student(nn.Module):
        def __init__(self, model, extract, head, tail):
            super().__init__()
            self.model, self.head, self.tail = model, head, tail
            self.extract = extract
        def forward(self, images):
            return self.tail(self.head(self.extract(self.model, images, (4,)).features[4].map)).logits
    class Joined(nn.Module):
        "The student's last map, through a head, should be the teacher's; the teacher's classifier judges it."
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(student_stages=(4,), teacher_stages=(4,), teacher_logits=False)
            student, teacher = setup.student.stage(4), setup.teacher.stage(4)
            width = options.width
            self.head = nn.Sequential(
                nn.Conv2d(student.channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, teacher.channels, 1),
            )
            self.kept = (setup.student.extract, setup.teacher.tail(4))
        def forward(self, student, teacher, batch, progress):
            return {"map": F.mse_loss(self.head(student.features[4].map), teacher.features[4].map)}
        def student(self, model):
            extract, tail = self.kept
            return Student(model, extract, self.head, tail)
    class Scalar(Joined):
        def student(self, model):
            joined = super().student(model)
            joined.forward = lambda images: images.mean()
            return joined
    class Nothing(Joined):
        def student(self, model):
            return None
"""
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 24]}}
SPEC = {"teacher": TEACHER, "distiller": {"name": "joined", "width": 12}, "task": {"weight": 0.0}}


@pytest.fixture
def joined(install):
    install("kd-joined", PLUGIN, kd_joined_code=CODE, kd_joined_options=OPTIONS)
    import kd_joined_code

    return kd_joined_code


def weights(result, folder="student"):
    return load_file(result.directory / folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def top1(result, which):
    found, _ = kdcore.open_run(result.directory, student=which).predict()
    return pytest.approx((found.logits.argmax(1) == found.target).double().mean().item() * 100)


def test_the_head_is_evaluated_averaged_saved_resumed_and_opened(spec_file, joined):
    changes = {**SPEC, "train": {"ema": 0.8}}
    whole = kdcore.run(spec_file("whole", **changes), quiet=True)
    parts = spec_file("parts", **changes)
    paused = kdcore.run(parts, quiet=True, until=1)
    assert paused.metrics[-1]["eval"]["top1"] == top1(paused, "last") == top1(paused, "best")
    assert paused.metrics[-1]["ema"]["top1"] == top1(paused, "ema")
    resumed = kdcore.run(parts, quiet=True)
    for folder in ("student", "student-ema"):
        assert same(weights(whole, folder), weights(resumed, folder))
    assert whole.metrics[-1]["eval"] == resumed.metrics[-1]["eval"]
    assert whole.metrics[-1]["eval"]["top1"] == top1(whole, "last")
    assert whole.metrics[-1]["ema"]["top1"] == top1(whole, "ema")
    assert whole.summary["student"]["best_top1"] == top1(whole, "best")
    student, averaged = weights(whole), weights(whole, "student-ema")
    assert {name.split(".")[0] for name in student} == {"model", "head", "tail"}
    assert averaged.keys() == student.keys()
    assert not torch.equal(averaged["head.0.weight"], student["head.0.weight"])
    assert torch.equal(averaged["tail.layers.fc.weight"], student["tail.layers.fc.weight"]), "it is frozen"

    folder = whole.directory / "student"
    config = json.loads((folder / "config.json").read_text())
    assert config["kdcore"]["model"] == "student-with-heads"
    assert config["kdcore"]["includes"].startswith("the head of distiller kd-joined/joined")
    assert config["kdcore"]["options"]["distiller"]["width"] == 12
    own = kdcore.load_student(folder).model
    assert same(dict(own.state_dict()), student)
    assert whole.summary["student"]["parameters"] == sum(value.numel() for value in own.parameters())
    recipe = pytest.importorskip("kd_export.recipe").recipe_of(open_run_student(whole.directory))
    assert recipe.needs == ("kdcore", "kd-joined")
    made: dict = {}
    exec("\n".join([*recipe.imports, *recipe.lines]), made)  # what load.py of an export does
    made["model"].load_state_dict(student)
    with pytest.raises(RuntimeError, match="needs_kdcore"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


def test_such_a_student_teaches_and_is_trained_on(spec_file, joined):
    spec_file("below", **SPEC, train={"epochs": 1})
    above = spec_file("above", teacher={"run": "below.json"}, distiller="kd", train={"epochs": 1})
    result = kdcore.run(above, quiet=True)
    below = result.directory.parent / "below"
    summary = json.loads((below / "summary.json").read_text())
    assert result.summary["teacher"]["top1"] == pytest.approx(summary["student"]["top1"])
    assert kdcore.open_run(result.directory).teacher.model is not None
    spec = json.loads(spec_file("on", distiller="vanilla", train={"epochs": 1}).read_text())
    spec |= {"student": {"model": "student-with-heads", "checkpoint": str(below)}, "name": "on"}
    on = kdcore.run({**spec, "output": str(below.parent)}, quiet=True)
    before, after = load_file(below / "student" / "model.safetensors"), weights(on)
    assert before.keys() == after.keys()
    fixed = [name for name in after if name.startswith("tail")]
    assert all(torch.equal(before[name], after[name]) for name in fixed)
    assert not torch.equal(before["head.0.weight"], after["head.0.weight"])


def test_it_cannot_be_made_from_its_name_alone():
    with pytest.raises(kdcore.UserError, match=r"(?s)options\.student: .*as the checkpoint of this model"):
        with_heads(num_classes=3, in_chans=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distiller": "scalar"}, r"its method 'student' returned gives \(\), not logits \[B, K\]"),
        ({"distiller": "nothing"}, "its method 'student' returned NoneType, not an nn.Module"),
        (
            {"distiller": ["joined", "scalar"]},
            "distillers 'joined', 'scalar' each have a head|'joined' and 'scalar' each have a head",
        ),
        ({"train": {"fsdp": "student"}}, "outside of the sharded model"),
    ],
    ids=str,
)
def test_what_cannot_be_shipped_is_refused_before_training(spec_file, joined, changes, message):
    with pytest.raises(kdcore.KdError, match=message):
        kdcore.validate(spec_file(**{**SPEC, **changes}))


def test_in_an_own_loop(joined):
    torch.manual_seed(0)
    student, teacher = (
        timm.create_model("resnet10t", channels=c, num_classes=5) for c in ((4, 4, 8, 8), (8,) * 4)
    )
    distillation = Distillation(student, teacher, "joined", num_classes=5, image_size=32, task_weight=0.0)
    shipped = distillation.shipped
    assert shipped is distillation.shipped
    assert shipped.model is student
    names = {name for name, _ in distillation.named_parameters()}
    assert {name.split(".")[0] for name in names} == {"student", "distillers"}
    distillation(torch.randn(4, 3, 32, 32)).loss.backward()
    assert shipped.head[0].weight.grad.any()
    averaged = distillation.shipped_copy(copy.deepcopy(student))
    shipped.eval(), averaged.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(averaged(images), shipped(images))
    assert averaged.head[0].weight is not shipped.head[0].weight
    distillation.train()
    assert not shipped.tail.training
    plain = Distillation(student, None, "vanilla", num_classes=5, image_size=32, task_weight=1.0)
    assert plain.shipped is student
