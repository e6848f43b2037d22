"""Gradient checkpointing: the same weights from activations that are computed twice."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.models.resnet import BasicBlock

from kdcore import UserError, run
from kdcore.distill.recompute import checkpoint_blocks, unchanged


def test_the_same_weights_and_statistics(spec_file, monkeypatch):
    calls: list[bool] = []
    forward = BasicBlock.forward

    def counted(self, x):
        if self.training:
            calls.append(True)
        return forward(self, x)

    monkeypatch.setattr(BasicBlock, "forward", counted)
    changes = {
        "student": {"small_input": True, "options": {"channels": [8, 8, 16, 16], "drop_path_rate": 0.3}},
        "teacher": {
            "model": "vit_tiny_patch16_224",
            "options": {"embed_dim": 16, "num_heads": 2, "depth": 4},
        },
        "distiller": ["fitnet", "ofa"],
        "task": {"weight": 1.0},
    }
    plain = run(spec_file("plain", **changes), quiet=True)
    once = len(calls)
    again = run(spec_file("again", **changes, train={"grad_checkpointing": True}), quiet=True)
    assert len(calls) == 3 * once  # `once` more in each forward pass, `once` in each backward pass
    weights = [load_file(each.directory / "student" / "model.safetensors") for each in (plain, again)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert [each["terms"] for each in plain.metrics] == [each["terms"] for each in again.metrics]


def test_buffers_stay_as_they_were_around_a_backward_pass():
    buffer, count = torch.ones(2), torch.tensor(3)
    with unchanged([buffer, count]):
        buffer.add_(5)
        count.add_(1)
    assert buffer.tolist() == [1, 1]
    assert count.item() == 3


def test_a_model_without_it_is_refused(spec_file):
    with torch.device("meta"):
        model = timm.create_model("cspresnet50")
    with pytest.raises(UserError, match=r"(?s)student cspresnet50 \(CspNet\).*train.accumulate"):
        checkpoint_blocks(model, "cspresnet50")
    with pytest.raises(UserError, match="no gradient checkpointing"):
        checkpoint_blocks(torch.nn.Linear(2, 2), "linear")
    with pytest.raises(UserError, match=r"train\.grad_checkpointing"):
        run(
            spec_file(
                "bad", student={"model": "cspresnet50", "options": {}}, train={"grad_checkpointing": True}
            )
        )
