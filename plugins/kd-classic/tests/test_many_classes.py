"""All losses with the 21,841 classes of the whole ImageNet: values and gradients are finite, and memory is small."""

from __future__ import annotations

import runpy
from pathlib import Path

import kd_classic
import psutil
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

CLASSES, SAMPLES, WIDTH = 21_841, 3, 4
CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
# WKD needs one table of K x K costs, see its page: it has a test of its own
LOSSES = {
    name: loss
    for family in CASES
    for name, loss in family.get("EXTREMES", {}).items()
    if not name.startswith("wkd")
}
# factors of the loss, as the gradient scaler of float16 tries them: gradients of float16 logits begin at 6e-8
SCALES = {torch.float16: (2.0**16, 2.0**8, 1.0)}
# whose gradients are below 1e-15 here, by its formula: 0 in float16 with any scale
TINY = "mlkd-classes"
# of one tensor: as many as [16 * B, K] has; [B, K, K] would have 1365 times as many
MOST_NUMBERS = 16 * SAMPLES * CLASSES


class _Largest(TorchDispatchMode):
    """The largest number of elements of a tensor that an operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else [out]:
            if isinstance(one, Tensor):
                self.numbers = max(self.numbers, one.untyped_storage().nbytes() // one.element_size())
        return out


@pytest.fixture(scope="module")
def given():
    """What the student's classifier reads, its weight, the teacher's logits, and the target."""
    generator = torch.Generator().manual_seed(0)
    vectors, teacher = (torch.randn(SAMPLES, size, generator=generator) for size in (WIDTH, CLASSES))
    weight = torch.randn(CLASSES, WIDTH, generator=generator)
    return vectors, weight, 4 * teacher, torch.tensor([0, CLASSES // 2, CLASSES - 1])


@pytest.mark.parametrize("precision", [None, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_finite(name, precision, given):
    vectors, weight, teacher, target = given
    weight = weight.clone().requires_grad_()
    with _Largest() as largest:
        with torch.autocast("cpu", dtype=precision, enabled=precision is not None):
            logits = torch.nn.functional.linear(vectors, weight)
            value = LOSSES[name](logits, teacher.to(logits.dtype), target)
        scales = SCALES.get(precision, (1.0,))
        gradients = [torch.autograd.grad(scale * value, weight, retain_graph=True)[0] for scale in scales]
    assert value.dtype == torch.float32
    assert value.isfinite()
    gradient = next((one for one in gradients if one.isfinite().all()), None)
    assert gradient is not None
    assert gradient.any() or (name == TINY and precision is torch.float16)
    assert largest.numbers <= MOST_NUMBERS


@pytest.mark.skipif(
    psutil.virtual_memory().available < 8 * 2**30,
    reason="three tables of 21,841 x 21,841 need 8 GiB of memory",
)
def test_wkd_has_finite_values_and_gradients_with_one_table_of_costs(given):
    vectors, weight, teacher, target = given
    weight = weight.clone().requires_grad_()
    # the price of a move grows with the distance of two class numbers, up to 1
    places = torch.linspace(0, 1, CLASSES)
    cost = (places - places[:, None]).abs_()
    with _Largest() as largest, torch.autocast("cpu", dtype=torch.float16):
        logits = torch.nn.functional.linear(vectors, weight)
        value = kd_classic.wkd_logit_loss(
            logits,
            teacher.half(),
            target,
            cost,
            temperature=4.0,
            gamma=1.0,
            regularization=0.05,
            iterations=1,
        )
    (gradient,) = torch.autograd.grad(2**8 * value, weight)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient.any()
    assert largest.numbers == CLASSES**2
