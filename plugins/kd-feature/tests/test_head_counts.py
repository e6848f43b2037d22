"""Each head has the number of parameters that its authors' modules have, for models of timm at 224 px."""

from __future__ import annotations

from functools import cache

import pytest
import timm
import torch

from kdcore import Distillation

R18, R34, R50 = "resnet18", "resnet34", "resnet50"
TINY, SMALL, SWIN = "deit_tiny_patch16_224", "deit_small_patch16_224", "swin_tiny_patch4_window7_224"


@cache
def _model(name):
    return timm.create_model(name)


def _heads(student, teacher, distiller):
    """The number of parameters of a distiller's heads, trained and frozen; the meta device needs no memory."""
    with torch.device("meta"):
        built = Distillation(
            _model(student), _model(teacher), distiller, num_classes=1000, image_size=224, train_size=10**6
        )
    return sum(parameter.numel() for parameter in built.distillers.parameters())


@pytest.mark.parametrize(
    ("student", "teacher", "distiller", "expected"),
    [
        (R18, R34, "reviewkd", 7_552_904),
        (R18, R50, "reviewkd", 27_910_664),
        (R18, R34, "mgd", 4_719_616),
        (R18, R50, "mgd", 76_552_192),
        (TINY, SMALL, "vitkd", 2_877_696),
        (SMALL, SMALL, "vitkd", 2_655_360),
        (R18, R34, "srrl", 263_168),
        (R18, R34, "vkd", 512 * 512),
        (R18, R50, "vkd", 512 * 2048),
        (R50, R18, "vkd", 2048 * 512),
        (R18, R34, {"name": "rrd", "queue": 8}, 131_328),
        (R18, R34, "dcd", 131_330),
        (R18, R34, "simkd", 854_016),
        (R18, R34, "diffkd", 30_967_420),
        (R50, SWIN, "scalekd", 95_071_744),
        (TINY, SMALL, "cospress", 74_688),
    ],
)
def test_the_heads_have_the_published_number_of_parameters(student, teacher, distiller, expected):
    assert _heads(student, teacher, distiller) == expected


@pytest.mark.parametrize(("teacher", "channels", "millions"), [(R34, 1, 54.8), (R50, 4, 854.2)])
def test_semckd_has_a_projector_for_all_pairs_of_stages(teacher, channels, millions):
    students = [64, 128, 256, 512]
    teachers = [channels * width for width in students]
    # 1x1 to 2 C, batch norm, 3x3, batch norm, 1x1 to C
    projectors = sum(2 * s * t + 4 * t + 36 * t * t + 4 * t + 2 * t * t for s in students for t in teachers)
    # of the attention, for each stage of both models: 64 similarities to 32 and to 16
    networks = 8 * (64 * 32 + 32 + 32 * 16 + 16)
    found = _heads(R18, teacher, "semckd")
    assert found == projectors + networks
    assert round(found / 1e6, 1) == millions
