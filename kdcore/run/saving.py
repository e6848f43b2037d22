"""Checkpoints of a run: collect everything that has state, and restore it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kdcore.errors import RunFailed
from kdcore.models.student_config import TRANSFORMED
from kdcore.run.finite_checks import check_finite
from kdcore.run.sharding import spread, spread_optimizer
from kdcore.run.shipped import parts_of
from kdcore.rundir.checkpoints import BEST, Checkpoints
from kdcore.rundir.sharded_state import take_apart, write_parts
from kdcore.rundir.statefile import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator
    from timm.utils import ModelEmaV3
    from torch import Tensor

    from kdcore.distill.distillation import Distillation
    from kdcore.distill.with_heads import ShippedModel
    from kdcore.run.meter import Meter
    from kdcore.run.skipped_images import Skipped
    from kdcore.run.state import RunState
    from kdcore.rundir.directory import RunDirectory
    from kdcore.rundir.sharded_state import Place


@dataclass(frozen=True, kw_only=True)
class Stateful:
    """The parts of a run that have their own state, apart from the `RunState`."""

    distillation: Distillation
    optimizer: Any
    scheduler: Any
    ema: ModelEmaV3 | None
    teacher_averages: Mapping[str, ModelEmaV3]
    meter: Meter
    skipped: Skipped | None
    accelerator: Accelerator


class Saver:
    """Writes a run's checkpoints, and restores a run from one.

    Attributes:
        saved_step: step of the last checkpoint, or None.
        saved_at: `time.monotonic()` of the last checkpoint, or of the start.
    """

    def __init__(
        self,
        directory: RunDirectory,
        state: RunState,
        parts: Stateful,
        agree: Callable[..., list[bool]],
        shipped_as: ShippedModel,
    ) -> None:
        self._directory = directory
        self.checkpoints = Checkpoints(directory.checkpoints)
        self.saved_step: int | None = None
        self.saved_at = self._started = time.monotonic()
        self._state, self._parts, self._agree = state, parts, agree
        # otherwise the spec says what the student is
        changed = shipped_as.distiller is not None or shipped_as.name == TRANSFORMED
        self._shipped_as = asdict(shipped_as) if changed else None
        self._averages = {
            f"the average of teacher '{name}'": one.module for name, one in parts.teacher_averages.items()
        }
        if parts.ema is not None:
            self._averages["the student's average"] = parts.ema.module

    @property
    def wall_seconds(self) -> float:
        """Wall time since the run began, including earlier processes."""
        return self._state.seconds + time.monotonic() - self._started

    def save(self) -> None:
        """Write a checkpoint, unless a check fails.

        Raises:
            RunFailed: a loss is not finite, or the run directory was moved or deleted.
        """
        self.check()
        content = self._parts_written(self.content(), self._state.step)
        if self._parts.accelerator.is_main_process:
            self.checkpoints.save(self._state.step, content)
        self.saved_at, self.saved_step = time.monotonic(), self._state.step

    def save_best(self) -> None:
        """Keep the student as the best so far."""
        student = dict(self._parts.distillation.shipped.state_dict())
        content = self._parts_written({"student": student, "shipped_as": self._shipped_as}, None)
        if self._parts.accelerator.is_main_process:
            self.checkpoints.save_best(content, self._state.best)

    def complete_best(self) -> None:
        """Keep the student as the best so far if a process was killed between the checkpoint that says so and that.

        All processes call it, with the student of the checkpoint.
        """
        state = self._state
        if state.batch or not state.epoch or state.best["epoch"] != state.epoch:
            return
        main = self._parts.accelerator.is_main_process
        (missing,) = self._agree(main and self._best_on_disk() != state.epoch)
        if missing:
            self.save_best()

    def _best_on_disk(self) -> int | None:
        """The epoch of the best student that is kept; None if there is none or its file is damaged."""
        try:
            epoch: int | None = self.checkpoints.about_best().get("epoch")
        except Damaged:
            return None
        return epoch

    def _parts_written(self, content: dict[str, Any], step: int | None) -> dict[str, Any]:
        """Write this process's parts of sharded tensors; the content without them.

        Every process waits until all have written.
        """
        accelerator = self._parts.accelerator
        rest, tensors = take_apart(content)
        if tensors:
            if accelerator.is_main_process:
                self.checkpoints.begin(step)
            accelerator.wait_for_everyone()
            write_parts(self.checkpoints.parts_of(step), tensors)
            accelerator.wait_for_everyone()
        found: dict[str, Any] = rest
        return found

    def load_best(self) -> int:
        """Restore the student of the best epoch, in all processes; the number of that epoch.

        Raises:
            RunFailed: its file is damaged or missing, or holds the student of another epoch.
        """
        epoch: int = self._state.best["epoch"]
        folder, found = self.checkpoints.folder / BEST, self._best_on_disk()
        if found not in (None, epoch):
            raise RunFailed(
                f"the student of the best epoch is lost: {folder} holds that of epoch {found}, and by the checkpoint "
                f"the best epoch is {epoch}; 'kd run SPEC --fresh' trains again"
            )
        shipped = self._parts.distillation.shipped
        own = shipped.state_dict()
        try:
            content = self.checkpoints.load_best(together=False)
            content = self.checkpoints.together(content, None, lambda place: own.get(str(place[-1])))
            shipped.load_state_dict(spread(content["student"], shipped))
        except Damaged as error:
            raise RunFailed(f"the student of the best epoch, {folder}: {error}") from error
        return epoch

    def check(self) -> None:
        """Check losses, weights and scale on all processes, and the run directory; all must call it together.

        Raises:
            RunFailed: a value is not finite, or the run directory was moved or deleted.
        """
        parts, failed = self._parts, None
        try:
            self._directory.check_place()
            parts.meter.check(self.saved_step)
            check_finite(
                parts.distillation,
                parts.accelerator.scaler,
                self._state.step,
                self.saved_step,
                self._averages,
            )
        except RunFailed as error:
            failed = error
        (anywhere,) = self._agree(failed is not None)
        if failed is not None:
            raise failed
        if anywhere:
            raise RunFailed("another process of this run failed; see its message")

    def load(self, content: dict[str, Any]) -> None:
        """Restore the run from a checkpoint's content, of which this process reads its parts of sharded tensors.

        Raises:
            RunFailed: a part of a tensor is missing.
        """
        step = content["position"]["step"]
        try:
            content = self.checkpoints.together(content, step, self._tensors())
        except Damaged as error:
            raise RunFailed(f"the checkpoint of step {step} in {self.checkpoints.folder}: {error}") from error
        parts = self._parts
        parts.distillation.load_state_dict(spread(content["distillation"], parts.distillation))
        parts.optimizer.load_state_dict(spread_optimizer(content["optimizer"], parts.optimizer))
        plateau = getattr(parts.scheduler, "lr_scheduler", None)
        if content["plateau"] is not None and plateau is not None:
            plateau.load_state_dict(content["plateau"])
        if parts.accelerator.scaler is not None and content["scaler"] is not None:
            parts.accelerator.scaler.load_state_dict(content["scaler"])
        if parts.ema is not None and content["ema"] is not None:
            parts.ema.module.load_state_dict(spread(content["ema"], parts.ema.module))
        for name, average in parts.teacher_averages.items():
            average.module.load_state_dict(content["teacher_averages"][name])
        parts.meter.load_state_dict(content["meter"], parts.accelerator.is_main_process)
        if parts.skipped is not None and content.get("skipped") is not None:
            parts.skipped.load_state_dict(content["skipped"])
        self._state.restore(content, with_teacher=self._alone)
        self.saved_step = self._state.step

    def _tensors(self) -> Callable[[Place], Tensor | None]:
        """Finds this process's tensor for a place in the content: a weight, or the one that optimizer state is for."""
        own = dict(self._parts.distillation.state_dict())
        average = {} if self._parts.ema is None else dict(self._parts.ema.module.state_dict())
        groups = self._parts.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]

        def find(place: Place) -> Tensor | None:
            if place[0] == "optimizer" and place[1] == "state":
                return parameters[int(place[2])]  # type: ignore[no-any-return]
            return {"distillation": own, "ema": average}.get(str(place[0]), {}).get(str(place[-1]))

        return find

    @property
    def _alone(self) -> bool:
        return bool(self._parts.accelerator.num_processes == 1)

    def content(self) -> dict[str, Any]:
        """All state as it is now; each of several processes holds its part of sharded weights."""
        parts = self._parts
        scaler = parts.accelerator.scaler
        return {
            "distillation": dict(parts.distillation.state_dict()),
            "optimizer": parts.optimizer.state_dict(),
            "plateau": _plateau_state(parts.scheduler),
            "scaler": None if scaler is None else scaler.state_dict(),
            "ema": None if parts.ema is None else dict(parts.ema.module.state_dict()),
            "teacher_averages": {
                name: dict(one.module.state_dict()) for name, one in parts.teacher_averages.items()
            },
            "meter": parts.meter.state_dict(self._sum),
            "skipped": None if parts.skipped is None else parts.skipped.state_dict(),
            "shipped_as": self._shipped_as,
            "shipped": parts_of(parts.distillation),
            **self._state.as_dict(self.wall_seconds, with_teacher=self._alone),
        }

    def _sum(self, values: Any) -> Any:
        return self._parts.accelerator.reduce(values, reduction="sum")


def _plateau_state(scheduler: Any) -> dict[str, Any] | None:
    """The state of timm's plateau scheduler; the others depend on the epoch alone."""
    inner = getattr(scheduler, "lr_scheduler", None)
    if inner is None:
        return None
    plain = (bool, int, float, str, list, type(None))
    return {name: value for name, value in inner.state_dict().items() if isinstance(value, plain)}
