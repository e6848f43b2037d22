"""What a teacher costs, live and from its cache, as ratios to training the student alone.

    uv run python benchmarks/cached.py [--data FOLDER] [--rounds 7] [--epochs 2] [--samples 1024] [--cpu]

Each round trains every contender for some epochs, in random order, in runs of their own that go the whole way of
`kd run`: alone; with the teacher live; with the teacher's cache, which is filled before. The times are the runs' own
images/s (training steps with their data, without evaluation), and a ratio is taken within its round. With --cpu it is
the processor time of the same steps, which means something where others use the machine too. Without --data, which
names a folder of images, the digits are used at 32 px. Prints the median and the quartiles.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TEACHER = {"model": "resnet34", "small_input": True}
STUDENT = {"model": "resnet18", "small_input": True}


def contenders(spec: dict[str, Any], augmentations: int) -> dict[str, dict[str, Any]]:
    """The specs that are compared."""
    cache = {"augmentations": augmentations, "folder": "cache"}
    return {
        "alone": spec | {"distiller": "vanilla"},
        "live": spec | {"distiller": "kd", "teacher": TEACHER},
        "cached": spec | {"distiller": "kd", "teacher": TEACHER, "teacher_cache": cache},
    }


def processor_time() -> list[float]:
    """Seconds of processor time that the training steps of the runs take from here on: one number, added up."""
    from kdcore.run.loop import Training

    spent: list[float] = []
    train = Training._train_epoch

    def timed(self: Training) -> None:
        before = time.process_time()
        train(self)
        spent[:] = [sum(spent) + time.process_time() - before]

    Training._train_epoch = timed  # type: ignore[method-assign]
    return spent


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Seconds per image of each contender, a list entry per round."""
    from kdcore import run
    from kdcore.run.fill_cache import cache_teacher

    narrow = {"options": {"channels": [width * arguments.width // 64 for width in (64, 128, 256, 512)]}}
    spec = {
        "data": {"dataset": str(arguments.data or "digits"), "image_size": 32, "workers": 0}
        | {"train_samples": arguments.samples, "eval_samples": 64},
        "student": STUDENT | narrow,
        "train": {"epochs": arguments.epochs, "batch_size": 64},
    }
    TEACHER.update(narrow)
    paths = {}
    for name, content in contenders(spec, arguments.epochs).items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content))
    filled = cache_teacher(paths["cached"])
    print(f"cache: {filled.rows} rows, {filled.size_bytes:,} bytes, filled in {filled.seconds:.1f} s")
    spent = processor_time() if arguments.cpu else []
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(arguments.rounds + 1):
        for name in random.sample(list(paths), len(paths)):
            result = run(paths[name], output=folder / "runs", existing="fresh", quiet=True)
            if number:  # the first round warms up
                rates = [record["images_per_second"] for record in result.metrics]
                images = arguments.samples // 64 * 64 * arguments.epochs
                seconds[name].append(spent.pop() / images if arguments.cpu else 1 / statistics.fmean(rates))
            spent.clear()
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage")
    parser.add_argument("--cpu", action="store_true", help="measure processor time; needs no quiet machine")
    parser.add_argument("--json", type=Path, help="write all times there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(arguments, Path(folder))
    import torch

    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {platform.machine()}")
    print(f"{'contender':<10} {'images/s':>9}  {'ratio':>5}  quartiles")
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, seconds["alone"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rate = 1 / statistics.median(values)
        print(f"{name:<10} {rate:9.1f}  {middle:5.3f}  {low:.3f} to {high:.3f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"seconds_per_image": seconds, "argv": sys.argv[1:]}, indent=2))


if __name__ == "__main__":
    main()
