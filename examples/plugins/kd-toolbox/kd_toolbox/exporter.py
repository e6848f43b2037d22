"""`npz`: weights as NumPy arrays, and for a plain-net a script that computes it with NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from kdcore import ExportedFiles

from kd_toolbox.model import PlainNet

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.inspect import RunStudent

FILE = "weights.npz"
LOAD = '''
weights = np.load(folder / "weights.npz")
blocks = sorted({name.split(".")[1] for name in weights if name.startswith("blocks.")})

def convolved(maps, weight, bias):
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]

def halved(maps):
    """The mean of each 2x2 window; at an odd side, of the pixels that are there."""
    rows, columns = np.arange(0, maps.shape[2], 2), np.arange(0, maps.shape[3], 2)
    sums = np.add.reduceat(np.add.reduceat(maps, rows, axis=2), columns, axis=3)
    height, width = (np.minimum(starts + 2, side) - starts for starts, side in zip((rows, columns), maps.shape[2:]))
    return sums / (height[:, None] * width)

def logits(images):
    maps = images
    for block in blocks:
        maps = convolved(maps, weights[f"blocks.{block}.weight"], weights[f"blocks.{block}.bias"])
        maps = halved(np.maximum(maps, 0))
    return (maps.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]).astype(np.float32)

return logits
'''


def write_npz(student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
    """Write `weights.npz`: an array for each name in the student's state."""
    np.savez(folder / FILE, **{name: value.numpy() for name, value in student.model.state_dict().items()})
    # the network of another model is not in its weights: only their files are checked
    return ExportedFiles(files=[FILE], load=LOAD if isinstance(student.model, PlainNet) else "")
