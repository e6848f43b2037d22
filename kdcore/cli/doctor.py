"""`kd doctor`: versions, devices, plugin health, and what is wrong with them."""

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

import typer

import kdcore
from kdcore.cli import output
from kdcore.cli.output import JsonFlag
from kdcore.cli.plugins import as_dict, plugin_table
from kdcore.plugins import PluginInfo, Plugins
from kdcore.plugins.find import duplicates
from kdcore.plugins.switches import CORE

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
class Report:
    """What was found; `problems` make the exit code 1, `notes` do not."""

    versions: dict[str, str | None] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    plugins: tuple[PluginInfo, ...] = ()
    free_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        fields = {**self.__dict__, "plugins": [as_dict(info) for info in self.plugins]}
        return {"ok": not self.problems, **fields}


def doctor(as_json: JsonFlag = False) -> None:
    """Check this installation: versions, devices, plugins.

    Exit code 1 if something is wrong.
    """
    report = examine()
    if as_json:
        output.print_json(report.as_dict())
    else:
        typer.echo(_text(report))
    if report.problems:
        raise typer.Exit(1)


def examine() -> Report:
    """Look at everything."""
    plugins = Plugins.discover(strict=False)
    report = Report(plugins=plugins.infos, notes=list(plugins.notes))
    report.versions = {"python": platform.python_version(), "kdcore": kdcore.__version__}
    for name in PACKAGES:
        report.versions[name] = _version(name)
        if report.versions[name] is None:
            report.problems.append(f"{name} is not installed: pip install {name}")
    _examine_plugins(report)
    _examine_distributions(report)
    _examine_imports(report)
    _examine_torchvision(report)
    _examine_disk(report)
    return report


def _examine_plugins(report: Report) -> None:
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


def _examine_distributions(report: Report) -> None:
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


def _examine_imports(report: Report) -> None:
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
        return f"{text} (does it fit torch {versions['torch']}? pip install --upgrade torch torchvision)"
    return f"{text} (pip install --force-reinstall {name})"


def _examine_torchvision(report: Report) -> None:
    torch = report.versions["torch"]
    if torch is None or report.versions["torchvision"] is None:
        return
    for requirement in requires("torchvision") or ():
        name, exact, wanted = requirement.partition(";")[0].replace(" ", "").partition("==")
        if name == "torch" and exact and wanted != torch.partition("+")[0]:
            report.problems.append(
                f"torchvision {report.versions['torchvision']} is made for torch {wanted}, not {torch}: "
                "pip install --upgrade torch torchvision"
            )


def _examine_disk(report: Report) -> None:
    report.free_bytes = shutil.disk_usage(Path.cwd()).free
    if report.free_bytes < _TOO_LITTLE:
        report.problems.append(f"only {_size(report.free_bytes)} are free in {Path.cwd()}")
    elif report.free_bytes < _LITTLE:
        report.notes.append(f"only {_size(report.free_bytes)} are free in {Path.cwd()}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _text(report: Report) -> str:
    lines = [output.bold("versions")]
    lines += [f"  {name:<12} {found or '(missing)'}" for name, found in report.versions.items()]
    lines += ["", output.bold("devices"), *(f"  {device}" for device in report.devices or ["(none found)"])]
    lines += ["", output.bold("plugins"), plugin_table(report.plugins, indent="  ")]
    lines += ["", output.bold("disk"), f"  {_size(report.free_bytes)} free in {Path.cwd()}", ""]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"wrong: {problem}" for problem in report.problems] or ["nothing is wrong"]
    return "\n".join(lines)
