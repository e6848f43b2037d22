"""`kd eval`: measure a run, a checkpoint or a model on the images of a split, and compare it with its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.cli.eval_flags import (
    BatchSizes,
    Checkpoint,
    Data,
    Device,
    ImageSize,
    Model,
    NoTeacher,
    Options,
    Pretrained,
    Root,
    Samples,
    SmallInput,
    Split,
    TableOptions,
    Target,
    Teacher,
    TopK,
)
from kd_report.cli.eval_table import rows, teacher_rows, title
from kdcore import Problem, UserError
from kdcore.plugin import (
    Best,
    Ema,
    JsonFlag,
    chosen_weights,
    key_values,
    print_json,
    read_image_size,
    say,
    say_all,
    stdout_for_the_result,
    table,
    warn_all,
)

if TYPE_CHECKING:
    from kd_report.eval.result import EvalResult


def evaluate(
    target: Target,
    ema: Ema = False,
    best: Best = False,
    model: Model = None,
    pretrained: Pretrained = False,
    checkpoint: Checkpoint = None,
    small_input: SmallInput = False,
    options: Options = None,
    image_size: ImageSize = None,
    data: Data = None,
    root: Root = None,
    split: Split = None,
    table_options: TableOptions = None,
    teacher: Teacher = None,
    no_teacher: NoTeacher = False,
    samples: Samples = None,
    top_k: TopK = None,
    batch_sizes: BatchSizes = "1,8,64",
    device: Device = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate TARGET on images, and compare it with its teacher.

    Accuracy, calibration (NLL, ECE), agreement, parameters, multiply-adds, speed and memory.
    """
    sizes = _sizes(batch_sizes)
    if teacher is not None and no_teacher:
        raise UserError(Problem("--no-teacher", "cannot be used with --teacher"))
    from kd_report.eval.evaluate import evaluate as measure

    with stdout_for_the_result():
        result = measure(
            target,
            weights=chosen_weights(ema, best),
            model=model,
            pretrained=pretrained,
            checkpoint=checkpoint,
            small_input=small_input,
            options=key_values(options, "--option", "depth=6"),
            data=data,
            root=root,
            split=split,
            table_options=key_values(table_options, "--table-option", "encoding=cp1252"),
            image_size=None if image_size is None else read_image_size(image_size, "--image-size"),
            teacher=teacher if teacher is not None else not no_teacher,
            samples=samples,
            top_k=_top_k(top_k or []),
            batch_sizes=sizes,
            device=device,
        )
    warn_all(result.warnings)
    if result.teacher_missing is not None:
        warn_all([f"the teacher is left out: {result.teacher_missing}"])
    if as_json:
        from kdcore.plugin import finite

        print_json(finite(result.as_dict()))
    else:
        _print(result)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(Problem("--batch-sizes", "must be whole numbers", text, "such as 1,8,64")) from None
    if sizes == (0,):
        return ()
    if min(sizes) < 1:
        raise UserError(Problem("--batch-sizes", "a batch has at least one image", text, "such as 1,8,64"))
    return sizes


def _top_k(texts: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(part) for text in texts for part in text.split(","))
    except ValueError:
        text = " ".join(texts)
        raise UserError(Problem("--top-k", "must be whole numbers", text, "such as 3 or 2,3,10")) from None


def _print(result: EvalResult) -> None:
    header = ("", "student", "teacher", "student / teacher") if result.teacher is not None else ("", "")
    say(title(result))
    say_all(table(header, rows(result)))
    if result.teachers:
        say_all(table(("teacher", "model", "parameters", "top-1", "ECE", "NLL"), teacher_rows(result)))
    if result.student.speed:
        say(f"speed: medians (and quartiles) on {result.machine}; 1 MAC = 2 FLOPs")
