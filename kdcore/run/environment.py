"""The environment of a run: versions, device, source revision."""

from __future__ import annotations

import platform
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from kdcore.plugins import Plugins

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "safetensors", "numpy", "pydantic", "pluggy")


def environment(plugins: Plugins, device: torch.device, world_size: int, folder: Path) -> dict[str, Any]:
    """Versions of everything that may change a result, the device, and the git revision of `folder` if it has one."""
    from kdcore.version import __version__, installed_version

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "kdcore": __version__,
        "plugins": {
            info.name: {"distribution": info.distribution, "version": info.version, "status": info.status}
            for info in plugins.infos
        },
        "packages": {name: installed_version(name) for name in PACKAGES},
        "device": _device(device),
        "processes": world_size,
        "git": _git_revision(folder),
    }


def _device(device: torch.device) -> dict[str, Any]:
    import torch

    if device.type == "cuda":
        return {"type": "cuda", "name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return {
        "type": device.type,
        "name": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def _git_revision(folder: Path) -> str | None:
    def git(*arguments: str) -> str:
        return subprocess.run(  # noqa: S603  # fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's own git
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        revision = git("rev-parse", "HEAD")
        return revision + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
