"""The process of one part: does its items one after the other, and writes what it has after each.

It ends with 0 if no item is left, with AGAIN if an item has made the accelerator unusable for this process, and with
another code if it crashed: the runner then knows from the file which item was in progress.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.gpu.files import write_json
from benchmarks.gpu.parts import Turn

AGAIN = 75
LONGEST = 4000
"""Characters of an error's text that are kept: its end says what happened."""


def main(task: dict[str, Any]) -> int:
    """Do the items of `task["module"]` that are not among `task["known"]`, until `task["until"]` of the clock."""
    file, folder = Path(task["file"]), Path(task["folder"])
    state: dict[str, Any] = {"planned": None, "running": None, "items": {}}
    items = import_module(task["module"]).items(task["small"])
    state["planned"] = list(items)
    write_json(file, state)
    for name, do in items.items():
        if name in task["known"]:
            continue
        left = task["until"] - time.time()
        if left <= 0:
            break
        state["running"] = name
        write_json(file, state)
        began = time.perf_counter()
        try:
            found: dict[str, Any] = {"value": do(Turn(left, folder, task["small"]))}
        except Exception:
            found = {"error": traceback.format_exc()[-LONGEST:]}
            if time.time() >= task["until"]:  # it was asked to end
                found["cut"] = True
        state["items"][name] = {**found, "seconds": round(time.perf_counter() - began, 3)}
        state["running"] = None
        write_json(file, state)
        if "error" in found and not _usable():
            return AGAIN
    return 0


def _usable() -> bool:
    """Whether the accelerator still computes: after an illegal access, nothing does in this process."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.accelerator.is_available():
        return True
    try:
        one = torch.ones(1, device=torch.accelerator.current_accelerator())
        return bool((one + one).item() == 2)
    except Exception:
        return False


def _end_with(parent: int) -> None:
    """End this process and those that it started if the runner is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    sys.exit(main(json.loads(sys.argv[1])))
