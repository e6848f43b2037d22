"""Imports everything heavy and says how that went, a JSON line each: `python -m kdcore.cli.probe`.

`kd doctor` runs it as a process of its own, since a library that does not fit another may end the process.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kdcore.entries import DistillerEntry, RecipeEntry
from kdcore.errors import UserError
from kdcore.plugins import Plugins
from kdcore.plugins.importing import cause
from kdcore.spec.recipes import paper_settings, read_recipe
from kdcore.text import byte_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = ("torch", "torchvision", "timm", "accelerate")


def probe() -> Iterator[dict[str, Any]]:
    """Each package, the devices, and the code of each thing that a plugin declares."""
    for name in PACKAGES:
        yield {"package": name, "error": _error(lambda name=name: _use(name))}  # type: ignore[misc]
    devices: list[str] = []
    yield {"devices": devices, "error": _error(lambda: devices.extend(find_devices()))}
    plugins = Plugins.discover(strict=False)
    for item in plugins.everything():
        problems: list[str] = []
        entry = item.entry
        loads: list[Callable[[Any, str], Any]] = [plugins.load, plugins.load_options]
        if isinstance(entry, RecipeEntry):
            loads = [read_recipe]
        elif isinstance(entry, DistillerEntry):
            loads.append(paper_settings)
        for load in loads:
            try:
                load(item, "")
            except UserError as error:
                problems += [problem.message for problem in error.problems]
        yield {"thing": item.qualified, "problems": problems}


def find_devices() -> list[str]:
    """What torch can train on, one line each."""
    import torch

    devices = [f"cpu, {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        devices.append(f"cuda:{index}, {about.name}, {byte_size(about.total_memory)}")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def _use(name: str) -> None:
    module = import_module(name)
    if name == "torchvision":
        # its compiled operators fail with another version of torch than it was built for
        import torch

        module.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)


def _error(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return cause(error)
    return None


if __name__ == "__main__":
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries and plugins must not mix with the results
    for result in probe():
        print(json.dumps(result), file=results, flush=True)
    sys.stderr.flush()
    os._exit(0)  # a thread that a plugin started may never end
