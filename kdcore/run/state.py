"""What a run knows at one moment: its position, its records, its best epoch. A checkpoint holds it with the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.run.changes import Changes
    from kdcore.run.evaluate import Evaluation
    from kdcore.run.fingerprint import Fingerprint


@dataclass
class RunState:
    """Where a run stands. There is no state of random generators: every draw is a function of seed and step.

    Attributes:
        epoch: epochs that are complete.
        batch: batches of the running epoch that are done.
        step: optimizer steps that are done.
        records: a record per epoch, as in `metrics.jsonl`.
        best: scores and number of the best epoch so far.
        teacher_scores: the teacher's accuracy on the evaluation images; None: not measured yet.
        teacher_predictions: its predictions `[N]` there.
        seconds: wall time of earlier processes.
        epoch_seconds: training time of the running epoch, without evaluation.
        fingerprint: what the run is fed; known in the main process.
        accepted: changes under the run that its user accepted, with the step of each.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=lambda: {"top1": None, "agreement": None, "epoch": None})
    teacher_scores: dict[str, Any] | None = None
    teacher_predictions: Tensor | None = None
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    fingerprint: Fingerprint | None = None
    accepted: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self, wall_seconds: float, *, with_teacher: bool) -> dict[str, Any]:
        """The state as a checkpoint holds it.

        Args:
            wall_seconds: since the run began, over all its processes in time.
            with_teacher: whether the teacher's predictions are those for all images; of several processes each has
                those for its own, and the next ones measure again.
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
        }

    def restore(self, state: dict[str, Any], *, with_teacher: bool) -> None:
        """Go on from what `as_dict` gave; the fingerprint stays that of this start."""
        position = state["position"]
        self.epoch, self.batch, self.step = position["epoch"], position["batch"], position["step"]
        self.records, self.best = state["records"], state["best"]
        measured = state["teacher"]
        if with_teacher and measured is not None:
            self.teacher_scores, self.teacher_predictions = measured["scores"], measured["predictions"]
        self.seconds, self.epoch_seconds = state["seconds"]["wall"], state["seconds"]["epoch"]
        self.accepted = state.get("accepted") or []

    def accept(self, changes: Changes) -> None:
        """Record changes that the user accepted; a teacher that they concern is measured again."""
        self.accepted = [*self.accepted, {"step": self.step, "changes": changes.as_text()}]
        if changes.teacher:
            self.teacher_scores = self.teacher_predictions = None

    def better(self, found: Evaluation) -> bool:
        """Note an epoch's evaluation if it is the best so far: by top-1, or by agreement where nothing is labelled."""
        name = "agreement" if found.top1 is None else "top1"
        score = getattr(found, name)
        if score is None or (self.best[name] is not None and score <= self.best[name]):
            return False
        self.best = {"top1": found.top1, "agreement": found.agreement, "epoch": self.epoch}
        return True
