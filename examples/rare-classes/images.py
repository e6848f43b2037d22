"""Write scikit-learn's digits as files and a table: 1 training image of the rarest class, 100 of the first.

    python examples/rare-classes/images.py [FOLDER]

The test split has 40 images of each class.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

MOST = 100
"""Training images of the first class; the last has 1, and the others lie between them in equal ratios."""
TEST = 40


def write(folder: Path) -> Path:
    """The table, `digits.csv`, beside the folder of its images."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    rows = []
    for label in range(10):
        own = [index for index in order if labels[index] == label]
        training = round(MOST ** (1 - label / 9))
        for split, chosen in (("test", own[:TEST]), ("train", own[TEST : TEST + training])):
            for index in chosen:
                file = Path("images") / f"{index:04}.png"
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[index]).save(folder / file)
                rows.append({"path": file.as_posix(), "label": label, "split": split})
    table = folder / "digits.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "label", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return table


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
