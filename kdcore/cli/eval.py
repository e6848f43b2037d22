"""`kd eval`: a run, a checkpoint or a model on the images of a split, beside its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdcore.cli import output as out
from kdcore.cli.export import Best, Ema, chosen_weights
from kdcore.cli.output import JsonFlag, print_json, stdout_for_the_result
from kdcore.errors import Problem, UserError
from kdcore.text import byte_size, short_count

if TYPE_CHECKING:
    from kdcore.commands.eval.result import EvalResult, ModelScores


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A run directory, a checkpoint, or a model's name.", show_default=False
        ),
    ],
    ema: Ema = False,
    best: Best = False,
    model: Annotated[
        str | None, typer.Option(help="The model of a checkpoint file.", show_default=False)
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Take timm's weights for the model TARGET.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Take these weights for the model TARGET.", show_default=False)
    ] = None,
    small_input: Annotated[
        bool, typer.Option("--small-input", help="The model's variant for small images.")
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An argument of the model; may be repeated."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=8, help="Side of the model's input, in pixels.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A dataset, instead of the run's own.", show_default=False)
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where that dataset lies.", show_default=False)] = None,
    split: Annotated[
        str | None, typer.Option(help="Its split; else the run's, or 'test'.", show_default=False)
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="A run directory, or the name of a pretrained model; else the run's teacher.",
            show_default=False,
        ),
    ] = None,
    no_teacher: Annotated[bool, typer.Option("--no-teacher", help="Leave the teacher out.")] = False,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Look at so many images only.", show_default=False)
    ] = None,
    batch_sizes: Annotated[
        str, typer.Option(metavar="N,N", help="Measure the speed at these batch sizes; 0: do not.")
    ] = "1,8,64",
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:1; else what there is.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate TARGET on images, beside its teacher.

    Accuracy, calibration (NLL, ECE), agreement, parameters, multiply-adds, speed and memory.
    """
    sizes = _sizes(batch_sizes)
    if teacher is not None and no_teacher:
        raise UserError(Problem("--no-teacher", "excludes --teacher: say one"))
    from kdcore.commands.eval.evaluate import evaluate as measure

    with stdout_for_the_result():
        result = measure(
            target,
            weights=chosen_weights(ema, best),
            model=model,
            pretrained=pretrained,
            checkpoint=checkpoint,
            small_input=small_input,
            options=_options(options or []),
            data=data,
            root=root,
            split=split,
            image_size=image_size,
            teacher=teacher if teacher is not None else not no_teacher,
            samples=samples,
            batch_sizes=sizes,
            device=device,
        )
    out.warn_all(result.warnings)
    if result.teacher_missing is not None:
        out.warn_all([f"the teacher is left out: {result.teacher_missing}"])
    if as_json:
        from kdcore.rundir.files import finite

        print_json(finite(result.as_dict()))
    else:
        _print(result)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            Problem("--batch-sizes", "whole numbers are wanted", text, "such as 1,8,64")
        ) from None
    if sizes == (0,):
        return ()
    if min(sizes) < 1:
        raise UserError(Problem("--batch-sizes", "batches have one image at least", text, "such as 1,8,64"))
    return sizes


def _options(texts: list[str]) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(Problem("--option", "KEY=VALUE is wanted", text, "such as depth=6"))
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


def title(result: EvalResult) -> str:
    """What was looked at."""
    labels = "" if result.labelled == result.images else f", {result.labelled:,} of them with labels"
    return f"{result.images:,} images of {result.dataset}, split {result.split}{labels}; {result.precision}"


def rows(result: EvalResult) -> list[tuple[str, ...]]:
    """The table: a measure, the model, and where there is a teacher its value and how the two compare."""
    student, teacher = result.student, result.teacher
    found = [
        _row("model", student, teacher, lambda each: each.name),
        _ratio("parameters", student, teacher, lambda each: each.parameters, lambda n: f"{n:,}"),
        _ratio("multiply-adds (MACs)", student, teacher, lambda each: each.macs, short_count),
        _ratio("weights", student, teacher, lambda each: each.weights_bytes, byte_size),
        _row("input", student, teacher, lambda each: "x".join(map(str, each.image_size))),
        _gap("top-1", student, teacher, lambda each: each.top1, "%"),
        _gap("top-5", student, teacher, lambda each: each.top5, "%"),
        _gap("ECE", student, teacher, lambda each: each.ece, "%"),
        _gap("NLL", student, teacher, lambda each: each.nll, ""),
    ]
    if student.top5 is None and (teacher is None or teacher.top5 is None):
        found = [row for row in found if row[0] != "top-5"]
    if teacher is not None:
        found.append(("agrees with the teacher", _number(result.agreement, "%"), "", ""))
        found.append(("KL from the teacher", _number(result.divergence, ""), "", ""))
    for index, speed in enumerate(student.speed):
        size = speed.batch_size
        images = "1 image" if size == 1 else f"{size} images"

        def at(each: ModelScores, index: int = index) -> Any:
            return each.speed[index]

        found += [
            _ratio(
                f"ms per image, {'alone' if size == 1 else f'of {size}'}",
                student,
                teacher,
                lambda each: at(each).milliseconds_per_image,
                lambda ms: f"{ms:.3g}",
                lambda each: "  ({:.3g} to {:.3g})".format(
                    *(ms / at(each).batch_size for ms in at(each).quartiles)
                ),
            ),
            _ratio(f"memory for {images}", student, teacher, lambda each: at(each).memory_bytes, byte_size),
        ]
    return [row if teacher is not None else row[:2] for row in found]


def _print(result: EvalResult) -> None:
    header = ("", "student", "teacher", "student / teacher") if result.teacher is not None else ("", "")
    out.say(title(result))
    out.say_all(out.table(header, rows(result)))
    if result.student.speed:
        out.say(f"speed: medians (and quartiles) on {result.machine}; 1 MAC = 2 FLOPs")


def _row(label: str, student: ModelScores, teacher: ModelScores | None, value: Any) -> tuple[str, ...]:
    return (label, value(student), "" if teacher is None else value(teacher), "")


def _ratio(
    label: str,
    student: ModelScores,
    teacher: ModelScores | None,
    value: Any,
    shown: Any,
    more: Any = lambda each: "",
) -> tuple[str, ...]:
    values = [None if each is None else value(each) for each in (student, teacher)]
    texts = [
        "" if each is None or found is None else shown(found) + more(each)
        for each, found in zip((student, teacher), values, strict=True)
    ]
    own, other = values
    return (label, *texts, f"{own / other:.3g}" if own is not None and other else "")


def _gap(
    label: str, student: ModelScores, teacher: ModelScores | None, value: Any, unit: str
) -> tuple[str, ...]:
    values = [None if each is None else value(each) for each in (student, teacher)]
    own, other = values
    gap = f"{own - other:+.3g}" if own is not None and other is not None else ""
    return (label, *(_number(found, unit) for found in values), gap)


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.2f} {unit}" if unit else f"{value:.3f}"
