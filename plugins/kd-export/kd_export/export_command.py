"""`kd export`: a run's student for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdcore import Problem, UserError
from kdcore.plugin import (
    Best,
    Ema,
    JsonFlag,
    RunPath,
    byte_size,
    chosen_weights,
    get_plugins,
    print_json,
    say_all,
    stdout_for_the_result,
    table,
    warn_all,
)

if TYPE_CHECKING:
    from kd_export.export_several import ExportsResult
    from kd_export.export_student import ExportResult
    from kd_export.latency import Latency


def export(
    run: RunPath,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="timm, torch, onnx, openvino, coreml, executorch, pt2, torchscript, or a format of another plugin; "
            "several, as in onnx,onnx-int8,onnx-fp16; or all that can be written here.",
            show_default=False,
        ),
    ],
    ema: Ema = False,
    best: Best = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantise to 8 bits, if the format offers it (onnx, openvino, executorch). Calibrated on training "
            "images, unless the student was trained with int8.",
        ),
    ] = False,
    fp16: Annotated[
        bool,
        typer.Option("--fp16", help="Half precision, if the format offers it (onnx, coreml)."),
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="An option of the format, such as opset=18 of onnx; may be repeated.",
        ),
    ] = None,
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
            help="Compare on N evaluation images; 0: no check.  [default: 256, with --int8 or --fp16 all]",
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
        forms = _forms(names, int8, fp16)
        more = {"options": options or (), "output": output, "force": force, "samples": samples}
        _several(run, forms, as_json, weights=weights, compare=compare, **more)
        return
    from kd_export.export_student import export as write

    with stdout_for_the_result():
        result = write(
            run,
            to,
            weights=weights,
            int8=int8,
            fp16=fp16,
            options=options or (),
            output=output,
            force=force,
            samples=samples,
        )
    warn_all(result.warnings)
    if as_json:
        print_json(result.as_dict())
    else:
        say_all(describe(result))


def _forms(names: list[str], int8: bool, fp16: bool) -> str | list[str]:
    """The names with the precision that the flags ask for."""
    from kd_export.export_several import ALL
    from kd_export.export_student import precision_of
    from kd_export.exporters import form_of, named_form

    precision = precision_of(int8, fp16)
    if precision and (len(names) > 1 or names == [ALL]):
        bits = "8 bits are" if int8 else "half precision is"
        message = f"with several formats, {bits} part of a format's name"
        hint = f"--to {','.join(names)},{form_of('onnx', precision)}"
        raise UserError(Problem(f"--{precision}", message, hint=hint))
    if names == [ALL] or len(names) > 1:
        return ALL if names == [ALL] else names
    return [form_of(*named_form(names[0], precision, get_plugins()))]


def _several(run: Path, forms: str | list[str], as_json: bool, **more: Any) -> None:
    from kd_export.export_several import ALL, cannot_hold, export_all

    with stdout_for_the_result():
        result = export_all(run, forms, **more)
    warn_all(f"{one.form}: {line}" for one in result.exports for line in one.warnings)
    warn_all(f"{name} was left out: {error}" for name, error in result.left_out.items())
    warn_all(f"{name} was not written: {error}" for name, error in result.failed.items())
    if as_json:
        print_json(result.as_dict())
    else:
        say_all(describe_all(result))
    wrong = [error for error in result.failed.values() if forms != ALL or not cannot_hold(error)]
    if wrong:
        raise typer.Exit(max(error.exit_code for error in wrong))


def describe_all(result: ExportsResult) -> list[str]:
    """The results as a table."""
    from kd_export.latency import STUDENT
    from kdcore.inspect import EXPORT_ABOUT, EXPORT_SCRIPT

    times = {one.name: one for one in result.latencies if one.name != STUDENT}
    students = [one for one in result.latencies if one.name == STUDENT]
    header = ["format", "size", "largest difference", "same first class", "top-1"]
    header += ["ms an image", "of the student's"] * bool(students)
    rows = []
    for own in students:
        name = f"{STUDENT}, in PyTorch" + (f", {own.batch} images" if own.batch > 1 else "")
        rows.append([name, "", "", "", "", f"{own.milliseconds:.2f}", "1.00", ""])
    for one in result.exports:
        time = times.get(one.form)
        size = sum(count for file, count in one.files.items() if file not in (EXPORT_ABOUT, EXPORT_SCRIPT))
        row = [one.form, byte_size(size), *_checked(one)]
        if students:
            row += [f"{time.milliseconds:.2f}", f"{time.of_student:.2f}"] if time else ["", ""]
        rows.append([*row, str(one.path)])
    return [*table([*header, "in"], rows), *_of_times(students, list(times.values()), result.rounded)]


def _of_times(students: list[Latency], exports: list[Latency], rounded: bool) -> list[str]:
    """How the times were measured; empty without times."""
    if not students:
        return []
    threads = "1 thread" if students[0].threads == 1 else f"{students[0].threads} threads"
    lines = [
        f"one image at a time on the CPU, {students[0].rounds} rounds in turns; PyTorch with {threads}, other runtimes "
        "with as many as they take"
    ]
    for one in exports:
        if one.batch > 1:
            lines.append(
                f"{one.name}: {one.batch} images at a time, compared with the student's time for as many"
            )
    if rounded:
        lines.append(
            "the student was trained with 8 bits: in PyTorch it computes the rounding too, which takes longer than "
            "the network without it"
        )
    return lines


def _checked(one: ExportResult) -> list[str]:
    found = one.check
    if found is None:
        where = " or ".join(one.platforms)
        return [f"not run here: {where} only" if where and not one.loads else "not checked", "", ""]
    same = "" if found.same_top1 is None else f"{found.same_top1:,} of {found.images:,}"
    return [f"{found.largest_difference:.2g}", same, "" if found.top1 is None else f"{found.top1:.2f} %"]


def describe(result: ExportResult) -> list[str]:
    """The result in a few lines."""
    from kd_export.exporters import IN_WORDS

    sizes: dict[str, int] = {}  # a folder counts as one
    for name, count in result.files.items():
        top = name.partition("/")[0]
        sizes[top] = sizes.get(top, 0) + count
    (model, size), *others = sizes.items()
    kind = result.target + IN_WORDS[result.precision]
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
