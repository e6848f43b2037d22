"""Write tables of CIFAR-10 in which 500, 2,000 or all of the training images have a label.

    python examples/cifar10/few-labels/tables.py

It reads the folder `examples/cifar10/data` and writes, next to itself, for each number N of labels:

- `labelled-N.csv`: the N images with a label as split `train`; for the teacher, and with all labels for the students
- `all-N.csv`: the same, and the other training images without their label; for the students

Both have 2,000 other training images, with labels, as split `val`, and the 10,000 test images as split `test`. The
images of 500 labels are among those of 2,000. The column `weight` is 1 for the images with a label and 0 for the
others: drawn by it, a student alone sees as many images as the others.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

Row = list[str | int]
VALIDATION = 2000
ALL = 50_000 - VALIDATION
LABELS = (500, 2000, ALL)


def main(images: Path, folder: Path) -> list[Path]:
    """The tables that were written."""
    rank: dict[Path, int] = {}
    for directory in sorted((images / "train").iterdir()):
        files = sorted(directory.iterdir())
        random.Random(directory.name).shuffle(files)  # noqa: S311  # nothing secret
        rank |= {file: position for position, file in enumerate(files)}
    test = sorted((images / "test").glob("*/*"))
    classes = len({file.parent for file in rank})
    written = []
    for labels in LABELS:
        known, rest = list[Row](), list[Row]()
        for file in sorted(rank):
            held_out = rank[file] < VALIDATION // classes
            labelled = held_out or rank[file] < (VALIDATION + labels) // classes
            path, split = file.relative_to(images.parent), "val" if held_out else "train"
            row: Row = [path.as_posix(), file.parent.name if labelled else "", split, int(labelled)]
            (known if labelled else rest).append(row)
        known += [[file.relative_to(images.parent).as_posix(), file.parent.name, "test", 1] for file in test]
        tables = {f"labelled-{labels}.csv": known, f"all-{labels}.csv": known + rest}
        if not rest:
            del tables[f"all-{labels}.csv"]
        for name, rows in tables.items():
            with (folder / name).open("w", newline="", encoding="utf-8") as table:
                csv.writer(table).writerows([["path", "label", "split", "weight"], *rows])
            written.append(folder / name)
    return written


if __name__ == "__main__":
    here = Path(__file__).parent
    for table in main(here.parent / "data", here):
        print(table)
