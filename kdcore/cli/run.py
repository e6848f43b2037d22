"""`kd run`: one distillation from its spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kdcore.cli.output import JsonFlag, kept_in, print_json, say_all, stdout_for_the_result
from kdcore.cli.spec_flags import Overrides, SpecPath
from kdcore.rundir.summary import headline, measure_label, teachers_of
from kdcore.text import has_top_5


def run(
    spec: SpecPath,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run directories, instead of the spec's.", show_default=False),
    ] = None,
    fresh: Annotated[
        bool | None,
        typer.Option(
            "--fresh/--resume",
            help="Delete an earlier run and start over, or fail unless an earlier run can continue. "
            "By default an unfinished run of the same spec continues.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            "--until",
            metavar="EPOCH",
            min=1,
            help="Stop after this epoch, with a checkpoint and the schedules of the whole run; "
            "without it the same command goes on.",
            show_default=False,
        ),
    ] = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on with an unfinished run although its teacher, images, plugins or device changed since its "
            "checkpoint. The summary records what changed.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Distill a student as SPEC says.

    A teacher with a spec of its own is trained first.
    """
    from kdcore.run.existing import Existing
    from kdcore.run.run import run as run_spec
    from kdcore.run.settle import is_main_process

    existing: Existing = "auto" if fresh is None else "fresh" if fresh else "resume"
    with stdout_for_the_result():
        result = run_spec(
            spec,
            overrides=overrides or (),
            output=output,
            existing=existing,
            until=until,
            accept_changes=accept_changes,
        )
    if not is_main_process():  # only one of several processes prints the result
        return
    if as_json:
        from kdcore.rundir.files import finite

        print_json(finite({"directory": str(result.directory), **result.summary}))
    else:
        with kept_in(result.directory):
            say_all([*describe(result.summary), f"in       {result.directory}"])


def describe(summary: dict[str, Any]) -> list[str]:
    """The summary in a few lines."""
    lines = []
    data = summary.get("data")
    five = has_top_5(data.get("num_classes") if isinstance(data, dict) else None)
    roles = {**teachers_of(summary), "student": summary.get("student")}
    for role, about in roles.items():
        if isinstance(about, dict):
            scores = "  ".join(_scores(about, five))
            lines.append(f"{role:<8} {about['model']}, {about['parameters']:,} parameters  {scores}")
    tested = summary.get("test")
    if isinstance(tested, dict):
        where = f"'{tested['split']}', {tested['size']:,} images"
        lines.append(f"test     {where}: student  {'  '.join(_scores(tested['student'], five))}")
    return lines


def _scores(about: dict[str, Any], five: bool) -> list[str]:
    labels = {name: measure_label(name) for name in (*headline(about), "knn_top1")}
    labels["agreement"] = "agreement with the teacher"
    return [
        f"{label} {about[name]:.2f} %"
        for name, label in labels.items()
        if about.get(name) is not None and (five or name != "top5")
    ]
