"""What the labels are, and how a student is measured against them: the task loss."""

from __future__ import annotations

from kdcore.tasks.class_weights import balanced_weights, class_weights, pos_weights
from kdcore.tasks.task_loss import TaskLoss

__all__ = ["TaskLoss", "balanced_weights", "class_weights", "pos_weights"]
