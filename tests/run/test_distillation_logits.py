"""A run that trains both classifiers of a distilled transformer."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import load_file

import kdcore

PLUGIN = """
    from kdcore import DistillerEntry, hookimpl
    @hookimpl
    def kd_distillers():
        return [DistillerEntry(name="second", kind="logit", summary="S.", target="kd_second_code:Second",
                               options="kdcore:DistillerOptions")]
"""
CODE = """
    from torch import nn
    from kdcore import Requires
    class Second(nn.Module):
        "Pulls the second classifier's logits towards the teacher's."
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(distillation_logits=True)
        def forward(self, student, teacher, batch, progress):
            return {"second": (student.distillation_logits - teacher.logits).square().mean()}
"""
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
DEIT = {
    "model": "deit_tiny_distilled_patch16_224",
    "options": {"embed_dim": 12, "depth": 2, "num_heads": 2, "patch_size": 4},
}


@pytest.fixture
def second(install):
    install("kd-second", PLUGIN, kd_second_code=CODE)


def test_a_resumed_run_ends_the_same_and_timm_loads_the_mean_of_both(spec_file, second):
    changes = {"student": DEIT, "teacher": TEACHER, "distiller": "second", "train": {"ema": 0.9}}
    whole = kdcore.run(spec_file("whole", **changes), quiet=True)
    parts = spec_file("parts", **changes)
    kdcore.run(parts, quiet=True, until=1)
    resumed = kdcore.run(parts, quiet=True)
    folders = [result.directory / "student" for result in (whole, resumed)]
    weights = [load_file(folder / "model.safetensors") for folder in folders]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    model = timm.create_model(f"local-dir:{folders[0]}", pretrained=True).eval()
    images = torch.randn(2, 3, 16, 16)
    tokens = model.forward_features(images)
    with torch.no_grad():
        mean = (model.head(tokens[:, 0]) + model.head_dist(tokens[:, 1])) / 2
        opened = kdcore.open_run(whole.directory).student.model
        assert torch.equal(model(images), mean)
        assert torch.equal(opened(images), mean)


def test_a_student_with_one_classifier_is_refused_before_training(spec_file, second):
    spec = spec_file(teacher=TEACHER, distiller="second")
    with pytest.raises(
        kdcore.UserError, match="reads the logits of a second classifier, and resnet10t has none"
    ):
        kdcore.validate(spec)
