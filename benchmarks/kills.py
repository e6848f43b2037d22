"""A run that is killed at random moments, and one that is not: the same weights to the bit, the same metrics.

    uv run python benchmarks/kills.py [--kills 20] [--method kd crd ofa] [--seed 0] [--forget optimizer]

Each method trains a small student on the digits twice. The first run is not interrupted. The second run is killed
several times, in turn inside a step, inside an evaluation, and while a checkpoint is written, each time after a random
number of these and a random delay. Then it is started again. At the end the last checkpoints of both (student, heads,
banks, optimizer, average), the students, and the metrics without their times have to be equal.

The run kills itself: where it is killed does not depend on what else the machine does. The delay is its processor time,
and the end of this time is a signal without a handler, which ends a process as SIGKILL does.

--forget leaves a part of the state out when the run is resumed, to show that the comparison would find this.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PHASES = ("step", "evaluation", "checkpoint")
TEACHER = {"model": "resnet10t", "small_input": True, "options": {"channels": [8, 8, 16, 16]}}
STUDENT = {
    "model": "vit_tiny_patch16_224",
    "options": {"embed_dim": 16, "depth": 4, "num_heads": 2, "patch_size": 4, "drop_path_rate": 0.2},
}
METHODS: dict[str, dict[str, Any]] = {
    "kd": {"distiller": "kd"},
    "crd": {"distiller": {"name": "crd", "negatives": 16}},
    "ofa": {"distiller": "ofa"},
}


@dataclass
class Kill:
    """When a process kills itself: within a phase, after some of its processor time, or at the end of the phase.

    Attributes:
        phase: the place in PHASES.
        entries: how often it still enters this phase; it does not leave the last time.
        delay: in seconds. The signal of this timer has no handler, and so ends the process as SIGKILL does.
    """

    phase: int
    entries: int
    delay: float

    def enter(self, phase: int) -> None:
        """Count it; at the last one, the time begins."""
        if phase == self.phase:
            self.entries -= 1
            if not self.entries:
                signal.setitimer(signal.ITIMER_PROF, self.delay)

    def leave(self, phase: int) -> None:
        """End the process if the phase took less than the delay."""
        if phase == self.phase and not self.entries:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(kill: Kill) -> None:
    """Let a run of this process be killed."""
    from kdcore.run.loop import Training
    from kdcore.run.measures import Measures
    from kdcore.rundir.checkpoints import Checkpoints

    def watched(function: Callable[..., Any], phase: int) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            kill.enter(phase)
            try:
                return function(*arguments, **options)
            finally:
                kill.leave(phase)

        return wrapper

    for owner, name, phase in (
        (Training, "_forward_backward", 0),
        (Training, "take_step", 0),
        (Measures, "_evaluate", 1),
        (Checkpoints, "_write", 2),
    ):
        setattr(owner, name, watched(getattr(owner, name), phase))


def forget(part: str) -> None:
    """Leave a part of the state out when a run goes on."""
    from kdcore.run.saving import Saver

    load = Saver.load

    def without(self: Saver, content: dict[str, Any]) -> None:
        load(self, {**content, part: self.content()[part]})

    Saver.load = without  # type: ignore[method-assign]


def start(spec: Path, forgotten: str | None = None, kill: Kill | None = None) -> bool:
    """Go on with the run in a process until it is killed or ends; whether it was killed.

    The process is forked, since importing torch takes longer than the run.

    Raises:
        SystemExit: the run failed.
    """
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, -signal.SIGPROF, -signal.SIGKILL):
            raise SystemExit(f"{spec.stem}: failed")
        return code != 0
    code = 1
    try:
        from kdcore import run

        if kill is not None:
            watch(kill)
        if forgotten is not None:
            forget(forgotten)
        run(spec, quiet=True)
        code = 0
    finally:
        if code:
            import traceback

            traceback.print_exc()
        os._exit(code)


def killed(spec: Path, kills: int, draw: random.Random, forgotten: str | None) -> Counter[str]:
    """Run to the end with this number of kills, or fewer if the run ends before; returns the phases that they hit."""
    hit: Counter[str] = Counter()
    for number in range(kills):
        phase = number % len(PHASES)
        # a step has two entries; after the second there is a checkpoint to go on from
        entries = draw.randint(3, 8) if phase == 0 else draw.randint(1, 3)
        if not start(spec, forgotten, Kill(phase, entries, draw.uniform(1e-4, 0.01))):
            return hit  # it was through before it was killed again
        hit[PHASES[phase]] += 1
    if start(spec, forgotten):
        raise SystemExit(f"{spec.stem}: killed by another process")
    return hit


def differences(one: Path, other: Path) -> list[str]:
    """What is not the same in two run directories."""
    import torch
    from safetensors.torch import load_file

    from kdcore.rundir.checkpoints import Checkpoints

    def flat(value: Any, place: str = "") -> dict[str, Any]:
        if isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            return {k: v for key, item in items for k, v in flat(item, f"{place}.{key}").items()}
        return {place: value}

    parts = []
    for folder in (one, other):
        state = Checkpoints(folder / "checkpoints").load(lambda text: print(text))
        assert state is not None
        del state["seconds"]
        for record in state["records"]:
            del record["images_per_second"]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            del line["images_per_second"]
        summary = json.loads((folder / "summary.json").read_text())
        students = {
            name: load_file(folder / name / "model.safetensors") for name in ("student", "student-ema")
        }
        parts.append(flat({"state": state, "metrics": lines, "best": summary["student"], **students}))
    first, second = parts
    different = [f"{name} is in one only" for name in sorted(first.keys() ^ second.keys())]
    for name in first.keys() & second.keys():
        a, b = first[name], second[name]
        same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        if not same:
            different.append(name)
    return sorted(different)


def main() -> None:
    """Print a line for each method; ends with 1 where a run was changed by its kills."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--epochs", type=int, help="of each run; by default enough for the kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--forget", choices=["optimizer", "ema", "distillation", "meter"])
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)  # a forked process cannot use its parent's
    import kdcore.run.preflight
    import kdcore.run.run
    import kdcore.run.session  # noqa: F401

    draw = random.Random(arguments.seed)  # noqa: S311  # nothing secret
    changed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.method:
            spec = {
                "data": {"image_size": 16, "workers": 0, "train_samples": 64, "eval_samples": 64},
                "teacher": TEACHER,
                "student": STUDENT,
                # every step ends with a checkpoint: a kill loses one, and the next one comes soon
                "checkpoint": {"minutes": 1e-9},
                "train": {
                    "epochs": arguments.epochs or 2 + 2 * arguments.kills,
                    "batch_size": 16,
                    "ema": 0.9,
                },
                "optimizer": {"name": "adamw", "lr": 0.003},
                **METHODS[name],
            }
            paths = []
            for kind in ("whole", "killed"):
                paths.append(Path(folder) / f"{name}-{kind}.json")
                paths[-1].write_text(json.dumps(spec))
            start(paths[0])
            hit = killed(paths[1], arguments.kills, draw, arguments.forget)
            found = differences(*(Path(folder) / "runs" / path.stem for path in paths))
            changed = changed or bool(found)
            where = ", ".join(f"{hit[place]} in {place}" for place in PHASES if hit[place])
            told = f"{len(found)} values differ, such as {found[0]}" if found else "equal to the bit"
            print(f"{name:<4} {hit.total()} kills ({where}): {told}", flush=True)
    sys.exit(1 if changed else 0)


if __name__ == "__main__":
    main()
