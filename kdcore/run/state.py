"""The state of a run: its position, its records, its best epoch. A checkpoint holds it with the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.run.changes import Changes
    from kdcore.run.fingerprint import Fingerprint
    from kdcore.run.ranking import Ranking


@dataclass
class RunState:
    """The position and records of a run. No generators need saving: every draw is a function of seed and step.

    Attributes:
        epoch: epochs that are complete.
        batch: completed batches of the current epoch.
        step: completed optimizer steps.
        records: a record per epoch, as in `metrics.jsonl`.
        best: scores and number of the best epoch so far.
        teacher_scores: each teacher's accuracy on the evaluation images, by name; empty until measured.
        teacher_predictions: their predictions `[N]` for them; for a student without a classifier the nearest neighbours
            `[N, k]` of the images.
        seconds: wall time of earlier processes.
        epoch_seconds: training time of the current epoch, without evaluation.
        fingerprint: the inputs of the run; known in the main process.
        accepted: changed inputs that the user accepted, with the step of each.
        ended: why the training ended before its last epoch; None: it did not.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=lambda: {"top1": None, "agreement": None, "epoch": None})
    teacher_scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    teacher_predictions: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    fingerprint: Fingerprint | None = None
    accepted: list[dict[str, Any]] = field(default_factory=list)
    ended: str | None = None

    def as_dict(self, wall_seconds: float, *, with_teacher: bool) -> dict[str, Any]:
        """The state for a checkpoint.

        Args:
            wall_seconds: wall time since the run began, including earlier processes.
            with_teacher: whether the teacher's predictions cover all images. Each of several processes has only those
                of its own images, and the next processes measure again.
        """
        teacher = {"scores": self.teacher_scores, "predictions": self.teacher_predictions}
        return {
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step},
            "records": self.records,
            "best": self.best,
            "teacher": teacher if with_teacher else None,
            "seconds": {"wall": wall_seconds, "epoch": self.epoch_seconds},
            "fingerprint": self.fingerprint,
            "accepted": self.accepted,
            "ended": self.ended,
        }

    def restore(self, state: dict[str, Any], *, with_teacher: bool) -> None:
        """Restore the result of `as_dict`; the fingerprint stays the one of this start."""
        position = state["position"]
        self.epoch, self.batch, self.step = position["epoch"], position["batch"], position["step"]
        self.records, self.best = state["records"], state["best"]
        measured = state["teacher"]
        if with_teacher and measured is not None:
            self.teacher_scores, self.teacher_predictions = measured["scores"], measured["predictions"]
        self.seconds, self.epoch_seconds = state["seconds"]["wall"], state["seconds"]["epoch"]
        self.accepted, self.ended = state.get("accepted") or [], state.get("ended")

    def accept(self, changes: Changes) -> None:
        """Record changes that the user accepted; if they affect teachers, these are measured again."""
        self.accepted = [*self.accepted, {"step": self.step, "changes": changes.as_text()}]
        if changes.teacher:
            self.teacher_scores, self.teacher_predictions = {}, {}

    def better(self, ranking: Ranking) -> bool:
        """Store an epoch's scores if they are the best so far.

        By `train.metric`; without it by top-1, or by agreement if no image is labelled; for an encoder by k-NN top-1 or
        the agreement of neighbours.
        """
        name, score = ranking.name, ranking.score
        if name is None or score is None or (self.best.get(name) is not None and score <= self.best[name]):
            return False
        self.best = {**ranking.scores, "epoch": self.epoch}
        return True
