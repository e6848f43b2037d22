"""What a model's `options` may not have, and where it is said instead. Imports no torch."""

from __future__ import annotations

from typing import Final

RESERVED_OPTIONS: Final[dict[str, str]] = {
    "num_classes": "it comes from the data (data.num_classes, where the data does not tell it)",
    "in_chans": "it is data.channels",
    "pretrained": "it is a key of its own beside 'options'",
    "checkpoint_path": "use 'checkpoint' beside 'options'",
    **dict.fromkeys(
        ("pretrained_cfg", "pretrained_cfg_overlay", "pretrained_model_args", "cache_dir", "features_only"),
        "it is not for the model's constructor",
    ),
    **dict.fromkeys(("scriptable", "exportable", "no_jit", "device", "dtype"), "kd decides it"),
}
