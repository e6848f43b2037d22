"""`kd export`: a run's student for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    warn_all,
)

if TYPE_CHECKING:
    from kd_export.export_student import ExportResult


def export(
    run: RunPath,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="timm, torch, onnx, pt2, torchscript, or a format of another plugin.",
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
        Path | None, typer.Option(help="Folder to write.  [default: RUN/export/FORMAT]", show_default=False)
    ] = None,
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
    from kd_export.export_student import export as write

    with stdout_for_the_result():
        result = write(
            run,
            to,
            weights=chosen_weights(ema, best),
            int8=int8,
            output=output,
            force=force,
            samples=samples,
        )
    warn_all(result.warnings)
    if as_json:
        print_json(result.as_dict())
    else:
        say_all(describe(result))


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
