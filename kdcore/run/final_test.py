"""The test of a finished student on `data.test_split`: once, after the student that is kept was chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdcore.run.evaluation import Evaluation
from kdcore.run.measures import Measures
from kdcore.run.state import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator
    from torch import Tensor, nn

    from kdcore.run.context import RunContext
    from kdcore.run.prepare import Prepared
    from kdcore.run.sharding import Shards
    from kdcore.teacher_cache.cache import TeacherCache


def measure_test(
    context: RunContext,
    prepared: Prepared,
    accelerator: Accelerator,
    shards: Shards | None,
    student: nn.Module,
    thresholds: Tensor | None = None,
    caches: Mapping[str, TeacherCache] | None = None,
) -> dict[str, Any] | None:
    """What student, average and teachers reach on the test images, for the summary; None without a test split.

    Args:
        context: the run.
        prepared: its models and data.
        accelerator: device, precision and the other processes.
        shards: the sharded models, if the weights are distributed over the processes.
        student: the student that is kept.
        thresholds: with several labels an image those that were chosen on the evaluation images.
        caches: of the teachers, by name.

    Raises:
        Stopped: the run was asked to stop.
        UserError: the logits of a teacher are NaN or infinite.
    """
    if prepared.test is None:
        return None
    # a table of outputs may not have these images, and its rows are found for the evaluation images
    tables = {name: replace(rows, evaluation=None) for name, rows in prepared.tables.items()}
    on_test = replace(prepared, eval=prepared.test, tables=tables)
    state = RunState()
    measures = Measures(context, on_test, accelerator, state, shards, caches)
    measures.thresholds = thresholds
    measures.teachers()
    measures.learners()
    tested = measures.student(student, final=True)
    found: dict[str, Any] = {
        "split": prepared.test_split,
        "size": prepared.test.total,
        "student": tested.as_dict(),
    }
    if isinstance(tested, Evaluation) and tested.details is not None:
        intervals = {name: list(ends) for name, ends in tested.details.intervals.items()}
        found["student"] = {**tested.details.overall, **found["student"], "intervals": intervals}
    if prepared.ema is not None:
        found["ema"] = measures.student(prepared.ema.module, final=True).as_dict()
    if state.teacher_scores:
        found["teachers"] = state.teacher_scores
    return found
