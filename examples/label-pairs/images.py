"""Write pairs of scikit-learn's digits as images with one or two labels each, and two Parquet tables of them.

    python examples/label-pairs/images.py [FOLDER]

`pairs.parquet` has the labels of all images. In `few.parquet` only the first 100 training images have labels. The
digits of one split are in no other one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

PAIRS = {"train": 1000, "val": 500, "test": 1000}
LABELLED = 100


def write(folder: Path) -> None:
    """Write the images below the folder, and both tables in it."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(digits.images))
    members = {"train": order[:900], "val": order[900:1200], "test": order[1200:]}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for split, count in PAIRS.items():
        for number in range(count):
            pair = rng.choice(members[split], size=2)
            pixels = np.hstack([digits.images[one] for one in pair]) * (255 / 16)
            path = f"images/{split}-{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / path)
            labels = sorted({str(digits.target[one]) for one in pair})
            rows.append({"path": path, "label": labels, "split": split})
    few = [
        row if row["split"] != "train" or number < LABELLED else {**row, "label": None}
        for number, row in enumerate(rows)
    ]
    for name, table in (("pairs", rows), ("few", few)):
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
