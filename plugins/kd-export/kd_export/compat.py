"""Private parts of other libraries; each has a test that fails when the library changes."""

from __future__ import annotations

from typing import Any


def hub_readme(card: dict[str, Any], name: str) -> str:
    """The text of a model's page on the hub, as `timm.models.push_to_hf_hub` writes it."""
    from timm.models._hub import generate_readme

    text: str = generate_readme(card, name)
    return text


def load_quantised_operations() -> None:
    """Register `torch.ops.quantized_decomposed`, the operations of PyTorch's quantised programs."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401  # its import registers them


def onnx_opsets() -> tuple[int, int]:
    """The first and the last opset of ONNX that torch's exporter writes.

    For others it keeps an opset of its own, or writes a graph that is not valid, and says so in its log alone.
    """
    from torch.onnx._constants import ONNX_MAX_OPSET
    from torch.onnx._internal.exporter._constants import TORCHLIB_OPSET

    return TORCHLIB_OPSET, ONNX_MAX_OPSET
