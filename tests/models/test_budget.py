import pytest
import torch
from torch import nn

from kdcore.errors import UserError
from kdcore.models import budget
from kdcore.models.budget import bounded
from kdcore.models.build import build_model
from kdcore.plugins import get_plugins
from kdcore.spec.models import ModelSpec


def build(model, device="meta", **options):
    spec = ModelSpec(model=model, options=options)
    return build_model(
        spec, num_classes=10, in_chans=3, image_size=32, plugins=get_plugins(), where="student", device=device
    )


@pytest.mark.parametrize(("model", "options", "words"), [
    ("resnet18", {"layers": [10_000, 10_000, 10_000, 10_000]}, "more than 20,000 modules"),
    ("densenet121", {"block_config": [99_999]}, "more than 20,000 modules"),
    ("resnet18", {"channels": [90_000] * 4}, "GB"),
    ("vit_tiny_patch16_224", {"embed_dim": 49_152, "depth": 96, "num_heads": 96}, "GB"),
    ("vit_tiny_patch16_224", {"mlp_ratio": 1e9}, "GB"),
])  # fmt: skip
def test_models_that_no_machine_holds(model, options, words):
    with pytest.raises(UserError, match=words) as caught:
        build(model, **options)
    (problem,) = caught.value.problems
    assert problem.where == "student.options"
    assert problem.value == options
    assert problem.hint


@pytest.mark.parametrize(("option", "value"), [
    ("depth", 10**9), ("depth", -(10**9)), ("embed_dim", 100_001), ("reg_tokens", [3, 10**12]), ("a", {"b": [[10**6]]}),
])  # fmt: skip
def test_numbers_that_no_model_has(option, value):
    with pytest.raises(UserError, match="no model has") as caught:
        build("vit_tiny_patch16_224", **{option: value})
    (problem,) = caught.value.problems
    assert (problem.where, problem.value) == (f"student.options.{option}", value)


def test_what_is_built_on_the_cpu_is_bounded_too(monkeypatch):
    monkeypatch.setattr(budget, "MOST_MODULES", 20)
    with pytest.raises(UserError, match="more than 20 modules") as caught:
        build("test_resnet", device="cpu")
    assert caught.value.problems[0].where == "student.model"


def test_nothing_is_counted_afterwards(monkeypatch):
    monkeypatch.setattr(budget, "MOST_MODULES", 2)
    with bounded("a", {}, "student"):
        nn.Sequential(nn.ReLU())
    with pytest.raises(UserError), bounded("a", {}, "student"):
        nn.Sequential(*[nn.ReLU()] * 3)
    assert len(nn.Sequential(*[nn.ReLU()] * 3)) == 3
    monkeypatch.setattr(budget, "LEAST_MEMORY", 0)
    monkeypatch.setattr("os.sysconf", lambda name: 2**10)  # pages of 1024 bytes, 1024 of them
    with (
        pytest.raises(UserError, match=r"the limit is 1\.05 MB"),
        bounded("a", {}, "student"),
        torch.device("meta"),
    ):
        nn.Linear(1024, 1024)
