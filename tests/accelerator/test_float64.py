"""A device without float64, as MPS: played by the processor, where every operation is looked at.

`tests/test_every_method.py` looks at a step of every distiller in the same way.
"""

from __future__ import annotations

import pytest
import timm
import torch

from kdcore.models.fold import fold_batch_norm
from kdcore.ops import precision, widest_float
from kdcore.run.meter import Meter
from tests.no_float64 import NoFloat64

CPU = torch.device("cpu")


@pytest.fixture
def no_float64(monkeypatch):
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {"cpu"})
    with NoFloat64():
        yield


def test_the_mode_finds_float64(no_float64):
    torch.ones(2) + torch.ones(2)
    for make in (lambda: torch.ones(2).double(), lambda: torch.zeros(2, dtype=torch.float64)):
        with pytest.raises(TypeError, match="no float64"):
            make()


def test_the_widest_type_of_a_device():
    assert widest_float(torch.device("cuda")) == widest_float(CPU) == torch.float64
    assert widest_float(torch.device("mps")) == torch.float32


def test_batch_norms_are_folded(no_float64):
    torch.manual_seed(0)
    model, images = timm.create_model("test_resnet").eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = model(images)
        assert fold_batch_norm(model, lambda: [model(images)]) > 0
        torch.testing.assert_close(model(images), before, rtol=1e-3, atol=1e-4)


def test_a_meter_goes_on_from_a_checkpoint_of_another_device(monkeypatch):
    exact = Meter(CPU)
    exact._sums = torch.tensor([6.0, 6.0, 1.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    exact._names, exact._bad = ("loss", "task_loss"), torch.full((2,), -1)
    state = exact.state_dict(lambda sums: sums)
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {"cpu"})
    with NoFloat64():
        meter = Meter(CPU)
        meter.load_state_dict(state)
    assert meter._sums.dtype == torch.float32
    assert meter.read() == exact.read()
