"""Private parts of other libraries: each test fails when the library changes what kd-export relies on."""

from __future__ import annotations

import inspect

import torch
from kd_export import compat
from timm.models import push_to_hf_hub


def test_the_page_of_a_model_is_what_timm_pushes():
    text = compat.hub_readme({"license": "mit", "description": "A student."}, "kd-student")
    assert text.startswith("---\n")
    assert "license: mit" in text
    assert "# Model card for kd-student" in text
    assert "A student." in text
    assert "generate_readme(" in inspect.getsource(push_to_hf_hub)


def test_the_operations_of_quantised_programs_are_registered():
    compat.load_quantised_operations()
    operations = torch.ops.quantized_decomposed
    integers = operations.quantize_per_tensor(torch.tensor([-9.0, 0.1, 0.5]), 0.25, 2, -128, 127, torch.int8)
    assert integers.tolist() == [-34, 2, 4]
    assert operations.dequantize_per_tensor(integers, 0.25, 2, -128, 127, torch.int8).tolist() == [-9, 0, 0.5]
    weights = torch.tensor([[1, 2], [3, 4]], dtype=torch.int8)
    zeros = torch.zeros(2, dtype=torch.int64)
    found = operations.dequantize_per_channel(
        weights, torch.tensor([0.5, 2]), zeros, 0, -127, 127, torch.int8
    )
    assert found.tolist() == [[0.5, 1], [6, 8]]
