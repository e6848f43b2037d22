"""`kd export`: a run's student for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdcore import Problem, UserError
from kdcore.plugin import (
    Best,
    Ema,
    JsonFlag,
    RunPath,
    byte_size,
    chosen_weights,
    print_json,
    say_all,
    stdout_for_the_result,
    table,
    warn_all,
)

if TYPE_CHECKING:
    from kd_export.check import ExportCheck
    from kd_export.export_several import ExportsResult
    from kd_export.export_student import ExportResult
    from kdcore.inspect import Which


def export(
    run: RunPath,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="timm, torch, onnx, openvino, executorch, pt2, torchscript, or a format of another plugin; several, "
            "as in onnx,onnx-int8; or all that can be written here.",
            show_default=False,
        ),
    ],
    ema: Ema = False,
    best: Best = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantise to 8 bits, calibrated on training images, if the format offers it (onnx).",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; of several formats, the folder of their folders.  [default: RUN/export/FORMAT]",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Measure how long each format takes for an image, next to the student in PyTorch.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Compare on N evaluation images; 0: no check.  [default: 256, with --int8 all]",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Export the student of RUN for other tools.

    The classes' names and the preprocessing go with it, and a script that loads it without kd. It is compared with
    the student on images of the run.
    """
    weights = chosen_weights(ema, best)
    names = [name.strip() for name in to.split(",")]
    if compare or len(names) > 1 or names == ["all"]:
        _several(run, names, weights, int8, output, force, samples, compare, as_json)
        return
    from kd_export.export_student import export as write

    with stdout_for_the_result():
        result = write(run, to, weights=weights, int8=int8, output=output, force=force, samples=samples)
    warn_all(result.warnings)
    if as_json:
        print_json(result.as_dict())
    else:
        say_all(describe(result))


def _several(
    run: Path,
    names: list[str],
    weights: Which,
    int8: bool,
    output: Path | None,
    force: bool,
    samples: int | None,
    compare: bool,
    as_json: bool,
) -> None:
    from kd_export.export_several import export_all
    from kd_export.exporters import INT8, form_of

    if int8 and (len(names) > 1 or names == ["all"]):
        message = "with several formats, 8 bits are part of a format's name"
        raise UserError(Problem("--int8", message, hint=f"--to {','.join(names)},onnx{INT8}"))
    chosen = [form_of(name, int8) for name in names]
    with stdout_for_the_result():
        result = export_all(
            run,
            "all" if chosen == ["all"] else chosen,
            weights=weights,
            output=output,
            force=force,
            samples=samples,
            compare=compare,
        )
    warn_all(f"{one.form}: {line}" for one in result.exports for line in one.warnings)
    warn_all(f"{name} was left out: {error}" for name, error in result.left_out.items())
    warn_all(f"{name} was not written: {error}" for name, error in result.failed.items())
    if as_json:
        print_json(result.as_dict())
    else:
        say_all(describe_all(result))
    if result.failed:
        raise typer.Exit(max(error.exit_code for error in result.failed.values()))


def describe_all(result: ExportsResult) -> list[str]:
    """The results as a table."""
    from kd_export.latency import STUDENT
    from kdcore.inspect import EXPORT_ABOUT, EXPORT_SCRIPT

    times = {one.name: one for one in result.latencies}
    header = ["format", "size", "largest difference", "same first class", "top-1"]
    header += ["ms an image", "of the student's"] * bool(times)
    rows = []
    if times:
        rows.append(
            [f"{STUDENT}, in PyTorch", "", "", "", "", f"{times[STUDENT].milliseconds:.2f}", "1.00", ""]
        )
    for one in result.exports:
        time = times.get(one.form)
        size = sum(count for file, count in one.files.items() if file not in (EXPORT_ABOUT, EXPORT_SCRIPT))
        row = [one.form, byte_size(size), *_checked(one.check)]
        if times:
            row += [f"{time.milliseconds:.2f}", f"{time.of_student:.2f}"] if time else ["", ""]
        rows.append([*row, str(one.path)])
    lines = table([*header, "in"], rows)
    if times:
        first = times[STUDENT]
        lines.append(
            f"one image at a time on the CPU, {first.rounds} rounds in turns; PyTorch with {first.threads} threads, "
            "other runtimes with as many as they take"
        )
    return lines


def _checked(found: ExportCheck | None) -> list[str]:
    if found is None:
        return ["not checked", "", ""]
    same = "" if found.same_top1 is None else f"{found.same_top1:,} of {found.images:,}"
    return [f"{found.largest_difference:.2g}", same, "" if found.top1 is None else f"{found.top1:.2f} %"]


def describe(result: ExportResult) -> list[str]:
    """The result in a few lines."""
    (model, size), *others = result.files.items()
    kind = f"{result.target}, 8 bits" if result.int8 else result.target
    lines = [
        f"{kind}: {result.path / model} ({byte_size(size)}), with {', '.join(name for name, _ in others)}"
    ]
    found = result.check
    if found is None:
        return [*lines, "not checked"]
    what, same = "embeddings", ""
    if found.same_top1 is not None:
        what, same = "logits", f"the first class is the same on {found.same_top1:,}, "
    lines.append(
        f"checked on {found.images:,} images of split '{found.split}': {same}{what} differ by up to "
        f"{found.largest_difference:.2g} (of {found.largest_logit:.3g})"
    )
    if found.top1 is not None and found.student_top1 is not None:
        lines.append(f"top-1 {found.top1:.2f} %, the run's student {found.student_top1:.2f} %")
    return lines
