from __future__ import annotations

from typing import Any

import pytest
import torch

from kdcore import RunFailed
from kdcore.distill.terms import checked_terms


def test_named_scalars_pass():
    terms = {"one": torch.tensor(1.0), "two": torch.tensor(2.0, dtype=torch.float64)}
    assert checked_terms("toy", terms) is terms
    assert checked_terms("toy", {}) == {}


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (None, "returned None"),
        (torch.tensor(1.0), r"returned a float32 tensor of shape \[\]"),
        ([torch.tensor(1.0)], "returned list"),
        ({1: torch.tensor(1.0)}, "loss term 1;"),
        ({"kd": 0.5}, "gave 0.5 as loss term 'kd'"),
        ({"kd": torch.ones(4)}, r"gave a float32 tensor of shape \[4\] as loss term 'kd'"),
        ({"kd": torch.ones(1)}, r"of shape \[1\]"),
        ({"kd": torch.tensor(3)}, "a int64 tensor"),
        ({"kd": torch.tensor(1j)}, "a complex64 tensor"),
    ],
)
def test_anything_else_is_told_with_the_distillers_name(terms: Any, told: str):
    with pytest.raises(RunFailed, match=f"distiller 'toy' .*{told}"):
        checked_terms("toy", terms)
