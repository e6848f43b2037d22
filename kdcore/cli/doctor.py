"""`kd doctor`: versions, devices, plugin health, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kdcore.cli import output
from kdcore.cli.output import JsonFlag
from kdcore.cli.plugins import as_dict, plugin_table
from kdcore.text import byte_size

if TYPE_CHECKING:
    from kdcore.commands.doctor import DoctorReport


def doctor(as_json: JsonFlag = False) -> None:
    """Check this installation: versions, devices, plugins.

    Exit code 1 if something is wrong.
    """
    from kdcore.commands.doctor import doctor as examine

    report = examine()
    if as_json:
        output.print_json(_as_dict(report))
    else:
        output.say_all(_lines(report))
    if not report.ok:
        raise typer.Exit(1)


def _as_dict(report: DoctorReport) -> dict[str, Any]:
    return {"ok": report.ok, **report.__dict__, "plugins": [as_dict(info) for info in report.plugins]}


def _lines(report: DoctorReport) -> list[str]:
    lines = [output.bold("versions")]
    lines += [f"  {name:<12} {found or '(missing)'}" for name, found in report.versions.items()]
    lines += ["", output.bold("devices"), *(f"  {device}" for device in report.devices or ["(none found)"])]
    lines += ["", output.bold("plugins"), *plugin_table(report.plugins, indent="  ")]
    lines += ["", output.bold("disk"), f"  {byte_size(report.free_bytes)} free in {Path.cwd()}", ""]
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, *([f"wrong: {problem}" for problem in report.problems] or ["nothing is wrong"])]
