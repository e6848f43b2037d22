"""Write scikit-learn's digits as files and a table in which 60 of the 1,297 training images have a label.

    python examples/few-labels/images.py [FOLDER]

The splits are those of the data set `digits`, so that a teacher trained on `digits` has not seen the test images.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

LABELLED = 6
"""Training images of each class that have a label."""
TEST = 50


def write(folder: Path) -> Path:
    """The table, `digits.csv`, next to the folder of its images."""
    pixels, labels = load_digits(return_X_y=True)
    images = np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.random.RandomState(1797).permutation(len(images))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for label in range(10):
        own = [index for index in order if labels[index] == label]
        for rank, index in enumerate(own):
            split = "test" if rank < TEST else "train"
            known = split == "test" or rank < TEST + LABELLED
            file = Path("images") / f"{index:04}.png"
            Image.fromarray(images[index]).save(folder / file)
            rows.append(
                {
                    "path": file.as_posix(),
                    "label": label if known else "",
                    "split": split,
                    "weight": int(known),  # drawn by these, a run sees the labelled images alone
                }
            )
    table = folder / "digits.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "label", "split", "weight"])
        writer.writeheader()
        writer.writerows(rows)
    return table


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
