"""What this plugin declares. Imports neither torch nor Torch-Pruning."""

from __future__ import annotations

from kdcore import TransformEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_transforms() -> list[TransformEntry]:
    """The transform that removes channels."""
    return [
        TransformEntry(
            name="prune",
            summary="Remove a share of the student's channels, with Torch-Pruning; it stays a dense model.",
            target="kd_prune.prune:Prune",
            options="kd_prune.options:PruneOptions",
        )
    ]
