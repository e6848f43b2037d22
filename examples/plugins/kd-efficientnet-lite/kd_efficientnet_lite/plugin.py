"""What this plugin declares. Imports neither torch nor timm."""

from __future__ import annotations

from kdcore import ModelEntry, hookimpl

PLUGIN_API = 1

# variant: parameters, image size of its weights
_VARIANTS = {0: ("4.7 M", 224), 1: ("5.4 M", 240), 2: ("6.1 M", 260)}


@hookimpl
def kd_models() -> list[ModelEntry]:
    """EfficientNet-Lite0, 1 and 2."""
    return [
        ModelEntry(
            name=f"imagenet_lite{number}",
            summary=f"EfficientNet-Lite{number} with weights from ImageNet; {parameters} parameters, {side} px.",
            target=f"kd_efficientnet_lite.models:efficientnet_lite{number}",
            options="kd_efficientnet_lite.options:LiteOptions",
        )
        for number, (parameters, side) in _VARIANTS.items()
    ]
