"""The report at the end of a run, from the models and images that are at hand."""

from __future__ import annotations

import time
from shlex import quote
from typing import TYPE_CHECKING, Final

from kdcore.data.chosen_samples import at_most
from kdcore.features import find_adapter
from kdcore.inspect.open_run import OpenedModel, OpenedRun, evaluation_data, evaluation_images
from kdcore.inspect.predictions import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdcore.plugins import Plugins
    from kdcore.run.display import Display
    from kdcore.run.loop import Training
    from kdcore.run.prepare import Prepared, Splits
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.load import LoadedSpec

_LONG: Final = 120.0  # seconds of a run beside which those of t-SNE are few


def report_at_the_end(
    loaded: LoadedSpec,
    plugins: Plugins,
    directory: RunDirectory,
    display: Display,
    open_it: Callable[[int], OpenedRun],
) -> bool:
    """Write the report of a run that is finished; what goes wrong is a warning, since the run is done.

    Args:
        loaded: the run's spec.
        plugins: the plugins of the run.
        directory: where the report goes.
        display: shows where it is, or why it could not be made.
        open_it: opens the run for at most so many images.

    Returns:
        Whether the report was made.
    """
    started = time.monotonic()
    try:
        from kdcore.commands.report.report import most_images, write_report

        opened = open_it(most_images({"report": loaded.spec.report}))
        seconds = (directory.summary() or {}).get("wall_seconds") or 0.0
        result = write_report(directory, opened, plugins=plugins, tsne=seconds > _LONG)
    except Exception as error:
        display.warn(
            f"report: it could not be made ({type(error).__name__}: {error}); "
            f"'kd report {quote(str(directory.path))}' tries again"
        )
        return False
    for note in result.notes:
        if "matplotlib" in note:
            display.note(f"report   {note}")
    display.note(f"report   {result.path} ({time.monotonic() - started:.1f} s)")
    return True


def opened_at_hand(
    loaded: LoadedSpec,
    plugins: Plugins,
    directory: RunDirectory,
    prepared: Prepared,
    splits: Splits,
    training: Training,
    most: int,
) -> OpenedRun:
    """The finished run as it is in memory, for at most so many images."""
    spec, device = loaded.spec, training.accelerator.device
    adapter = find_adapter(training.student, spec.student.adapter, plugins, "student.adapter")
    student = OpenedModel(prepared.student.name, Subject(training.student, None, adapter), prepared.input)
    teacher = None
    guide = training.distillation.teacher
    if guide is not None and prepared.teacher is not None and spec.teacher is not None:
        adapter = find_adapter(guide, spec.teacher.adapter, plugins, "teacher.adapter")
        subject = Subject(guide, prepared.teacher_images, adapter)
        teacher = OpenedModel(prepared.teacher.name, subject, prepared.teacher.input)
    whole = evaluation_images(splits.eval, spec.data)
    images = at_most(whole, most)
    return OpenedRun(
        directory,
        spec,
        splits.num_classes,
        splits.classes,
        whole,
        images,
        evaluation_data(images, spec, prepared.input, splits.num_classes, device),
        student,
        teacher,
        None,
        device,
    )
