"""The precision of losses, with autocast and without it."""

from __future__ import annotations

import pytest
import torch

from kdcore.ops import at_least_float32, full_precision


def test_full_precision_where_there_is_autocast_and_where_there_is_none():
    values = torch.eye(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (values @ values).dtype == torch.bfloat16
        with full_precision(values.device):
            assert (values @ values).dtype == torch.float32
        with full_precision(torch.device("meta")):
            pass


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_narrow_types_become_float32(dtype, expected):
    values = torch.ones(2, dtype=dtype)
    found = at_least_float32(values)
    assert found.dtype == expected
    assert (found is values) == (dtype == expected)
