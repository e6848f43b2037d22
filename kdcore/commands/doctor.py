"""What is installed and what is wrong with it: `kd doctor` and `kdcore.doctor`."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from kdcore.plugins import PluginInfo, Plugins
from kdcore.plugins.find import duplicates
from kdcore.plugins.pip_hint import pip_install, pip_reinstall
from kdcore.plugins.switches import CORE
from kdcore.text import byte_size
from kdcore.version import __version__

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "safetensors",
    "numpy",
    "pillow",
    "pydantic",
    "pluggy",
    "typer",
    "rich",
)
_LITTLE, _TOO_LITTLE = 2 * 2**30, 100 * 2**20  # bytes free on the disk
_TIMEOUT = 300  # seconds for importing everything


@dataclass
class DoctorReport:
    """What was found.

    Attributes:
        versions: of Python, kdcore and what it needs; None where a package is missing.
        devices: what torch can train on.
        plugins: what became of each.
        free_bytes: on the disk of the current folder.
        problems: what is wrong.
        notes: what may be wanted.
    """

    versions: dict[str, str | None] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    plugins: tuple[PluginInfo, ...] = ()
    free_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def doctor() -> DoctorReport:
    """Check this installation, as `kd doctor` does: a process of its own imports torch and the plugins' code."""
    plugins = Plugins.discover(strict=False)
    report = DoctorReport(plugins=plugins.infos, notes=list(plugins.notes))
    report.versions = {"python": platform.python_version(), "kdcore": __version__}
    for name in PACKAGES:
        report.versions[name] = _version(name)
        if report.versions[name] is None:
            report.problems.append(f"{name} is not installed: {pip_install(name)}")
    _examine_plugins(report)
    _examine_distributions(report)
    _examine_imports(report)
    _examine_torchvision(report)
    _examine_disk(report)
    return report


def _examine_plugins(report: DoctorReport) -> None:
    for info in report.plugins:
        if info.status == "broken":
            report.problems.append(f"{info.warning} ({info.fix})")
        if info.heavy:
            report.notes.append(
                f"plugin {info.label} imports {', '.join(info.heavy)}, which slows every command"
            )
    owners: dict[tuple[str, str], list[str]] = {}
    for info in report.plugins:
        for entry in info.entries if info.status == "loaded" else ():
            owners.setdefault((type(entry).__name__, entry.name), []).append(info.name)
    for (_, name), providers in sorted(owners.items()):
        if len(providers) > 1:
            spellings = " or ".join(f"{provider}/{name}" for provider in providers)
            report.notes.append(
                f"{name!r} is declared by {len(providers)} plugins: a spec has to say {spellings}"
            )


def _examine_distributions(report: DoctorReport) -> None:
    from kdcore.plugins.health import conflicts, stale

    own = sorted({CORE, *(info.distribution for info in report.plugins if info.status != "disabled")})
    missing = [name for name, found in report.versions.items() if found is None]
    for name in own:
        report.problems += conflicts(name, missing)
        outdated = stale(name)
        if outdated is not None:
            report.problems.append(outdated)
    distributions = {"kdcore", *PACKAGES, *(info.distribution for info in report.plugins)}
    for name, places in duplicates(distributions).items():
        report.problems.append(
            f"{name} is installed {len(places)} times: {', '.join(places)}; uninstall all but one"
        )


def _examine_imports(report: DoctorReport) -> None:
    try:
        done = subprocess.run(  # this very Python, fixed arguments
            [sys.executable, "-m", "kdcore.cli.probe"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        report.problems.append(f"importing torch and the plugins' code: {error}")
        return
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for result in results:
        report.devices += result.get("devices", ())
        report.problems += result.get("problems", ())
        if result.get("error") and report.versions.get(result.get("package", "torch")) is not None:
            report.problems.append(_import_problem(result, report.versions))
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        after = f" after {json.dumps(results[-1])}" if results else ""
        report.problems.append(f"importing it all ended Python{after}: {last[0]}")


def _import_problem(result: dict[str, Any], versions: dict[str, str | None]) -> str:
    name = result.get("package")
    if name is None:
        return f"looking for devices: {result['error']}"
    text = f"{name} {versions[name]} cannot be used: {result['error']}"
    if name == "torchvision":
        return f"{text} (does it fit torch {versions['torch']}? {_fitting()})"
    return f"{text} ({pip_reinstall(name)})"


def _examine_torchvision(report: DoctorReport) -> None:
    torch = report.versions["torch"]
    if torch is None or report.versions["torchvision"] is None:
        return
    for requirement in requires("torchvision") or ():
        name, exact, wanted = requirement.partition(";")[0].replace(" ", "").partition("==")
        if name == "torch" and exact and wanted != torch.partition("+")[0]:
            report.problems.append(
                f"torchvision {report.versions['torchvision']} is made for torch {wanted}, not {torch}: "
                f"{_fitting()}"
            )


def _fitting() -> str:
    return pip_install("torch", "torchvision", upgrade=True)


def _examine_disk(report: DoctorReport) -> None:
    report.free_bytes = shutil.disk_usage(Path.cwd()).free
    if report.free_bytes < _TOO_LITTLE:
        report.problems.append(f"only {byte_size(report.free_bytes)} are free in {Path.cwd()}")
    elif report.free_bytes < _LITTLE:
        report.notes.append(f"only {byte_size(report.free_bytes)} are free in {Path.cwd()}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
