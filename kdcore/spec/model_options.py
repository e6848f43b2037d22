"""What a model's `options` may not have, and where it is said instead. Imports no torch."""

from __future__ import annotations

from typing import Final

RESERVED_OPTIONS: Final[dict[str, str]] = {
    "num_classes": "it comes from the data (data.num_classes, if the data does not give it)",
    "in_chans": "it is data.channels, or the number of 'channels' next to 'options'",
    "pretrained": "it is a key of its own next to 'options'",
    "checkpoint_path": "use 'checkpoint' next to 'options'",
    **dict.fromkeys(
        ("pretrained_cfg", "pretrained_cfg_overlay", "pretrained_model_args", "cache_dir", "features_only"),
        "it is not for the model's constructor",
    ),
    **dict.fromkeys(("scriptable", "exportable", "no_jit", "device", "dtype"), "kd sets this option itself"),
}
