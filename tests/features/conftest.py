from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import timm
import torch
from torch import nn


@dataclass(frozen=True)
class Case:
    """A small model of timm's and the size it is tried at."""

    name: str
    size: int
    options: tuple[tuple[str, Any], ...] = ()


def case(name: str, size: int, **options: Any) -> Case:
    return Case(name, size, tuple(options.items()))


# one of each way of working: layouts of the final features (NCHW, NHWC, NLC, lists), heads (linear, convolution,
# norm and linear, two heads, hidden layer), class and register tokens, dense pyramids and networks without levels
CASES = (
    case("resnet10t", 32),
    case("test_convnext", 32),
    case("mobilenetv2_035", 32),
    case("mobilenetv3_small_050", 32),
    case("test_efficientnet", 32),
    case("regnetx_002", 32),
    case("densenet121", 32, block_config=(2, 2, 2, 2)),
    case("poolformer_s12", 32),
    case("test_vit", 32, img_size=32, patch_size=8),
    case("test_vit4", 32, img_size=32, patch_size=8),
    case("deit_tiny_distilled_patch16_224", 32, img_size=32, patch_size=8, depth=6),
    case("vit_relpos_small_patch16_224", 32, img_size=32, depth=4),
    case("mixer_s32_224", 64, img_size=64),
    case("resmlp_12_224", 32, img_size=32),
    case("swin_tiny_patch4_window7_224", 64, img_size=64, depths=(1, 1, 2, 1)),
    case("levit_128s", 64, img_size=64),
    case("pit_ti_224", 64, img_size=64),
    case("xcit_nano_12_p16_224", 32, depth=4),
    case("cait_xxs24_224", 32, img_size=32, depth=4),
    case("crossvit_9_240", 120, img_size=120),
    case("coat_tiny", 64, img_size=64),
    case("volo_d1_224", 64, img_size=64),
    case("repvit_m0_9", 32),
    case("test_mambaout", 64),
    case("dla46_c", 32),
    case("efficientvim_m1", 64),
)


@cache
def _build(given: Case) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(given.name, num_classes=10, drop_rate=0.2, **dict(given.options))
    for parameter in model.parameters():
        if parameter.dim() <= 1:  # zero-initialised branches and tiny layer scales would hide a mismatch
            nn.init.normal_(parameter, 1.0, 0.1)
    return model


@pytest.fixture(params=CASES, ids=lambda given: given.name)
def model_case(request: pytest.FixtureRequest) -> tuple[nn.Module, torch.Tensor]:
    """A model, in evaluation mode and without gradients, and two images for it."""
    model = _build(request.param)
    model.zero_grad(set_to_none=True)
    generator = torch.Generator().manual_seed(1)
    return model.eval(), torch.randn(2, 3, request.param.size, request.param.size, generator=generator)


@pytest.fixture
def build():
    """Build a model by the name of its case, or another of timm's with options; cached for the session."""

    def build_model(name: str, **options: Any) -> nn.Module:
        known = next((given for given in CASES if given.name == name and not options), None)
        return _build(known or case(name, 0, **options)).eval()

    return build_model


@pytest.fixture
def images():
    def make(size: int, batch: int = 2) -> torch.Tensor:
        return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(2))

    return make
