"""The plugin, its distillers and its adapters keep the rules of kdcore's conformance kit."""

from __future__ import annotations

from functools import partial

import timm
from kd_dev.testing import Check, adapter_checks, distiller_checks, parametrize_with_checks, plugin_checks
from kd_feature.plugin import kd_distillers, kd_feature_adapters
from timm.models.mlp_mixer import MlpMixer

TINY_SWIN = {
    "img_size": 32,
    "embed_dim": 12,
    "depths": (1, 1, 1, 1),
    "num_heads": (1, 2, 3, 4),
    "window_size": 4,
}
SMALL = {
    "convnext": ("test_convnext", 64),
    "mixer": (partial(MlpMixer, num_classes=7, img_size=32, patch_size=8, num_blocks=4, embed_dim=24), 32),
    "mobilenetv2": ("test_efficientnet", 64),
    "resnet": ("test_resnet", 64),
    "swin": (partial(timm.create_model, "swin_tiny_patch4_window7_224", num_classes=7, **TINY_SWIN), 32),
    "vit": ("test_vit", 160),
}


@parametrize_with_checks(plugin_checks("kd-feature"))
def test_the_plugin(check: Check):
    check()


@parametrize_with_checks([check for entry in kd_distillers() for check in distiller_checks(entry.name)])
def test_the_distillers(check: Check):
    check()


@parametrize_with_checks(
    [
        check
        for entry in kd_feature_adapters()
        for check in adapter_checks(entry.name, models=[SMALL[entry.name]])
    ]
)
def test_the_adapters(check: Check):
    check()
