"""A run whose distiller compares the student with its own moving average."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

import kdcore

PLUGIN = """
    from kdcore import DistillerEntry, hookimpl
    @hookimpl
    def kd_distillers():
        return [DistillerEntry(name="momentum", kind="self", summary="S.", target="kd_momentum_code:Momentum",
                               options="kdcore:DistillerOptions")]
"""
CODE = """
    from torch import nn
    from kdcore import Requires
    class Momentum(nn.Module):
        "Pulls the logits towards those of the average."
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(teacher=False, student_momentum=0.5)
        def forward(self, student, teacher, batch, progress):
            mean = student.student_pass(batch.images, ema=True)
            return {"mse": 5.0 * (student.logits - mean.logits).square().mean()}
"""


def test_a_resumed_run_ends_the_same(spec_file, install):
    install("kd-momentum", PLUGIN, kd_momentum_code=CODE)
    whole = kdcore.run(spec_file("whole", distiller="momentum"), quiet=True)
    parts = spec_file("parts", distiller="momentum")
    kdcore.run(parts, quiet=True, until=1)
    resumed = kdcore.run(parts, quiet=True)
    first, second = (load_file(one.directory / "student" / "model.safetensors") for one in (whole, resumed))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert whole.metrics[-1]["terms"]["mse"] > 0
    assert not any(name.startswith("average") for name in first)
