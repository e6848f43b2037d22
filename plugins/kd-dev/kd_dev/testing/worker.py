"""One of the two processes: reads jobs from its standard input, and writes answers to its standard output."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from kd_dev.testing.subject import DistillerSubject
from kd_dev.testing.trace import SAMPLES, WORLD, trace
from kdcore.plugin import PluginError, cause, get_plugins, import_named


def serve() -> None:
    """Work until the input ends or something fails."""
    rank, rendezvous = int(sys.argv[1]), sys.argv[2]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORLD)
    for line in sys.stdin:
        answer = _answer(json.loads(line), rank)
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer:
            os._exit(1)  # at once, so that the other process does not wait
    dist.destroy_process_group()


def _answer(job: dict[str, Any], rank: int) -> dict[str, str]:
    if sys.path != job["path"]:
        sys.path[:] = job["path"]
        get_plugins.cache_clear()
    known = set(sys.modules)
    try:
        try:
            factory, model = (import_named(job[name])[1] for name in ("target", "model"))
        except PluginError as broken:
            return {"unknown": f"another process cannot import it: {broken.error}"}
        subject = DistillerSubject(job["target"], None, factory, model.model_validate_json(job["options"]))
        share = SAMPLES // WORLD
        found = trace(
            subject.rig(subject.home, samples=SAMPLES), slice(rank * share, (rank + 1) * share), rank
        )
        torch.save(found, Path(job["folder"]) / f"{rank}.pt")
    except Exception as error:
        return {"error": cause(error)}
    finally:
        _forget(known, job["target"].partition(":")[0].partition(".")[0])
    return {}


def _forget(known: set[str], package: str) -> None:
    """Forget imported modules: the next job may use another package of this name, from another folder."""
    for name in set(sys.modules) - known:
        if name.partition(".")[0] == package:
            del sys.modules[name]
